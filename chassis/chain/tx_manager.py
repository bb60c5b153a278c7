"""The transaction manager: one tick takes a lane from what is reserved to what is final.

Runs in any number of processes; a lease in the database lets one act, and its fencing token guards every write.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from sqlalchemy import update

from chassis.chain.client import ChainClient
from chassis.chain.errors import ChainError, ChainMismatch, LeaseLost
from chassis.chain.intents import LaneStatus, lane_status
from chassis.chain.lane_run import (
    Callbacks,
    Failure,
    LaneRun,
    TxSettings,
    View,
    acquire_lease,
    look,
    open_lane,
    release_lease,
)
from chassis.chain.measures import show_head, show_lane
from chassis.chain.pins import ChainIdentity, check_pins
from chassis.chain.signer import IntentSigner
from chassis.chain.tables import Lane
from chassis.chain.tx_send import send_waiting
from chassis.chain.tx_trouble import ForeignNonces, check_lost_tail
from chassis.chain.tx_watch import watch_receipts
from chassis.db import Database

__all__ = ["Callbacks", "Failure", "TickReport", "TxManager", "TxSettings"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class TickReport:
    """What a tick found. `chain_nonce` above `next_nonce`: the database was restored and has forgotten some."""

    leader: bool
    problem: str | None
    halted: str | None
    alarm: str | None
    in_flight: int
    chain_nonce: int | None
    next_nonce: int | None


class TxManager:
    """Drives one lane. `contracts` (name → address) are pinned with the chain before anything is signed."""

    def __init__(
        self,
        database: Database,
        client: ChainClient,
        signer: IntentSigner,
        lane: Lane,
        settings: TxSettings,
        *,
        contracts: Mapping[str, str],
        callbacks: Callbacks | None = None,
    ) -> None:
        self._run = LaneRun(database, client, signer, lane, settings, callbacks or Callbacks())
        self._contracts = dict(contracts)
        self._pinned: ChainIdentity | None = None
        self._foreign = ForeignNonces()
        self._shown: tuple[str | None, str | None] | None = None

    @property
    def address(self) -> str:
        """Whose nonces the lane gives."""
        return self._run.signer.address

    async def tick(self) -> TickReport:
        """Do everything that can be done now: follow receipts, sign, send, replace.

        Trouble with the node, another chain, or a lost lease ends the tick, never the caller: the report and the
        lane's status say it. Database errors are raised.
        """
        run = self._run
        run.problems, run.alarms = [], []
        leader, view = False, None
        try:
            leader = await self._lead()
            if leader:
                view = await self._look()
                await self._work(view)
        except LeaseLost as problem:
            leader = False
            log.warning("chain.lease_lost", lane=run.lane.name, reason=str(problem))
        except ChainError as problem:
            # A node that was away may come back as another one: compare everything again.
            self._pinned = None
            run.problems.insert(0, f"{type(problem).__name__}: {problem}")
        return await self._report(leader, view)

    async def close(self) -> None:
        """Give the lane up, so that another process can take it at once."""
        await release_lease(self._run)

    async def _lead(self) -> bool:
        held = await acquire_lease(self._run)
        if held is not None:
            return held
        await self._open()
        return bool(await acquire_lease(self._run))

    async def _open(self) -> ChainIdentity:
        run = self._run
        identity = await check_pins(run.database, run.lane.tables, run.client, self._contracts)
        if identity.chain_id != run.signer.chain_id:
            raise ChainMismatch(f"the node speaks for chain {identity.chain_id}, the signer for {run.signer.chain_id}")
        await open_lane(run, identity)
        return identity

    async def _look(self) -> View:
        if self._pinned is None:
            self._pinned = await self._open()
        view = await look(self._run)
        if view.identity != self._pinned:
            raise ChainMismatch(f"the node now speaks for {view.identity}, pinned {self._pinned}")
        return view

    async def _work(self, view: View) -> None:
        run = self._run
        mined = await watch_receipts(run, view)
        lost = await check_lost_tail(run, view)
        if not lost:
            await self._foreign.check(run, view, mined)
        status = await self._status()
        await send_waiting(run, view, mined, may_sign=status is not None and status.halted is None)

    async def _status(self) -> LaneStatus | None:
        async with self._run.database.unit_of_work() as session:
            return await lane_status(session, self._run.lane)

    async def _report(self, leader: bool, view: View | None) -> TickReport:
        run = self._run
        problem = "; ".join(run.problems) or None
        alarm = "; ".join(run.alarms) or None
        if (leader or problem) and (problem, alarm) != self._shown:
            await self._show(problem, alarm)
        status = await self._status()
        report = TickReport(
            leader=leader,
            problem=problem,
            halted=status.halted if status else None,
            alarm=alarm,
            in_flight=status.in_flight if status else 0,
            chain_nonce=view.chain_nonce if view else None,
            next_nonce=status.next_nonce if status else None,
        )
        _show_figures(run.lane.name, report, view)
        return report

    async def _show(self, problem: str | None, alarm: str | None) -> None:
        """Keep what a person should know in the lane's row, where every process of the service can read it."""
        lanes = self._run.lane.tables.lanes
        shown = update(lanes).where(lanes.c.name == self._run.lane.name).values(problem=problem, alarm=alarm)
        async with self._run.database.unit_of_work() as session:
            await session.execute(shown)
        self._shown = (problem, alarm)
        if problem or alarm:
            log.warning("chain.trouble", lane=self._run.lane.name, problem=problem, alarm=alarm)


def _show_figures(lane: str, report: TickReport, view: View | None) -> None:
    if view is not None:
        show_head(lane, view.tip.number, view.tip.timestamp)
    states = {"halted": report.halted, "problem": report.problem, "alarm": report.alarm}
    show_lane(
        lane,
        leader=report.leader,
        in_flight=report.in_flight,
        next_nonce=report.next_nonce,
        chain_nonce=report.chain_nonce,
        states=states,
    )

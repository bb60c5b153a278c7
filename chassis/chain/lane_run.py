"""One manager's hold on a lane: settings, the lease with its fencing token, and the chain as seen in this tick."""

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sqlalchemy import and_, case, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from chassis.chain.client import ChainClient
from chassis.chain.errors import ChainMismatch, LeaseLost, RpcError, RpcUnavailable
from chassis.chain.fees import Ceilings, Fees, market_fees
from chassis.chain.intents import Intent
from chassis.chain.pins import ChainIdentity
from chassis.chain.signer import IntentSigner
from chassis.chain.tables import Lane
from chassis.chain.values import Block, Receipt, to_block
from chassis.db import Database, Session
from chassis.ids import new_id

GWEI = 10**9


@dataclass(frozen=True)
class TxSettings:
    """Time limits, depths and ceilings of one lane. `confirmations`: blocks on top of the receipt's block."""

    confirmations: int = 2
    lease_seconds: float = 15.0
    replace_after_seconds: float = 30.0
    rebroadcast_seconds: float = 2.0
    max_attempts: int = 12
    max_fee_per_gas_wei: int = 500 * GWEI
    max_priority_fee_per_gas_wei: int = 5 * GWEI
    market_multiple: int = 4
    daily_budget_wei: int = 50 * 10**18
    foreign_search_blocks: int = 5_000

    @property
    def ceilings(self) -> Ceilings:
        """The limits on every bid."""
        return Ceilings(self.max_fee_per_gas_wei, self.max_priority_fee_per_gas_wei, self.market_multiple)


@dataclass(frozen=True)
class Failure:
    """Why a mined transaction did nothing: `out_of_gas`, `reverted` (with the revert bytes) or `log_missing`."""

    code: str
    data: bytes = b""


ReceiptCallback = Callable[[Session, Intent, Receipt], Awaitable[None]]
IntentCallback = Callable[[Session, Intent], Awaitable[None]]
FailureCallback = Callable[[Session, Intent, Failure], Awaitable[None]]


async def _ignore(*_: object) -> None:
    return None


@dataclass(frozen=True)
class Callbacks:
    """What the service does about a change of state, in the unit of work of that change."""

    on_included: ReceiptCallback = _ignore
    on_confirmed: ReceiptCallback = _ignore
    on_final: ReceiptCallback = _ignore
    on_unconfirmed: IntentCallback = _ignore
    on_failed: FailureCallback = _ignore


@dataclass(frozen=True)
class View:
    """The chain as one round trip showed it."""

    identity: ChainIdentity
    tip: Block
    finalized: int | None
    chain_nonce: int
    priority_fee_wei: int


@dataclass
class LaneRun:
    """What the parts of the transaction manager share."""

    database: Database
    client: ChainClient
    signer: IntentSigner
    lane: Lane
    settings: TxSettings
    callbacks: Callbacks
    owner: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{new_id()}")
    token: int = -1
    problems: list[str] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def fenced(self) -> AsyncIterator[Session]:
        """A unit of work that nobody can take the lane away from while it lasts.

        Raises: LeaseLost when the lane already belongs to another process.
        """
        lanes = self.lane.tables.lanes
        mine = and_(
            lanes.c.name == self.lane.name,
            lanes.c.lease_owner == self.owner,
            lanes.c.fencing_token == self.token,
        )
        async with self.database.unit_of_work() as session:
            held = await session.scalar(select(lanes.c.fencing_token).where(mine).with_for_update(read=True))
            if held is None:
                raise LeaseLost(f"lane {self.lane.name} belongs to another process now")
            yield session

    def market(self, view: View) -> Fees:
        """What a first attempt bids now."""
        return market_fees(view.tip.base_fee_per_gas_wei, view.priority_fee_wei, self.settings.ceilings)


async def acquire_lease(run: LaneRun) -> bool | None:
    """Take or renew the lane for this process; a change of owner raises the fencing token.

    True: it is ours. False: another process holds it. None: there is no such lane yet.
    """
    lanes = run.lane.tables.lanes
    now = func.clock_timestamp()
    free = or_(lanes.c.lease_owner.is_(None), lanes.c.lease_until < now, lanes.c.lease_owner == run.owner)
    took_over = lanes.c.lease_owner.is_distinct_from(run.owner)
    values = {
        "lease_owner": run.owner,
        "lease_until": now + func.make_interval(0, 0, 0, 0, 0, 0, run.settings.lease_seconds),
        "fencing_token": lanes.c.fencing_token + case((took_over, 1), else_=0),
    }
    statement = update(lanes).where(lanes.c.name == run.lane.name, free).values(values)
    async with run.database.unit_of_work() as session:
        token = await session.scalar(statement.returning(lanes.c.fencing_token))
        if token is not None:
            run.token = token
            return True
        exists = await session.scalar(select(lanes.c.name).where(lanes.c.name == run.lane.name))
        return None if exists is None else False


async def release_lease(run: LaneRun) -> None:
    """Give the lane up at once, so that the next process need not wait for the lease to run out."""
    lanes = run.lane.tables.lanes
    mine = and_(lanes.c.name == run.lane.name, lanes.c.lease_owner == run.owner)
    async with run.database.unit_of_work() as session:
        await session.execute(update(lanes).where(mine).values(lease_owner=None, lease_until=None))


async def open_lane(run: LaneRun, identity: ChainIdentity) -> None:
    """Create the lane if it is new, its first nonce from the chain; compare it with this key and chain if not.

    Raises: ChainMismatch when the lane was made with another key or on another chain.
    """
    lanes = run.lane.tables.lanes
    values = {
        "name": run.lane.name,
        "address": run.signer.address,
        "chain_id": identity.chain_id,
        "genesis_hash": identity.genesis_hash,
        "first_nonce": await run.client.transaction_count(run.signer.address),
    }
    async with run.database.unit_of_work() as session:
        await session.execute(insert(lanes).values(values).on_conflict_do_nothing())
        row = (await session.execute(select(lanes).where(lanes.c.name == run.lane.name))).mappings().one()
    for column in ("address", "chain_id", "genesis_hash"):
        if row[column] != values[column]:
            raise ChainMismatch(f"lane {run.lane.name}: {column} is {values[column]}, pinned {row[column]}")


async def look(run: LaneRun) -> View:
    """Everything a tick needs to know of the chain, in one round trip.

    Raises: RpcUnavailable, RpcError.
    """
    answers = await run.client.rpc.batch(
        [
            ("eth_chainId", ()),
            ("eth_getBlockByNumber", ("0x0", False)),
            ("eth_getTransactionCount", (run.signer.address, "latest")),
            ("eth_getBlockByNumber", ("latest", False)),
            ("eth_maxPriorityFeePerGas", ()),
            ("eth_getBlockByNumber", ("finalized", False)),
        ]
    )
    chain_id, genesis, nonce, tip, priority, finalized = answers
    for answer in (chain_id, genesis, nonce, tip):
        if isinstance(answer, RpcError):
            raise answer
    if not genesis or not tip:
        raise RpcUnavailable("the node has no blocks yet")
    return View(
        identity=ChainIdentity(int(chain_id, 16), genesis["hash"]),
        tip=to_block(tip),
        # A chain without the notion, or before its first epoch: nothing is final yet.
        finalized=int(finalized["number"], 16) if isinstance(finalized, dict) else None,
        chain_nonce=int(nonce, 16),
        priority_fee_wei=GWEI if isinstance(priority, RpcError) else int(priority, 16),
    )

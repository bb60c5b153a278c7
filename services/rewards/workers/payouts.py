"""The loops that pay: reserve, follow the chain, reconcile, mend; and what this process has of the chain for them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from chassis.chain.client import ChainClient
from chassis.chain.errors import ChainError
from chassis.chain.indexer import LogIndexer
from chassis.chain.intents import Intent, halt_lane, lane_status, list_in_flight
from chassis.chain.key_loading import load_key
from chassis.chain.keys import Key
from chassis.chain.rpc import JsonRpc
from chassis.chain.signer import IntentSigner
from chassis.chain.tx_manager import Callbacks, Failure, TickReport, TxManager, TxSettings
from chassis.chain.values import Log, Receipt
from chassis.context import Context
from chassis.db import Session
from chassis.telemetry import log
from services.rewards.chain import Chain
from services.rewards.clients.prices import PriceSource
from services.rewards.clients.services import Services
from services.rewards.errors import SettlementMismatch
from services.rewards.models import LANE, chain
from services.rewards.service import audit, outcomes, payouts, recovery
from services.rewards.service.journal import Place
from services.rewards.settings import RewardsSettings
from services.rewards.workers.prices import open_source

RECONCILE_SECONDS = 10.0
"""How often to compare ledger and chain although no new block is final."""

RECOUNT_SECONDS = 600.0
"""How often to sum up all of ledger and chain, and not only the newest blocks."""


@dataclass(slots=True)
class ChainSide:
    """What this process has of the chain."""

    chain: Chain
    manager: TxManager | None
    indexer: LogIndexer
    report: TickReport | None = None
    next_tick_at: float = 0.0
    blocked_until: float = 0.0
    reconciled_block: int = -1
    reconciled_at: float = field(default=float("-inf"))
    counted: audit.Counted = audit.NOTHING
    recounted_at: float = field(default=float("-inf"))


@dataclass(slots=True)
class Resources:
    """What the workers use beside the database."""

    services: Services
    prices: PriceSource
    chain_side: ChainSide | None
    price_asked_at: float = float("-inf")
    """Monotonic: a source that is away is not asked again at once."""


@asynccontextmanager
async def open_resources(context: Context) -> AsyncIterator[Resources]:
    """The clients of this process; nothing is connected yet, so a node that is away does not matter here."""
    settings: RewardsSettings = context.settings
    services = Services(
        context.http,
        identity_url=settings.identity_url,
        jobs_url=settings.jobs_url,
        internal_secret=settings.internal_secret,
    )
    async with contextlib.AsyncExitStack() as stack:
        prices = await open_source(settings, context.http, stack)
        async with _open_chain(context, settings) as side:
            yield Resources(services, prices, side)


@asynccontextmanager
async def _open_chain(context: Context, settings: RewardsSettings) -> AsyncIterator[ChainSide | None]:
    """This process' side of the chain, closed in the end; None where it has none."""
    if settings.role == "api":  # the chain and the signer's key are the worker's
        yield None
        return
    if not settings.pays:
        log.warning("no_chain", reason="CHAIN_RPC_URLS, REWARDS_BTRST_ADDRESS or REWARDS_MINTER_ADDRESS is not set")
        yield None
        return
    rpc = JsonRpc(settings.rpc_urls, timeout_seconds=settings.rpc_timeout_seconds)
    side = open_chain_side(
        context, ChainClient(rpc), await asyncio.to_thread(load_key, settings, "REWARDS_", context.http)
    )
    try:
        yield side
    finally:
        if side.manager is not None:
            with contextlib.suppress(Exception):  # the lease runs out by itself
                await side.manager.close()
        await rpc.close()


def open_chain_side(context: Context, client: ChainClient, key: Key | None) -> ChainSide:
    """The chain with its transaction manager (none without a key) and the indexer of `Settled`."""
    settings: RewardsSettings = context.settings
    contracts = Chain(
        client,
        btrst_address=settings.btrst_address,
        minter_address=settings.minter_address,
        pays_from_reserve=settings.payout_mode == "transfer",
    )
    manager = None
    if key is not None:
        signer = IntentSigner(
            key,
            chain_id=settings.chain_id,
            allowed=contracts.allowed_calls(),
            max_fee_per_gas_wei=settings.max_fee_per_gas_wei,
        )
        limits = TxSettings(
            confirmations=settings.confirmations,
            replace_after_seconds=settings.replace_after_seconds,
            max_fee_per_gas_wei=settings.max_fee_per_gas_wei,
            daily_budget_wei=settings.gas_budget_wei_per_day,
        )
        manager = TxManager(
            context.database, client, signer, LANE, limits, contracts=contracts.contracts(), callbacks=CALLBACKS
        )
    return ChainSide(contracts, manager, _settled_indexer(context, contracts, settings.start_block))


def _settled_indexer(context: Context, contracts: Chain, start_block: int) -> LogIndexer:
    async def keep(session: Session, entry: Log) -> None:
        found = contracts.decode_settled(entry)
        if found is not None:
            await audit.record_settled(
                session,
                first_id=found["firstId"],
                reward_count=found["count"],
                sum_wei=found["sum"],
                leaves_root=found["leavesRoot"],
                chain_tx_hash=entry.transaction_hash,
                block_number=entry.block_number,
                block_hash=entry.block_hash,
            )

    async def forget(session: Session, from_block: int) -> None:
        await audit.forget_settled(session, from_block=from_block)

    return LogIndexer(
        context.database,
        contracts.client,
        chain,
        name="settled",
        addresses=[contracts.minter.address],
        topics=[[contracts.settled_topic]],
        handler=keep,
        rollback=forget,
        start_block=start_block,
        follow="finalized",
    )


def _of(note: Callable[..., Awaitable[None]]) -> Callable[[Session, Intent, Receipt], Awaitable[None]]:
    async def told(session: Session, intent: Intent, receipt: Receipt) -> None:
        place = Place(receipt.transaction_hash, receipt.block_number, receipt.block_hash)
        await note(session, settlement_id=outcomes.settlement_of(intent), place=place)

    return told


async def _on_unconfirmed(session: Session, intent: Intent) -> None:
    await outcomes.note_unconfirmed(session, settlement_id=outcomes.settlement_of(intent))


async def _on_failed(session: Session, intent: Intent, failure: Failure) -> None:
    await outcomes.note_failed(session, settlement_id=outcomes.settlement_of(intent), code=failure.code)


CALLBACKS = Callbacks(
    on_included=_of(outcomes.note_included),
    on_confirmed=_of(outcomes.note_confirmed),
    on_unconfirmed=_on_unconfirmed,
    on_failed=_on_failed,
)


async def settle_payouts(context: Context) -> bool:
    """Reserve the next settlement: look at the chain, then choose, number and reserve in one unit of work."""
    side: ChainSide | None = context.resources.chain_side
    if side is None or side.manager is None or time.monotonic() < side.blocked_until:
        return False
    async with context.database.unit_of_work() as session:
        if not await payouts.wants_payout(session, batch_wait_seconds=context.settings.batch_wait_seconds):
            return False
    try:
        view = await side.chain.look(side.manager.address)
        async with context.database.unit_of_work() as session:
            more = await payouts.reserve_settlement(session, view=view)
    except (*payouts.RESERVE_ERRORS, ChainError) as problem:
        log.info("payouts_wait", reason=str(problem)[:300])
        more = False
    if not more:
        side.blocked_until = time.monotonic() + context.settings.blocked_retry_seconds
    else:
        side.next_tick_at = 0.0
    return more


async def follow_chain(context: Context) -> bool:
    """Sign, send, and follow receipts; look only now and then while nothing is under way."""
    side: ChainSide | None = context.resources.chain_side
    if side is None or side.manager is None:
        return False
    async with context.database.unit_of_work() as session:
        is_busy = bool(await list_in_flight(session, LANE))
    if not is_busy and time.monotonic() < side.next_tick_at:
        return False
    side.report = await side.manager.tick()
    if is_busy:
        async with context.database.unit_of_work() as session:
            await outcomes.note_sent(session)
    side.next_tick_at = time.monotonic() + context.settings.idle_chain_seconds
    return False


async def reconcile_supply(context: Context) -> bool:
    """Read final `Settled` logs, and compare ledger and chain when there is something new to compare."""
    side: ChainSide | None = context.resources.chain_side
    if side is None:
        return False
    try:
        report = await side.indexer.tick()
        block = report.cursor_block
        is_due = time.monotonic() >= side.reconciled_at + RECONCILE_SECONDS
        if block is None or (block == side.reconciled_block and not is_due):
            return False
        supply = await side.chain.read_supply()
    except ChainError as problem:
        log.warning("audit_waits", reason=str(problem)[:300])
        return False
    async with context.database.unit_of_work() as session:
        is_stale = time.monotonic() >= side.recounted_at + RECOUNT_SECONDS
        reached, side.counted = await audit.reconcile(
            session,
            final_block=block,
            supply=supply,
            counted=audit.NOTHING if is_stale else side.counted,
        )
    side.reconciled_block, side.reconciled_at = reached, time.monotonic()
    if is_stale:
        side.recounted_at = side.reconciled_at
    return False


async def mend_settlements(context: Context) -> bool:
    """Plan failed settlements anew, and read back what a restored database has forgotten."""
    side: ChainSide | None = context.resources.chain_side
    if side is None or side.manager is None:
        return False
    async with context.database.unit_of_work() as session:
        forgotten = await recovery.list_forgotten(session)
        has_failed = await outcomes.has_failed(session)
    try:
        for entry in forgotten:
            if not await _recover(context, side, entry):
                return False
        if has_failed or _forgot_nonces(side):
            await _catch_up(context, side)
    except ChainError as problem:
        log.warning("mending_waits", reason=str(problem)[:300])
    return False


def _forgot_nonces(side: ChainSide) -> bool:
    report = side.report
    if report is None or report.chain_nonce is None or report.next_nonce is None:
        return False
    return report.chain_nonce > report.next_nonce


async def _recover(context: Context, side: ChainSide, entry: Any) -> bool:
    try:
        settled = await side.chain.read_settlement(entry)
        async with context.database.unit_of_work() as session:
            return await recovery.recover_settlement(session, settled=settled)
    except SettlementMismatch as problem:
        async with context.database.unit_of_work() as session:
            await halt_lane(session, LANE, str(problem))
        return False


async def _catch_up(context: Context, side: ChainSide) -> None:
    next_id = await side.chain.read_next_id()
    async with context.database.unit_of_work() as session:
        await outcomes.replan_failed(session, chain_next_id=next_id)
    if side.report is not None and side.report.chain_nonce is not None and _forgot_nonces(side):
        async with context.database.unit_of_work() as session:
            await recovery.catch_up_nonce(session, chain_nonce=side.report.chain_nonce, chain_next_id=next_id)


async def readiness(context: Context) -> dict[str, str]:
    """What `/readyz` says of payouts: the lane, what keeps it from reserving, and the reconciliation."""
    async with context.database.unit_of_work() as session:
        lane = await lane_status(session, LANE)
        problem = await audit.payout_problem(session)
    trouble = None if lane is None else lane.halted or lane.problem or lane.alarm
    return {"chain": trouble or ("ok" if lane is not None else "not reached yet"), "payouts": problem or "ok"}


async def measure_queue(context: Context) -> bool:
    """Show the queue of payouts in the metrics."""
    async with context.database.unit_of_work() as session:
        await audit.measure_queue(session)
    return False

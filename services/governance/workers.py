"""Background work of governance: index the chain's logs, open and count proposals, drive the relay."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Literal

from chassis.chain.errors import ChainMismatch, RpcError, RpcUnavailable
from chassis.chain.indexer import LogIndexer
from chassis.chain.intents import Intent
from chassis.chain.signer import IntentSigner, allow
from chassis.chain.tx_manager import Callbacks, Failure, TxManager, TxSettings
from chassis.chain.values import Block, Log, Receipt
from chassis.context import Context
from chassis.db import Database, Session
from chassis.telemetry import log
from chassis.workers import Worker
from services.governance.chain.contracts import Contracts, VotesChanged
from services.governance.chain.resources import Resources
from services.governance.models import RELAY, chain
from services.governance.service import delegations, parameters, power, proposals
from services.governance.settings import GovernanceSettings

Tick = Callable[[Context], Awaitable[bool]]


def _waits_for_the_node(tick: Tick) -> Tick:
    """A node that is away, or speaks for another chain, is waited for, quietly."""

    @wraps(tick)
    async def patient(context: Context) -> bool:
        try:
            return await tick(context)
        except (RpcUnavailable, RpcError, ChainMismatch) as error:
            log.warning("chain_waits", worker=tick.__name__, error=str(error)[:300])
            return False

    return patient


def votes_indexer(database: Database, contracts: Contracts, settings: GovernanceSettings) -> LogIndexer:
    """Reads the token's logs into the checkpoints of votes and supply."""
    token = contracts.btrst

    async def on_log(session: Session, found: Log) -> None:
        change = contracts.read_votes_log(found)
        if change is None:
            return
        if isinstance(change, VotesChanged):
            await power.record_votes(
                session,
                account=change.account,
                block_number=found.block_number,
                log_index=found.log_index,
                votes_wei=change.votes_wei,
            )
        else:
            await power.record_supply_change(
                session,
                block_number=found.block_number,
                log_index=found.log_index,
                change_wei=change.change_wei,
            )

    async def on_block(session: Session, block: Block) -> None:
        await power.record_head(session, block_number=block.number, timestamp=block.timestamp)

    return LogIndexer(
        database,
        contracts.client,
        chain,
        name="votes",
        addresses=[token.address],
        topics=[[token.topic("DelegateVotesChanged"), token.topic("Transfer")]],
        handler=on_log,
        rollback=power.forget_from,
        on_block=on_block,
        start_block=settings.start_block,
        follow=_follow(settings.index_follow),
    )


def parameters_indexer(database: Database, contracts: Contracts, settings: GovernanceSettings) -> LogIndexer:
    """Reads the versions of the parameters, once they are final."""
    registry = contracts.network_parameters

    async def on_log(session: Session, found: Log) -> None:
        version = contracts.read_parameters_log(found)
        if version is None:
            return
        await parameters.record_version(
            session,
            version=version.version,
            values=version.values,
            effective_at=version.effective_at,
            block_number=found.block_number,
            chain_tx_hash=found.transaction_hash,
        )

    return LogIndexer(
        database,
        contracts.client,
        chain,
        name="parameters",
        addresses=[registry.address],
        topics=[[registry.topic("ParametersSet")]],
        handler=on_log,
        rollback=parameters.forget_from,
        start_block=settings.start_block,
        follow="finalized",
    )


def relay_manager(database: Database, resources: Resources, settings: GovernanceSettings) -> TxManager | None:
    """Sends delegations with governance's own key; None without one.

    Raises: KeyRefused for a published development key off the local chain.
    """
    if resources.key is None:
        return None
    token = resources.contracts.btrst
    signer = IntentSigner(
        resources.key,
        chain_id=settings.chain_id,
        allowed=allow(token, "delegateBySig"),
        max_fee_per_gas_wei=settings.relay_max_fee_per_gas_wei,
    )
    limits = TxSettings(
        confirmations=settings.confirmations,
        max_fee_per_gas_wei=settings.relay_max_fee_per_gas_wei,
        daily_budget_wei=settings.relay_daily_budget_wei,
    )
    return TxManager(
        database,
        resources.client,
        signer,
        RELAY,
        limits,
        contracts={"btrst": token.address},
        callbacks=Callbacks(on_confirmed=_on_confirmed, on_unconfirmed=_on_unconfirmed, on_failed=_on_failed),
    )


async def _on_confirmed(session: Session, intent: Intent, _: Receipt) -> None:
    await delegations.note_confirmed(session, intent.id)


async def _on_unconfirmed(session: Session, intent: Intent) -> None:
    await delegations.note_unconfirmed(session, intent.id)


async def _on_failed(session: Session, intent: Intent, failure: Failure) -> None:
    await delegations.note_failed(session, intent.id, failure.code)


def _follow(text: str) -> Literal["latest", "finalized"] | int:
    if text == "latest":
        return "latest"
    return "finalized" if text == "finalized" else int(text)


@_waits_for_the_node
async def index_votes(context: Context) -> bool:
    """Read what is new, then ask for the times of its blocks; True while there is more."""
    resources: Resources = context.resources
    assert resources.votes_indexer is not None
    report = await resources.votes_indexer.tick()
    async with context.database.unit_of_work() as session:
        untimed = await power.list_untimed_blocks(session)
    if untimed:
        times = await resources.contracts.block_times(untimed)
        async with context.database.unit_of_work() as session:
            await power.record_times(session, times)
    return not report.caught_up or len(untimed) == power.UNTIMED_AT_ONCE


@_waits_for_the_node
async def index_parameters(context: Context) -> bool:
    """Read new versions; True while there is more."""
    resources: Resources = context.resources
    assert resources.parameters_indexer is not None
    return not (await resources.parameters_indexer.tick()).caught_up


async def open_proposals(context: Context) -> bool:
    """Open one proposal that is due; True when there was one."""
    async with context.database.unit_of_work() as session:
        return await proposals.open_next_proposal(session)


async def close_proposals(context: Context) -> bool:
    """Count one proposal that is due; True when there was one."""
    async with context.database.unit_of_work() as session:
        return await proposals.close_next_proposal(session)


async def relay_delegations(context: Context) -> bool:
    """Sign, send and follow what the relay's lane holds."""
    resources: Resources = context.resources
    if resources.relay is None:
        return False
    report = await resources.relay.tick()
    if report.leader and report.chain_nonce is not None and report.chain_nonce > (report.next_nonce or 0):
        log.warning("relay_catches_up", chain_nonce=report.chain_nonce, next_nonce=report.next_nonce)
        async with context.database.unit_of_work() as session:
            await delegations.catch_up_lane(session, report.chain_nonce)
    return False


WORKERS = (
    Worker("index_votes", index_votes, 0.5),
    Worker("index_parameters", index_parameters, 1.0),
    Worker("open_proposals", open_proposals, 0.25),
    Worker("close_proposals", close_proposals, 0.25),
    Worker("relay_delegations", relay_delegations, 0.4),
)

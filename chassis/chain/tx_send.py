"""Signing, sending, sending again, and replacing what waits too long. Stored before sent, always."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from chassis import tracing
from chassis.chain.attempts import Attempt, committed_gas_wei, list_attempts, mark_sent, store_attempt
from chassis.chain.errors import IntentRefused, RpcError, RpcUnavailable
from chassis.chain.fees import Fees, replacement_fees
from chassis.chain.intents import Intent, IntentState, halt_lane, list_in_flight
from chassis.chain.lane_run import LaneRun, View
from chassis.chain.signer import SignedTransaction
from chassis.chain.tx_watch import move
from chassis.chain.values import hex_text
from chassis.failpoints import failpoint

log = structlog.get_logger(__name__)

_WAITING = (IntentState.SIGNED, IntentState.BROADCAST)
# What nodes say of a transaction they have, had, or hold a better bid for: the receipts will tell.
_HARMLESS = ("already known", "already imported", "nonce too low", "underpriced", "already exists")


async def send_waiting(run: LaneRun, view: View, mined: set[UUID], *, may_sign: bool) -> None:
    """Sign what is reserved, send what is not mined, replace the first in line when it waits too long.

    A halted lane (`may_sign` false) signs nothing new, but keeps sending what it has signed.
    Raises: RpcUnavailable, LeaseLost.
    """
    if may_sign:
        await _sign_reserved(run, view)
    waiting, attempts = await _list_waiting(run, mined)
    if may_sign and waiting and await _replace(run, view, waiting[0], attempts[waiting[0].id]):
        waiting, attempts = await _list_waiting(run, mined)
    for intent in waiting:
        # An attempt without bytes was found on the chain, and is not ours to send.
        sendable = [attempt for attempt in attempts[intent.id] if attempt.raw]
        if sendable and _is_due(run, sendable[-1]):
            await _send(run, intent, sendable[-1])


async def _list_waiting(run: LaneRun, mined: set[UUID]) -> tuple[list[Intent], Mapping[UUID, Sequence[Attempt]]]:
    async with run.database.unit_of_work() as session:
        in_flight = await list_in_flight(session, run.lane)
        waiting = [intent for intent in in_flight if intent.state in _WAITING and intent.id not in mined]
        return waiting, await list_attempts(session, run.lane, [intent.id for intent in waiting])


async def _sign_reserved(run: LaneRun, view: View) -> None:
    async with run.database.unit_of_work() as session:
        in_flight = await list_in_flight(session, run.lane)
    for intent in in_flight:
        if intent.state != IntentState.RESERVED:
            continue
        # A nonce the chain has used is not ours to sign; nor may any other be signed behind the gap.
        if intent.nonce < view.chain_nonce or not await _sign_first(run, view, intent):
            return


async def _sign_first(run: LaneRun, view: View, intent: Intent) -> bool:
    fees = run.market(view)
    if not await _within_budget(run, intent.gas_limit * fees.max_fee_per_gas_wei, intent):
        return False
    signed = await _sign(run, intent, fees)
    if signed is None:
        return False
    failpoint("p7")
    async with run.fenced() as session:
        await move(run, session, intent, IntentState.SIGNED)
        await store_attempt(
            session, run.lane, intent_id=intent.id, position=0, signed=signed, signed_at_block=view.tip.number
        )
    failpoint("p8")
    return True


async def _replace(run: LaneRun, view: View, intent: Intent, attempts: Sequence[Attempt]) -> bool:
    """Sign a higher bid for the first in line; those behind it wait for it, not for a better price."""
    last = attempts[-1] if attempts else None
    if last is None or not _is_overdue(run, view, intent, last):
        return False
    if len(attempts) >= run.settings.max_attempts:
        run.alarms.append(f"nonce {intent.nonce} waits after {len(attempts)} attempts")
        return False
    fees = replacement_fees(last.fees, run.market(view), run.settings.ceilings)
    if fees is None:
        run.alarms.append(f"nonce {intent.nonce} waits: a higher bid would pass the ceiling")
        return False
    more = intent.gas_limit * (fees.max_fee_per_gas_wei - last.fees.max_fee_per_gas_wei)
    if not await _within_budget(run, more, intent):
        return False
    signed = await _sign(run, intent, fees)
    if signed is None:
        return False
    async with run.fenced() as session:
        await store_attempt(
            session,
            run.lane,
            intent_id=intent.id,
            position=len(attempts),
            signed=signed,
            signed_at_block=view.tip.number,
        )
    failpoint("p10")
    log.warning("chain.replaced", lane=run.lane.name, nonce=intent.nonce, attempt=len(attempts) + 1)
    return True


async def _sign(run: LaneRun, intent: Intent, fees: Fees) -> SignedTransaction | None:
    told = {"btrst.chain.id": run.signer.chain_id, "btrst.chain.nonce": intent.nonce, "btrst.lane": intent.lane}
    try:
        with tracing.span("chain sign", parent=intent.traceparent, attributes=told) as span:
            signed = await run.signer.sign(
                to=intent.to,
                calldata=intent.calldata,
                nonce=intent.nonce,
                gas_limit=intent.gas_limit,
                fees=fees,
            )
            span.set({"btrst.chain.tx_hash": signed.hash})
            return signed
    except IntentRefused as refusal:
        # It will be refused again, and nothing behind it can pass: a person must look.
        async with run.fenced() as session:
            await halt_lane(session, run.lane, f"nonce {intent.nonce} is refused by the signer: {refusal}")
        return None


async def _send(run: LaneRun, intent: Intent, attempt: Attempt) -> None:
    """Send once. Whatever comes back, even nothing, it may have arrived: only receipts decide."""
    lost: RpcUnavailable | None = None
    told = {
        "rpc.system.name": "jsonrpc",
        "rpc.method": "eth_sendRawTransaction",
        "btrst.chain.tx_hash": attempt.hash,
        "btrst.chain.nonce": intent.nonce,
    }
    try:
        with tracing.span("eth_sendRawTransaction", "client", parent=intent.traceparent, attributes=told):
            await run.client.rpc.call("eth_sendRawTransaction", hex_text(attempt.raw), once=True)
        answer = "accepted"
        failpoint("p9")
    except RpcError as refusal:
        answer = refusal.message
        if not any(known in answer.lower() for known in _HARMLESS):
            run.problems.append(f"the node refuses nonce {intent.nonce}: {answer}")
    except RpcUnavailable as problem:
        answer, lost = f"no answer: {problem}", problem
    async with run.fenced() as session:
        await mark_sent(session, run.lane, attempt.hash, answer)
        if intent.state == IntentState.SIGNED:
            await move(run, session, intent, IntentState.BROADCAST)
    if lost is not None:
        raise lost


async def _within_budget(run: LaneRun, more_wei: int, intent: Intent) -> bool:
    async with run.database.unit_of_work() as session:
        committed = await committed_gas_wei(session, run.lane)
    if committed + more_wei <= run.settings.daily_budget_wei:
        return True
    run.alarms.append(f"nonce {intent.nonce} waits: the day's gas budget is used up ({committed} wei)")
    return False


def _is_due(run: LaneRun, attempt: Attempt) -> bool:
    return attempt.sent_ago_seconds is None or attempt.sent_ago_seconds >= run.settings.rebroadcast_seconds


def _is_overdue(run: LaneRun, view: View, intent: Intent, last: Attempt) -> bool:
    is_first_in_line = intent.nonce == view.chain_nonce
    # While no block has passed it by, nobody has outbid it.
    passed_by = view.tip.number > last.signed_at_block
    return is_first_in_line and passed_by and last.age_seconds >= run.settings.replace_after_seconds

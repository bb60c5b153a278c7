"""Watching receipts: what the chain says became of each attempt, written down with the service's callback."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import structlog
from sqlalchemy import func, update

from chassis import tracing
from chassis.chain.attempts import list_attempts
from chassis.chain.errors import LeaseLost, RpcError
from chassis.chain.intents import Intent, IntentState, list_in_flight
from chassis.chain.keys import LOCAL_CHAIN_ID
from chassis.chain.lane_run import Failure, LaneRun, View
from chassis.chain.values import Receipt, hex_bytes, hex_text
from chassis.db import Session
from chassis.failpoints import failpoint

log = structlog.get_logger(__name__)

_MINED = (IntentState.INCLUDED, IntentState.CONFIRMED, IntentState.REVERTED)
_FORGET_BLOCK: dict[str, Any] = {
    "transaction_hash": None,
    "block_number": None,
    "block_hash": None,
    "gas_used": None,
    "gas_price_wei": None,
    "mined_at": None,
    "failure_code": None,
    "failure_data": None,
    "is_settled": False,
}


async def watch_receipts(run: LaneRun, view: View) -> set[Any]:
    """Move every intent to where its receipt says it is; a service's failing callback stops only its own intent.

    The ids of the intents that are mined, in whatever way: they need no sending.
    """
    async with run.database.unit_of_work() as session:
        intents = await list_in_flight(session, run.lane)
        attempts = await list_attempts(session, run.lane, [intent.id for intent in intents])
    hashes = [attempt.hash for intent in intents for attempt in attempts[intent.id]]
    receipts = dict(zip(hashes, await run.client.receipts(hashes), strict=True))
    mined = set()
    for intent in intents:
        receipt = _first([receipts[attempt.hash] for attempt in attempts[intent.id]])
        if receipt is not None:
            mined.add(intent.id)
        try:
            with tracing.within(intent.traceparent):
                await _follow(run, view, intent, receipt)
        except LeaseLost:
            raise
        except Exception as problem:
            log.exception("chain.intent_failed", lane=run.lane.name, nonce=intent.nonce)
            run.problems.append(f"nonce {intent.nonce}: {type(problem).__name__}: {problem}")
    return mined


async def unconfirm(run: LaneRun, session: Session, intent: Intent) -> Intent:
    """Back to BROADCAST: its receipt went away or moved. The service hears of it if it had heard of a receipt."""
    in_line = {"waiting_since": func.clock_timestamp(), **_FORGET_BLOCK}
    await move(run, session, intent, IntentState.BROADCAST, **in_line)
    back = replace(intent, state=IntentState.BROADCAST, transaction_hash=None, block_number=None, block_hash=None)
    await run.callbacks.on_unconfirmed(session, back)
    log.warning("chain.unconfirmed", lane=run.lane.name, nonce=intent.nonce, was=intent.state)
    return back


async def move(run: LaneRun, session: Session, intent: Intent, to: IntentState, **values: Any) -> None:
    """Write the new state, only if the intent still stands where this process read it.

    Raises: LeaseLost when somebody else has moved it.
    """
    intents = run.lane.tables.intents
    still = (intents.c.id == intent.id) & (intents.c.state == intent.state)
    done = await session.execute(update(intents).where(still).values(state=to, **values))
    if done.rowcount != 1:
        raise LeaseLost(f"nonce {intent.nonce} is no longer {intent.state}")


async def _follow(run: LaneRun, view: View, intent: Intent, receipt: Receipt | None) -> None:
    moved = receipt is None or receipt.block_hash != intent.block_hash
    if intent.state in _MINED and moved and not _is_node_behind(view, intent):
        async with run.fenced() as session:
            intent = await unconfirm(run, session, intent)
    if receipt is None:
        return
    if receipt.status == 1 and _has_expected_log(intent, receipt):
        await _follow_success(run, view, intent, receipt)
    else:
        await _follow_failure(run, view, intent, receipt)


async def _follow_success(run: LaneRun, view: View, intent: Intent, receipt: Receipt) -> None:
    if intent.state not in (IntentState.INCLUDED, IntentState.CONFIRMED):
        failpoint("p12")
        async with run.fenced() as session:
            mined = _mined(receipt)
            await move(run, session, intent, IntentState.INCLUDED, **mined)
            intent = _at(intent, IntentState.INCLUDED, receipt)
            await run.callbacks.on_included(session, intent, receipt)
    if intent.state == IntentState.INCLUDED and _is_deep(run, view, receipt):
        failpoint("p14")
        told = {"btrst.chain.tx_hash": receipt.transaction_hash, "btrst.chain.block_number": receipt.block_number}
        with tracing.span("chain confirm", parent=tracing.current_traceparent(), attributes=told):
            async with run.fenced() as session:
                await move(run, session, intent, IntentState.CONFIRMED)
                intent = replace(intent, state=IntentState.CONFIRMED)
                await run.callbacks.on_confirmed(session, intent, receipt)
        log.info("chain.confirmed", lane=run.lane.name, nonce=intent.nonce, tx=receipt.transaction_hash)
    if intent.state == IntentState.CONFIRMED and _is_final(view, receipt):
        async with run.fenced() as session:
            await move(run, session, intent, IntentState.FINAL, is_settled=True)
            intent = replace(intent, state=IntentState.FINAL, is_settled=True)
            await run.callbacks.on_final(session, intent, receipt)


async def _follow_failure(run: LaneRun, view: View, intent: Intent, receipt: Receipt) -> None:
    """A failed transaction counts only once it is deep, and is watched on until it is final."""
    if intent.state == IntentState.REVERTED:
        if _is_final(view, receipt):
            async with run.fenced() as session:
                await move(run, session, intent, IntentState.REVERTED, is_settled=True)
        return
    if not _is_deep(run, view, receipt):
        return
    failure = await _explain(run, intent, receipt)
    failpoint("p11")
    async with run.fenced() as session:
        values = _mined(receipt) | {"failure_code": failure.code, "failure_data": failure.data}
        await move(run, session, intent, IntentState.REVERTED, **values)
        await run.callbacks.on_failed(session, _at(intent, IntentState.REVERTED, receipt, failure), failure)
    log.error("chain.reverted", lane=run.lane.name, nonce=intent.nonce, code=failure.code)


async def _explain(run: LaneRun, intent: Intent, receipt: Receipt) -> Failure:
    if receipt.status == 1:
        return Failure("log_missing")
    if receipt.gas_used >= intent.gas_limit:
        return Failure("out_of_gas")
    call = {
        "from": run.signer.address,
        "to": intent.to,
        "data": hex_text(intent.calldata),
        "gas": hex(intent.gas_limit),
    }
    try:
        # The state at the end of the block before: the same transaction meets the same refusal there, unless
        # its own block changed something, and then there are no bytes to tell.
        await run.client.rpc.call("eth_call", call, hex(receipt.block_number - 1))
    except RpcError as problem:
        return Failure("reverted", _revert_bytes(problem.data))
    return Failure("reverted")


def _revert_bytes(data: Any) -> bytes:
    try:
        return hex_bytes(data) if isinstance(data, str) else b""
    except ValueError:
        return b""


def _first(receipts: Sequence[Receipt | None]) -> Receipt | None:
    return next((receipt for receipt in receipts if receipt is not None), None)


def _has_expected_log(intent: Intent, receipt: Receipt) -> bool:
    return intent.expected_log is None or receipt.has_log(*intent.expected_log)


def _is_deep(run: LaneRun, view: View, receipt: Receipt) -> bool:
    return view.tip.number >= receipt.block_number + run.settings.confirmations


def _is_final(view: View, receipt: Receipt) -> bool:
    return view.finalized is not None and receipt.block_number <= view.finalized


def _is_node_behind(view: View, intent: Intent) -> bool:
    """Another node, not yet at the block this intent is in, says nothing about it. (The local chain is one node:
    there the block is gone.)"""
    return view.identity.chain_id != LOCAL_CHAIN_ID and view.tip.number < (intent.block_number or 0)


def _mined(receipt: Receipt) -> dict[str, Any]:
    return {
        "transaction_hash": receipt.transaction_hash,
        "block_number": receipt.block_number,
        "block_hash": receipt.block_hash,
        "gas_used": receipt.gas_used,
        "gas_price_wei": receipt.effective_gas_price_wei,
        "mined_at": func.clock_timestamp(),
    }


def _at(intent: Intent, state: IntentState, receipt: Receipt, failure: Failure | None = None) -> Intent:
    return replace(
        intent,
        state=state,
        transaction_hash=receipt.transaction_hash,
        block_number=receipt.block_number,
        block_hash=receipt.block_hash,
        failure_code=failure.code if failure else None,
        failure_data=failure.data if failure else None,
    )

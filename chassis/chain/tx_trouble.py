"""When the chain and the lane disagree on nonces: used by somebody else, or forgotten by the chain."""

from typing import Any

import structlog
from sqlalchemy import and_, select

from chassis.chain.attempts import list_attempts, store_attempt
from chassis.chain.errors import RpcUnavailable
from chassis.chain.fees import Fees
from chassis.chain.intents import Intent, IntentState, halt_lane, list_in_flight, to_intent
from chassis.chain.keys import LOCAL_CHAIN_ID
from chassis.chain.lane_run import LaneRun, View
from chassis.chain.signer import SignedTransaction
from chassis.chain.tx_watch import move, unconfirm
from chassis.chain.values import hex_text

log = structlog.get_logger(__name__)


class ForeignNonces:
    """Notices nonces that the chain has used with none of our transactions.

    One look can deceive (a block in between, two nodes not quite agreed), so a nonce counts as taken only after
    `confirmations` more blocks have shown the same.
    """

    def __init__(self) -> None:
        self._first_seen: dict[int, int] = {}

    async def check(self, run: LaneRun, view: View, mined: set[Any]) -> None:
        """Find the transaction that took a nonce if it is ours and forgotten; otherwise halt the lane.

        Raises: RpcUnavailable, LeaseLost.
        """
        async with run.database.unit_of_work() as session:
            in_flight = await list_in_flight(session, run.lane)
        taken = [each for each in in_flight if each.nonce < view.chain_nonce and each.id not in mined]
        seen = self._first_seen
        self._first_seen = {each.nonce: seen.get(each.nonce, view.tip.number) for each in taken}
        for intent in taken:
            is_sure = view.tip.number >= self._first_seen[intent.nonce] + run.settings.confirmations
            if is_sure and intent.state != IntentState.FOREIGN_NONCE:
                await _settle_taken(run, view, intent)


async def _settle_taken(run: LaneRun, view: View, intent: Intent) -> None:
    found = await _find_forgotten(run, view, intent)
    async with run.fenced() as session:
        if found is not None:
            known = await list_attempts(session, run.lane, [intent.id])
            await store_attempt(
                session,
                run.lane,
                intent_id=intent.id,
                position=len(known[intent.id]),
                signed=found,
                signed_at_block=view.tip.number,
            )
            await move(run, session, intent, IntentState.BROADCAST)
            return
        await move(run, session, intent, IntentState.FOREIGN_NONCE)
        reason = f"nonce {intent.nonce} of {run.signer.address} was used by a transaction that is not this lane's"
        await halt_lane(session, run.lane, reason)
    log.error("chain.foreign_nonce", lane=run.lane.name, nonce=intent.nonce)


async def _find_forgotten(run: LaneRun, view: View, intent: Intent) -> SignedTransaction | None:
    """Our own transaction, signed before the database was restored from a copy: the same call at the same nonce."""
    if intent.expected_log is None:
        return None
    address, topic = intent.expected_log
    logs = await run.client.logs(
        from_block=max(0, view.tip.number - run.settings.foreign_search_blocks),
        to_block=view.tip.number,
        addresses=[address],
        topics=[topic],
    )
    hashes = list(dict.fromkeys(each.transaction_hash for each in reversed(logs)))
    transactions = await run.client.rpc.batch([("eth_getTransactionByHash", (each,)) for each in hashes])
    for transaction in transactions:
        if isinstance(transaction, dict) and _is_ours(run, intent, transaction):
            fees = Fees(int(transaction["maxFeePerGas"], 16), int(transaction["maxPriorityFeePerGas"], 16))
            return SignedTransaction(b"", transaction["hash"], fees)
    return None


def _is_ours(run: LaneRun, intent: Intent, transaction: dict[str, Any]) -> bool:
    return (
        transaction["from"].lower() == run.signer.address.lower()
        and int(transaction["nonce"], 16) == intent.nonce
        and (transaction["to"] or "").lower() == intent.to.lower()
        and transaction["input"].lower() == hex_text(intent.calldata)
        and transaction.get("maxFeePerGas") is not None
    )


async def check_lost_tail(run: LaneRun, view: View) -> bool:
    """Whether the chain has forgotten final transactions of this lane; puts them back in line on the local chain.

    The local node writes its state every few seconds, so killing it loses the newest blocks, final or not: the
    stored bytes are sent again in nonce order. Elsewhere that cannot happen: the lane halts.
    Raises: RpcUnavailable when this node is merely behind; LeaseLost.
    """
    intents = run.lane.tables.intents
    forgotten = and_(intents.c.lane == run.lane.name, intents.c.is_settled, intents.c.nonce >= view.chain_nonce)
    async with run.database.unit_of_work() as session:
        rows = await session.execute(select(intents).where(forgotten).order_by(intents.c.nonce))
        lost = [to_intent(row) for row in rows.mappings()]
    if not lost:
        return False
    if view.identity.chain_id != LOCAL_CHAIN_ID:
        return await _refuse_lost_tail(run, view, lost)
    async with run.fenced() as session:
        for intent in lost:
            await unconfirm(run, session, intent)
    log.warning("chain.lost_tail", lane=run.lane.name, first_nonce=lost[0].nonce, count=len(lost))
    return True


async def _refuse_lost_tail(run: LaneRun, view: View, lost: list[Intent]) -> bool:
    if view.tip.number < max(intent.block_number or 0 for intent in lost):
        raise RpcUnavailable(f"the node is behind: its tip is block {view.tip.number}")
    async with run.fenced() as session:
        reason = f"the chain has forgotten final transactions from nonce {lost[0].nonce} on"
        await halt_lane(session, run.lane, reason)
    return True

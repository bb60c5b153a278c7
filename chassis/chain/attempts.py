"""Signed transactions of an intent, as stored before they are sent: the first bid and its replacements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import case, func, select, update

from chassis.chain.fees import Fees
from chassis.chain.signer import SignedTransaction
from chassis.chain.tables import Lane
from chassis.db import Session


@dataclass(frozen=True)
class Attempt:
    """One signed transaction. Ages are by the database's clock; `age_seconds` counts from when it was signed, or
    from when its intent was last put back in line."""

    hash: str
    intent_id: UUID
    position: int
    raw: bytes
    fees: Fees
    signed_at_block: int
    age_seconds: float
    sent_ago_seconds: float | None


async def list_attempts(session: Session, lane: Lane, intent_ids: Sequence[UUID]) -> dict[UUID, list[Attempt]]:
    """The attempts of each intent, oldest first; intents without one have an empty list."""
    intents, attempts = lane.tables.intents, lane.tables.attempts
    found: dict[UUID, list[Attempt]] = {each: [] for each in intent_ids}
    if not intent_ids:
        return found
    since = func.greatest(attempts.c.created_at, intents.c.waiting_since)
    age = func.extract("epoch", func.clock_timestamp() - since).label("age_seconds")
    sent_ago = func.extract("epoch", func.clock_timestamp() - attempts.c.sent_at).label("sent_ago_seconds")
    rows = await session.execute(
        select(attempts, age, sent_ago)
        .join(intents, intents.c.id == attempts.c.intent_id)
        .where(attempts.c.intent_id.in_(intent_ids))
        .order_by(attempts.c.intent_id, attempts.c.position)
    )
    for row in rows.mappings():
        found[row["intent_id"]].append(_to_attempt(row))
    return found


async def store_attempt(
    session: Session,
    lane: Lane,
    *,
    intent_id: UUID,
    position: int,
    signed: SignedTransaction,
    signed_at_block: int,
) -> None:
    """Keep a signed transaction, before it is sent."""
    values = {
        "hash": signed.hash,
        "intent_id": intent_id,
        "position": position,
        "raw": signed.raw,
        "max_fee_per_gas_wei": signed.fees.max_fee_per_gas_wei,
        "max_priority_fee_per_gas_wei": signed.fees.max_priority_fee_per_gas_wei,
        "signed_at_block": signed_at_block,
    }
    await session.execute(lane.tables.attempts.insert().values(values))


async def mark_sent(session: Session, lane: Lane, transaction_hash: str, answer: str) -> None:
    """Note that the attempt went out now, and what the node said."""
    attempts = lane.tables.attempts
    sent = {"sent_at": func.clock_timestamp(), "last_answer": answer[:300]}
    await session.execute(update(attempts).where(attempts.c.hash == transaction_hash).values(sent))


async def committed_gas_wei(session: Session, lane: Lane) -> int:
    """What the lane has paid for gas in the last 24 hours, plus the most that what is in flight may cost."""
    intents, attempts = lane.tables.intents, lane.tables.attempts
    highest_bid = (
        select(func.coalesce(func.max(attempts.c.max_fee_per_gas_wei), 0))
        .where(attempts.c.intent_id == intents.c.id)
        .scalar_subquery()
    )
    cost = case(
        (intents.c.mined_at.is_not(None), intents.c.gas_used * intents.c.gas_price_wei),
        else_=intents.c.gas_limit * highest_bid,
    )
    day_ago = func.clock_timestamp() - func.make_interval(0, 0, 0, 1)
    counted = intents.c.mined_at.is_(None) | (intents.c.mined_at > day_ago)
    total = await session.scalar(select(func.coalesce(func.sum(cost), 0)).where(intents.c.lane == lane.name, counted))
    return int(total)


def _to_attempt(row: Mapping[Any, Any]) -> Attempt:
    sent_ago = row["sent_ago_seconds"]
    return Attempt(
        hash=row["hash"],
        intent_id=row["intent_id"],
        position=row["position"],
        raw=bytes(row["raw"]),
        fees=Fees(row["max_fee_per_gas_wei"], row["max_priority_fee_per_gas_wei"]),
        signed_at_block=row["signed_at_block"],
        age_seconds=float(row["age_seconds"]),
        sent_ago_seconds=None if sent_ago is None else float(sent_ago),
    )

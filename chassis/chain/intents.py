"""Intents: what a lane has promised to put on the chain. Reserving, reading and the lane's own state; no network."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, func, select, update

from chassis.chain.errors import LaneFull, LaneHalted, LaneNotOpen
from chassis.chain.tables import Lane
from chassis.db import Session
from chassis.ids import new_id
from chassis.tracing import current_traceparent

MAX_IN_FLIGHT = 16
"""Nodes keep 16 waiting transactions per sender; more may be dropped."""


class IntentState(StrEnum):
    """RESERVED → SIGNED → BROADCAST → INCLUDED → CONFIRMED → FINAL; beside them the two that go wrong."""

    RESERVED = "reserved"
    SIGNED = "signed"
    BROADCAST = "broadcast"
    INCLUDED = "included"
    CONFIRMED = "confirmed"
    FINAL = "final"
    REVERTED = "reverted"
    FOREIGN_NONCE = "foreign_nonce"


_UNCONFIRMED = (
    IntentState.RESERVED,
    IntentState.SIGNED,
    IntentState.BROADCAST,
    IntentState.INCLUDED,
    IntentState.FOREIGN_NONCE,
)


@dataclass(frozen=True)
class Intent:
    """One call at one nonce. From reserving on, its content never changes; only where it stands does."""

    id: UUID
    lane: str
    nonce: int
    state: IntentState
    reference: str
    first_id: int | None
    count: int
    to: str
    calldata: bytes
    gas_limit: int
    expected_log: tuple[str, str] | None
    transaction_hash: str | None
    block_number: int | None
    block_hash: str | None
    failure_code: str | None
    failure_data: bytes | None
    is_settled: bool
    created_at: datetime
    traceparent: str | None = None


@dataclass(frozen=True)
class LaneStatus:
    """How a lane stands, for readiness and audits. `halted` needs a person; `problem` may pass by itself."""

    address: str
    chain_id: int
    genesis_hash: str
    halted: str | None
    problem: str | None
    alarm: str | None
    in_flight: int
    next_nonce: int


async def reserve(
    session: Session,
    *,
    lane: Lane,
    to: str,
    calldata: bytes,
    gas_limit: int,
    reference: str,
    first_id: int | None = None,
    count: int = 0,
    expected_log: tuple[str, str] | None = None,
) -> Intent:
    """Give the call the lane's next nonce, in the caller's unit of work. Nothing is sent yet.

    `expected_log` is (address, first topic) of the log without which a receipt does not count. Reserve last in
    the unit of work: it makes every other reserve of the lane wait for the commit.
    Raises: LaneNotOpen, LaneHalted, LaneFull.
    """
    await _lock_reserving(session, lane)
    status = await lane_status(session, lane)
    if status is None:
        raise LaneNotOpen(f"lane {lane.name} has not reached the chain yet")
    if status.halted is not None:
        raise LaneHalted(status.halted)
    if status.in_flight >= MAX_IN_FLIGHT:
        raise LaneFull(f"{status.in_flight} transactions are in flight")
    intents = lane.tables.intents
    values = {
        "id": new_id(),
        "lane": lane.name,
        "nonce": status.next_nonce,
        "state": IntentState.RESERVED,
        "reference": reference,
        "first_id": first_id,
        "count": count,
        "to_address": to,
        "calldata": calldata,
        "gas_limit": gas_limit,
        "log_address": expected_log[0] if expected_log else None,
        "log_topic": expected_log[1] if expected_log else None,
        "traceparent": current_traceparent(),
    }
    row = await session.execute(intents.insert().values(values).returning(*intents.c))
    return to_intent(row.mappings().one())


async def find_intent(session: Session, lane: Lane, intent_id: UUID) -> Intent | None:
    """The intent, or None."""
    intents = lane.tables.intents
    return await _one(session, select(intents).where(intents.c.id == intent_id))


async def find_intent_by_reference(session: Session, lane: Lane, reference: str) -> Intent | None:
    """The newest intent the caller reserved under `reference`, or None."""
    intents = lane.tables.intents
    wanted = and_(intents.c.lane == lane.name, intents.c.reference == reference)
    return await _one(session, select(intents).where(wanted).order_by(intents.c.nonce.desc()).limit(1))


async def list_in_flight(session: Session, lane: Lane) -> list[Intent]:
    """Every intent that a reorganisation can still change, by nonce. Empty: other content may take old ids."""
    intents = lane.tables.intents
    wanted = and_(intents.c.lane == lane.name, ~intents.c.is_settled)
    rows = await session.execute(select(intents).where(wanted).order_by(intents.c.nonce))
    return [to_intent(row) for row in rows.mappings()]


async def lane_status(session: Session, lane: Lane) -> LaneStatus | None:
    """How the lane stands, or None when no worker has opened it yet."""
    lanes, intents = lane.tables.lanes, lane.tables.intents
    highest = select(func.max(intents.c.nonce)).where(intents.c.lane == lane.name).scalar_subquery()
    unconfirmed = and_(intents.c.lane == lane.name, intents.c.state.in_(_UNCONFIRMED), ~intents.c.is_settled)
    row = await session.execute(
        select(
            lanes.c.address,
            lanes.c.chain_id,
            lanes.c.genesis_hash,
            lanes.c.halted,
            lanes.c.problem,
            lanes.c.alarm,
            select(func.count()).where(unconfirmed).scalar_subquery().label("in_flight"),
            func.greatest(lanes.c.first_nonce, highest + 1).label("next_nonce"),
        ).where(lanes.c.name == lane.name)
    )
    found = row.mappings().one_or_none()
    return LaneStatus(**found) if found else None


async def halt_lane(session: Session, lane: Lane, reason: str) -> None:
    """Stop reserving and signing until `resume_lane`; the first reason stays. What was signed is still sent."""
    lanes = lane.tables.lanes
    still_running = and_(lanes.c.name == lane.name, lanes.c.halted.is_(None))
    await session.execute(update(lanes).where(still_running).values(halted=reason))


async def resume_lane(session: Session, lane: Lane) -> None:
    """Let a halted lane go on, after a person has dealt with the reason."""
    lanes = lane.tables.lanes
    await session.execute(update(lanes).where(lanes.c.name == lane.name).values(halted=None))


async def advance_lane(session: Session, lane: Lane, nonce: int) -> None:
    """Make `nonce` the least the lane will reserve next.

    For a restored database that has forgotten transactions: only after the service has read from the chain what
    they did, or it would do it again.
    """
    await _lock_reserving(session, lane)
    lanes = lane.tables.lanes
    raised = func.greatest(lanes.c.first_nonce, nonce)
    await session.execute(update(lanes).where(lanes.c.name == lane.name).values(first_nonce=raised))


def to_intent(row: Mapping[Any, Any]) -> Intent:
    """An intent from its row."""
    return Intent(
        id=row["id"],
        lane=row["lane"],
        nonce=row["nonce"],
        state=IntentState(row["state"]),
        reference=row["reference"],
        first_id=row["first_id"],
        count=row["count"],
        to=row["to_address"],
        calldata=bytes(row["calldata"]),
        gas_limit=row["gas_limit"],
        expected_log=(row["log_address"], row["log_topic"]) if row["log_address"] else None,
        transaction_hash=row["transaction_hash"],
        block_number=row["block_number"],
        block_hash=row["block_hash"],
        failure_code=row["failure_code"],
        failure_data=row["failure_data"],
        is_settled=row["is_settled"],
        created_at=row["created_at"],
        traceparent=row["traceparent"],
    )


async def _one(session: Session, statement: Select[Any]) -> Intent | None:
    row = (await session.execute(statement)).mappings().one_or_none()
    return to_intent(row) if row else None


async def _lock_reserving(session: Session, lane: Lane) -> None:
    # Not a lock on the lane's row: the lease holder keeps that one while it runs a service's callback.
    key = func.hashtextextended(f"chain lane {lane.name}", 0)
    await session.execute(select(func.pg_advisory_xact_lock(key)))

"""SQL for what the service is told: parties, payout wallets, parameters."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, or_, select, update
from sqlalchemy.dialects.postgresql import distinct_on, insert

from chassis.db import Session
from services.rewards.models import parameter_versions, parties, payout_wallets


async def lock_parties(session: Session, member_ids: Collection[UUID]) -> dict[UUID, Row[Any]]:
    """The members' rows, made where missing, locked in id order."""
    ordered = sorted(set(member_ids))
    if not ordered:
        return {}
    query = select(parties).where(parties.c.member_id.in_(ordered)).order_by(parties.c.member_id).with_for_update()
    found = {row.member_id: row for row in await session.execute(query)}
    missing = [{"member_id": member_id} for member_id in ordered if member_id not in found]
    if missing:
        await session.execute(insert(parties).values(missing).on_conflict_do_nothing())
        found = {row.member_id: row for row in await session.execute(query)}
    return found


async def learn_party(session: Session, member_id: UUID, *, connector_id: UUID | None, registered_at: datetime) -> None:
    """Write the attribution of a member whose row is locked."""
    await session.execute(
        update(parties)
        .where(parties.c.member_id == member_id, ~parties.c.is_known)
        .values(is_known=True, is_unknown_to_identity=False, connector_id=connector_id, registered_at=registered_at)
    )


async def mark_party_unknown(session: Session, member_id: UUID) -> None:
    """Identity does not know this member."""
    await session.execute(
        update(parties)
        .where(parties.c.member_id == member_id, ~parties.c.is_known)
        .values(is_unknown_to_identity=True, needed_since=None)
    )


async def need_parties(session: Session, member_ids: Collection[UUID], now: datetime) -> None:
    """Note that transactions wait for these members."""
    await session.execute(
        update(parties)
        .where(parties.c.member_id.in_(list(member_ids)), ~parties.c.is_known, parties.c.needed_since.is_(None))
        .values(needed_since=now)
    )


async def take_parties_to_ask(session: Session, now: datetime, wait: timedelta, limit: int) -> list[UUID]:
    """Members needed for longer than `wait` and not asked for within it; they count as asked from now on."""
    due = (
        select(parties.c.member_id)
        .where(
            parties.c.needed_since <= now - wait,
            ~parties.c.is_known,
            or_(parties.c.asked_at.is_(None), parties.c.asked_at <= now - wait),
        )
        .order_by(parties.c.needed_since)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    rows = await session.execute(
        update(parties)
        .where(parties.c.member_id.in_(select(due.c.member_id)))
        .values(asked_at=now)
        .returning(parties.c.member_id)
    )
    return list(rows.scalars())


async def set_receivables(session: Session, receivables: Mapping[UUID, int]) -> None:
    """Write what each member (row locked) still owes."""
    for member_id, owed in sorted(receivables.items()):
        await session.execute(update(parties).where(parties.c.member_id == member_id).values(receivable_wei=owed))


async def add_receivable(session: Session, member_id: UUID, amount_wei: int) -> None:
    """Let the member owe `amount_wei` more."""
    await session.execute(
        update(parties)
        .where(parties.c.member_id == member_id)
        .values(receivable_wei=parties.c.receivable_wei + amount_wei)
    )


async def find_receivable(session: Session, member_id: UUID) -> int:
    """What a member owes; 0 for a stranger."""
    found = await session.scalar(select(parties.c.receivable_wei).where(parties.c.member_id == member_id))
    return int(found or 0)


async def insert_wallet(session: Session, **values: Any) -> None:
    """Add to a member's history of payout wallets."""
    await session.execute(insert(payout_wallets), values)


async def list_wallets(session: Session, member_ids: Collection[UUID], now: datetime) -> dict[UUID, str]:
    """The payout address of each member at `now`, of those who have one."""
    table = payout_wallets
    rows = await session.execute(
        select(table.c.member_id, table.c.address)
        .ext(distinct_on(table.c.member_id))
        .where(table.c.member_id.in_(list(set(member_ids))), table.c.effective_at <= now)
        .order_by(table.c.member_id, table.c.effective_at.desc(), table.c.id.desc())
    )
    return {row.member_id: row.address for row in rows}


async def list_next_wallets(session: Session, member_ids: Collection[UUID], now: datetime) -> dict[UUID, datetime]:
    """When each member's next payout wallet becomes effective, of those who have one coming."""
    table = payout_wallets
    rows = await session.execute(
        select(table.c.member_id, func.min(table.c.effective_at).label("at"))
        .where(table.c.member_id.in_(list(set(member_ids))), table.c.effective_at > now)
        .group_by(table.c.member_id)
    )
    return {row.member_id: row.at for row in rows}


async def list_wallet_history(session: Session, member_ids: Collection[UUID]) -> dict[UUID, frozenset[str]]:
    """Every address each member was ever paid to or may be, in lower case."""
    table = payout_wallets
    rows = await session.execute(
        select(table.c.member_id, func.array_agg(func.lower(table.c.address)).label("addresses"))
        .where(table.c.member_id.in_(list(set(member_ids))))
        .group_by(table.c.member_id)
    )
    return {row.member_id: frozenset(row.addresses) for row in rows}


async def insert_parameters(
    session: Session, *, version: int, parameters: Mapping[str, int], effective_at: datetime
) -> None:
    """Keep a version of the network's parameters; a known one stays as it is."""
    values = {name: str(value) for name, value in parameters.items()}
    await session.execute(
        insert(parameter_versions)
        .values(version=version, parameters=values, effective_at=effective_at)
        .on_conflict_do_nothing()
    )


async def find_parameters(session: Session, version: int) -> dict[str, int] | None:
    """Every parameter of a stored version."""
    found = await session.scalar(select(parameter_versions.c.parameters).where(parameter_versions.c.version == version))
    return None if found is None else {name: int(value) for name, value in found.items()}


async def find_current_version(session: Session, now: datetime) -> int | None:
    """The newest stored version in force at `now`."""
    found: int | None = await session.scalar(
        select(func.max(parameter_versions.c.version)).where(parameter_versions.c.effective_at <= now)
    )
    return found

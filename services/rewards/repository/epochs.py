"""SQL for emission epochs: their budgets, and the settlements and leaves in them."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select, update
from sqlalchemy.dialects.postgresql import insert

from chassis.db import Session
from services.rewards.errors import EpochNotFound
from services.rewards.models import epochs, rewards, settlement_leaves, settlements


async def charge_epoch(session: Session, epoch: tuple[datetime, datetime], amount_wei: int) -> None:
    """Add to what an epoch's budget (its start and end) was charged. The caller has locked the payout state, so that
    two new epochs do not get one number."""
    next_number = select(func.coalesce(func.max(epochs.c.number), 0) + 1).scalar_subquery()
    statement = insert(epochs).values(
        epoch_start=epoch[0], ends_at=epoch[1], number=next_number, charged_wei=amount_wei
    )
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=[epochs.c.epoch_start],
            set_={"charged_wei": epochs.c.charged_wei + statement.excluded.charged_wei},
        )
    )


async def give_back(session: Session, epoch_start: datetime, amount_wei: int) -> None:
    """Take back what an epoch's budget was charged for a settlement that came to nothing."""
    await session.execute(
        update(epochs).where(epochs.c.epoch_start == epoch_start).values(charged_wei=epochs.c.charged_wei - amount_wei)
    )


async def epoch_charged(session: Session, epoch_start: datetime) -> int:
    """What an epoch's budget was charged so far."""
    found = await session.scalar(select(epochs.c.charged_wei).where(epochs.c.epoch_start == epoch_start))
    return int(found or 0)


async def get_epoch(session: Session, number: int) -> Row[Any]:
    """An epoch with the sums of what was minted in it.

    Raises: EpochNotFound.
    """
    row = (await session.execute(_summed().where(epochs.c.number == number))).one_or_none()
    if row is None:
        raise EpochNotFound
    return row


async def list_epochs(session: Session, *, before: int | None, limit: int) -> list[Row[Any]]:
    """A page of the epochs with their sums, newest first."""
    query = _summed().order_by(epochs.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(epochs.c.number < before)
    return list(await session.execute(query))


def _summed() -> Any:
    minted = settlements.c.epoch_start == epochs.c.epoch_start, settlements.c.status == "minted"
    count = select(func.count()).where(*minted).scalar_subquery()
    total = select(func.coalesce(func.sum(settlements.c.sum_wei), 0)).where(*minted).scalar_subquery()
    return select(epochs, count.label("settlements"), total.label("minted_wei"))


async def list_settlements(
    session: Session, epoch_start: datetime, *, after_first_id: int, limit: int
) -> list[Row[Any]]:
    """The minted settlements of an epoch with numbers behind `after_first_id`, in order."""
    rows = await session.execute(
        select(settlements)
        .where(
            settlements.c.epoch_start == epoch_start,
            settlements.c.status == "minted",
            settlements.c.first_id > after_first_id,
        )
        .order_by(settlements.c.first_id)
        .limit(limit)
    )
    return list(rows)


async def list_rewards(session: Session, settlement_ids: Collection[UUID]) -> list[Row[Any]]:
    """The rewards of these settlements, by number."""
    rows = await session.execute(
        select(rewards).where(rewards.c.settlement_id.in_(list(settlement_ids))).order_by(rewards.c.seq)
    )
    return list(rows)


async def insert_leaves(session: Session, settlement_id: UUID, leaves: Sequence[tuple[int, bool, bytes]]) -> None:
    """Keep a settlement's leaves: (seq, whether it is an offset, hash) each."""
    await session.execute(
        insert(settlement_leaves),
        [
            {"settlement_id": settlement_id, "seq": seq, "is_offset": is_offset, "hash": leaf}
            for seq, is_offset, leaf in leaves
        ],
    )


async def list_leaves(session: Session, settlement_ids: Collection[UUID]) -> list[Row[Any]]:
    """The leaves of these settlements as they were reserved, each settlement's in their order under the root."""
    rows = await session.execute(
        select(settlement_leaves)
        .where(settlement_leaves.c.settlement_id.in_(list(settlement_ids)))
        .order_by(settlement_leaves.c.settlement_id, settlement_leaves.c.seq, settlement_leaves.c.is_offset)
    )
    return list(rows)

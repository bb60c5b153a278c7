"""SQL for settlements and their numbers, and for what the chain says."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select, update
from sqlalchemy.dialects.postgresql import insert

from chassis.db import Session
from services.rewards.models import LANE, chain_figures, payout_state, rewards, settled_logs, settlements

OPEN = ("reserved", "included", "failed")


async def lock_payout_state(session: Session) -> Row[Any]:
    """The one row with the next number, made if missing, locked."""
    await session.execute(insert(payout_state).values(id=1, next_seq=1).on_conflict_do_nothing())
    return (await session.execute(select(payout_state).with_for_update())).one()


async def find_payout_state(session: Session) -> Row[Any] | None:
    """The one row with the next number."""
    return (await session.execute(select(payout_state))).one_or_none()


async def set_next_seq(session: Session, next_seq: int) -> None:
    """The next number to give."""
    await session.execute(update(payout_state).values(next_seq=next_seq))


async def set_problem(session: Session, problem: str | None) -> None:
    """Why nothing is reserved at present."""
    await session.execute(update(payout_state).values(problem=problem))


async def insert_settlement(session: Session, **values: Any) -> None:
    """Add a settlement."""
    await session.execute(insert(settlements), values)


async def lock_settlement(session: Session, settlement_id: UUID) -> Row[Any]:
    """A settlement, locked."""
    rows = await session.execute(select(settlements).where(settlements.c.id == settlement_id).with_for_update())
    return rows.one()


async def find_settlement(session: Session, settlement_id: UUID) -> Row[Any] | None:
    """A settlement."""
    return (await session.execute(select(settlements).where(settlements.c.id == settlement_id))).one_or_none()


async def update_settlement(session: Session, settlement_id: UUID, **values: Any) -> None:
    """Change a settlement."""
    await session.execute(update(settlements).where(settlements.c.id == settlement_id).values(**values))


async def list_open(session: Session) -> list[Row[Any]]:
    """Settlements not minted yet, by number."""
    rows = await session.execute(
        select(settlements).where(settlements.c.status.in_(OPEN)).order_by(settlements.c.first_id)
    )
    return list(rows)


async def insert_settled_log(session: Session, **values: Any) -> None:
    """Keep one `Settled` log of a final block."""
    await session.execute(insert(settled_logs).values(**values).on_conflict_do_nothing())


async def delete_settled_logs(session: Session, from_block: int) -> None:
    """Forget logs of blocks that are not on the chain any more."""
    await session.execute(settled_logs.delete().where(settled_logs.c.block_number >= from_block))


async def list_settled_from(session: Session, first_id: int, limit: int) -> list[Row[Any]]:
    """`Settled` logs of rewards numbered `first_id` and up, in order."""
    rows = await session.execute(
        select(settled_logs).where(settled_logs.c.first_id >= first_id).order_by(settled_logs.c.first_id).limit(limit)
    )
    return list(rows)


async def first_lagging_block(session: Session) -> int | None:
    """The lowest final block with a settlement of ours that is on its way into the ledger."""
    found: int | None = await session.scalar(
        select(func.min(settled_logs.c.block_number)).where(
            settled_logs.c.first_id == settlements.c.first_id, settlements.c.status.in_(("reserved", "included"))
        )
    )
    return found


async def onchain_minted_between(session: Session, after_block: int, until_block: int) -> int:
    """Sum of the `Settled` logs in the blocks behind `after_block` up to `until_block`."""
    found = await session.scalar(
        select(func.coalesce(func.sum(settled_logs.c.sum_wei), 0)).where(
            settled_logs.c.block_number > after_block, settled_logs.c.block_number <= until_block
        )
    )
    return int(found)


async def minted_since(session: Session, moment: datetime) -> int:
    """Wei of settlements made since `moment`."""
    found = await session.scalar(
        select(func.coalesce(func.sum(settlements.c.sum_wei), 0)).where(
            settlements.c.created_at >= moment, settlements.c.status == "minted"
        )
    )
    return int(found)


async def put_chain_figures(session: Session, **values: Any) -> None:
    """Write the token's figures and the reconciliation."""
    statement = insert(chain_figures).values(id=1, **values)
    await session.execute(statement.on_conflict_do_update(index_elements=[chain_figures.c.id], set_=values))


async def find_chain_figures(session: Session) -> Row[Any] | None:
    """The token's figures and the reconciliation."""
    return (await session.execute(select(chain_figures))).one_or_none()


async def list_attempts(session: Session, settlement_id: UUID) -> list[Row[Any]]:
    """Each signed chain tx of a settlement with its intent's nonce, oldest first."""
    intents, attempts = LANE.tables.intents, LANE.tables.attempts
    rows = await session.execute(
        select(attempts.c.hash, attempts.c.created_at, attempts.c.sent_at, intents.c.nonce)
        .join(intents, intents.c.id == attempts.c.intent_id)
        .where(intents.c.lane == LANE.name, intents.c.reference == str(settlement_id))
        .order_by(intents.c.nonce, attempts.c.position)
    )
    return list(rows)


async def measure_queue(session: Session) -> tuple[int, datetime | None]:
    """How many rewards wait for a settlement, and since when the first of them."""
    wanted = (rewards.c.status == "queued") & rewards.c.settlement_id.is_(None)
    measured = select(func.count().label("waiting"), func.min(rewards.c.queued_at).label("since")).where(wanted)
    row = (await session.execute(measured)).one()
    return row.waiting, row.since

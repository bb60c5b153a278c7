"""SQL of the index of votes: checkpoints of accounts and of the supply, and the times of their blocks."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from chassis.db import Session
from services.governance.models import indexed_blocks, supply_checkpoints, vote_checkpoints

KEPT_HEADS = 10_000
"""Blocks without logs are forgotten once this many blocks old."""


async def insert_votes(session: Session, *, account: str, block_number: int, log_index: int, votes_wei: int) -> None:
    """Keep what an account has after a log."""
    await session.execute(
        insert(vote_checkpoints)
        .values(account=account, block_number=block_number, log_index=log_index, votes_wei=votes_wei)
        .on_conflict_do_nothing()
    )


async def insert_supply(session: Session, *, block_number: int, log_index: int, change_wei: int) -> None:
    """Keep the supply after a mint (positive) or a burn (negative)."""
    position = sa.tuple_(supply_checkpoints.c.block_number, supply_checkpoints.c.log_index)
    before = await session.scalar(
        sa.select(supply_checkpoints.c.supply_wei)
        .where(position < sa.tuple_(sa.literal(block_number), sa.literal(log_index)))
        .order_by(supply_checkpoints.c.block_number.desc(), supply_checkpoints.c.log_index.desc())
        .limit(1)
    )
    await session.execute(
        insert(supply_checkpoints)
        .values(block_number=block_number, log_index=log_index, supply_wei=(before or 0) + change_wei)
        .on_conflict_do_nothing()
    )


async def note_logs(session: Session, block_number: int) -> None:
    """Remember that a block has checkpoints, and so needs its time known."""
    statement = insert(indexed_blocks).values(number=block_number, is_head=False, has_logs=True)
    await session.execute(
        statement.on_conflict_do_update(index_elements=[indexed_blocks.c.number], set_={"has_logs": True})
    )


async def note_head(session: Session, block_number: int, timestamp: int) -> None:
    """Remember that everything up to this block is indexed; forget old blocks nobody needs."""
    statement = insert(indexed_blocks).values(number=block_number, timestamp=timestamp, is_head=True, has_logs=False)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=[indexed_blocks.c.number], set_={"is_head": True, "timestamp": timestamp}
        )
    )
    old = sa.and_(indexed_blocks.c.number < block_number - KEPT_HEADS, sa.not_(indexed_blocks.c.has_logs))
    await session.execute(sa.delete(indexed_blocks).where(old))


async def list_untimed(session: Session, limit: int) -> Sequence[int]:
    """Blocks whose time is not known yet, oldest first."""
    statement = sa.select(indexed_blocks.c.number).where(indexed_blocks.c.timestamp.is_(None))
    return (await session.execute(statement.order_by(indexed_blocks.c.number).limit(limit))).scalars().all()


async def set_times(session: Session, times: Mapping[int, int]) -> None:
    """Keep the timestamps of blocks."""
    for number, timestamp in times.items():
        await session.execute(
            sa.update(indexed_blocks)
            .where(indexed_blocks.c.number == number, indexed_blocks.c.timestamp.is_(None))
            .values(timestamp=timestamp)
        )


async def find_head(session: Session) -> Any | None:
    """The newest block up to which all checkpoints and their times are known."""
    untimed = sa.select(sa.func.min(indexed_blocks.c.number)).where(indexed_blocks.c.timestamp.is_(None))
    limit = sa.func.coalesce(untimed.scalar_subquery(), sa.literal(2**63 - 1, sa.BigInteger))
    statement = (
        sa.select(indexed_blocks.c.number, indexed_blocks.c.timestamp)
        .where(indexed_blocks.c.is_head, indexed_blocks.c.number < limit)
        .order_by(indexed_blocks.c.number.desc())
        .limit(1)
    )
    return (await session.execute(statement)).one_or_none()


async def find_block_at(session: Session, timestamp: int) -> Any | None:
    """The newest known block at or before a second of chain time; no checkpoint lies between the two."""
    statement = (
        sa.select(indexed_blocks.c.number, indexed_blocks.c.timestamp)
        .where(indexed_blocks.c.timestamp <= timestamp)
        .order_by(indexed_blocks.c.timestamp.desc(), indexed_blocks.c.number.desc())
        .limit(1)
    )
    return (await session.execute(statement)).one_or_none()


async def votes_at(session: Session, account: str, block_number: int) -> int:
    """The account's votes in wei at the end of a block."""
    statement = (
        sa.select(vote_checkpoints.c.votes_wei)
        .where(vote_checkpoints.c.account == account, vote_checkpoints.c.block_number <= block_number)
        .order_by(vote_checkpoints.c.block_number.desc(), vote_checkpoints.c.log_index.desc())
        .limit(1)
    )
    return int(await session.scalar(statement) or 0)


async def supply_at(session: Session, block_number: int) -> int:
    """The total supply in wei at the end of a block."""
    statement = (
        sa.select(supply_checkpoints.c.supply_wei)
        .where(supply_checkpoints.c.block_number <= block_number)
        .order_by(supply_checkpoints.c.block_number.desc(), supply_checkpoints.c.log_index.desc())
        .limit(1)
    )
    return int(await session.scalar(statement) or 0)


async def forget_from(session: Session, block_number: int) -> None:
    """Forget everything from a block on: the chain took another course there."""
    await session.execute(sa.delete(vote_checkpoints).where(vote_checkpoints.c.block_number >= block_number))
    await session.execute(sa.delete(supply_checkpoints).where(supply_checkpoints.c.block_number >= block_number))
    await session.execute(sa.delete(indexed_blocks).where(indexed_blocks.c.number >= block_number))

"""SQL of the versions of the parameters."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from chassis.db import Session
from services.governance.models import parameter_versions as versions


async def get_latest(session: Session) -> Any:
    """The newest version, in effect or about to be; version 0 is always there."""
    return (await session.execute(sa.select(versions).order_by(versions.c.version.desc()).limit(1))).one()


async def get_current(session: Session) -> Any:
    """The newest version that has taken effect. Version 0 always has: the chain's clock may run ahead of ours."""
    in_effect = sa.or_(versions.c.version == 0, versions.c.effective_at <= sa.func.clock_timestamp())
    statement = sa.select(versions).where(in_effect)
    return (await session.execute(statement.order_by(versions.c.version.desc()).limit(1))).one()


async def list_versions(session: Session, *, limit: int, below: int | None) -> Sequence[Any]:
    """Newest first."""
    statement = sa.select(versions).order_by(versions.c.version.desc()).limit(limit)
    if below is not None:
        statement = statement.where(versions.c.version < below)
    return (await session.execute(statement)).all()


async def find_version(session: Session, version: int) -> Any | None:
    """One version."""
    return (await session.execute(sa.select(versions).where(versions.c.version == version))).one_or_none()


async def insert_version(session: Session, values: dict[str, Any]) -> bool:
    """False when the version was there already."""
    result = await session.execute(insert(versions).values(values).on_conflict_do_nothing())
    return result.rowcount == 1


async def note_genesis(session: Session, *, effective_at: datetime, block_number: int, chain_tx_hash: str) -> None:
    """Complete version 0 with what its log says."""
    await session.execute(
        sa.update(versions)
        .where(versions.c.version == 0)
        .values(effective_at=effective_at, block_number=block_number, chain_tx_hash=chain_tx_hash)
    )


async def forget_from(session: Session, block_number: int) -> None:
    """Forget versions made in blocks that are no longer on the chain."""
    await session.execute(sa.delete(versions).where(versions.c.version > 0, versions.c.block_number >= block_number))

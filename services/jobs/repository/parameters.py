"""Versions of the network's parameters after the first."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from chassis.db import Session
from services.jobs.domain.parameters import Parameters
from services.jobs.models import parameters
from services.jobs.repository.parties import Row

_COLUMNS = (
    parameters.c.version,
    parameters.c.client_fee_bps,
    parameters.c.connector_reward_bps,
    parameters.c.reward_hold_seconds,
)


def _of(row: Row | None) -> Parameters | None:
    if row is None:
        return None
    return Parameters(row.version, row.client_fee_bps, row.connector_reward_bps, row.reward_hold_seconds)


async def insert_parameters(session: Session, version: Parameters, *, effective_at: datetime) -> None:
    """Store a version; the first to arrive stays."""
    statement = insert(parameters).values(
        version=version.version,
        effective_at=effective_at,
        client_fee_bps=version.client_fee_bps,
        connector_reward_bps=version.connector_reward_bps,
        reward_hold_seconds=version.reward_hold_seconds,
    )
    await session.execute(statement.on_conflict_do_nothing())


async def find_parameters(session: Session, version: int) -> Parameters | None:
    """A version, if it has arrived here."""
    statement = sa.select(*_COLUMNS).where(parameters.c.version == version)
    return _of((await session.execute(statement)).one_or_none())


async def find_parameters_at(session: Session, moment: datetime) -> Parameters | None:
    """The highest version in effect at `moment`, if one has arrived here."""
    statement = (
        sa.select(*_COLUMNS).where(parameters.c.effective_at <= moment).order_by(parameters.c.version.desc()).limit(1)
    )
    return _of((await session.execute(statement)).one_or_none())

"""Use cases of the parameters: what is in force, what was, and a new version seen on chain."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from chassis.clock import utc_now
from chassis.db import Session
from chassis.outbox import publish
from events.governance import GENESIS_PARAMETERS, ParameterChanged
from services.governance.repository import parameters as repository


class GenesisDiffers(RuntimeError):
    """The contract was born with other parameters than every service believes in: nothing may go on."""


async def read_current(session: Session) -> Any:
    """The version in force."""
    return await repository.get_current(session)


async def list_history(session: Session, *, limit: int, below: int | None) -> Sequence[Any]:
    """Versions, newest first, those that are not in effect yet included."""
    return await repository.list_versions(session, limit=limit, below=below)


async def record_version(
    session: Session,
    *,
    version: int,
    values: Mapping[str, int],
    effective_at: datetime,
    block_number: int,
    chain_tx_hash: str,
) -> None:
    """Keep a version that is final on chain, and tell of it. Version 0 is known to all and only checked.

    Raises: GenesisDiffers when version 0 on chain is not GENESIS_PARAMETERS.
    """
    if version == 0:
        if dict(values) != GENESIS_PARAMETERS:
            raise GenesisDiffers(f"version 0 on chain is {dict(values)}")
        await repository.note_genesis(
            session, effective_at=effective_at, block_number=block_number, chain_tx_hash=chain_tx_hash
        )
        return
    is_new = await repository.insert_version(
        session,
        {
            "version": version,
            "entries": {name: str(value) for name, value in values.items()},
            "effective_at": effective_at,
            "block_number": block_number,
            "chain_tx_hash": chain_tx_hash,
            "created_at": utc_now(),
        },
    )
    if is_new:
        publish(session, ParameterChanged(version=version, parameters=dict(values), effective_at=effective_at))


async def forget_from(session: Session, block_number: int) -> None:
    """Undo versions of blocks that left the chain; they are told of again, with the same numbers, when they return."""
    await repository.forget_from(session, block_number)

"""Which of the network's parameters hold: version 0 from the start, later ones as governance tells them."""

from collections.abc import Mapping
from datetime import datetime

from chassis.db import Session
from events.governance import GENESIS_PARAMETERS
from services.jobs.domain.parameters import GENESIS_VERSION, Parameters, parameters_from
from services.jobs.repository import parameters as repository

GENESIS = parameters_from(GENESIS_VERSION, GENESIS_PARAMETERS)


async def record_parameters(
    session: Session, *, version: int, values: Mapping[str, int], effective_at: datetime
) -> None:
    """Store a version that governance published; a version known already stays as it is.

    Raises: MalformedParameters.
    """
    if version != GENESIS_VERSION:
        await repository.insert_parameters(session, parameters_from(version, values), effective_at=effective_at)


async def parameters_in_force(session: Session, *, moment: datetime) -> Parameters:
    """The version that holds at `moment`."""
    return await repository.find_parameters_at(session, moment) or GENESIS


async def parameters_of(session: Session, *, version: int) -> Parameters:
    """A version that something here already refers to."""
    if version == GENESIS_VERSION:
        return GENESIS
    found = await repository.find_parameters(session, version)
    assert found is not None, f"parameters version {version} is referred to, but not stored"
    return found

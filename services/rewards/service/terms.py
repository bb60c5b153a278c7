"""The terms a transaction is rewarded on: the version of the parameters that it names."""

from collections.abc import Mapping
from datetime import datetime

from chassis.db import Session
from events.governance import GENESIS_PARAMETERS
from services.rewards.domain.amounts import Parameters
from services.rewards.repository import facts


async def parameters_of(session: Session, version: int) -> Parameters | None:
    """The parameters of a version, or None while it is not known. Version 0 always is."""
    stored = await facts.find_parameters(session, version)
    if stored is None and version != 0:
        return None
    return _as_parameters(version, stored or {})


async def current_parameters(session: Session, now: datetime) -> Parameters:
    """The newest parameters in force at `now`."""
    version = await facts.find_current_version(session, now)
    found = await parameters_of(session, version or 0)
    assert found is not None, "versions are never deleted"
    return found


def _as_parameters(version: int, values: Mapping[str, int]) -> Parameters:
    whole = GENESIS_PARAMETERS | dict(values)  # a name that an old version lacks has its value of version 0
    return Parameters(
        version=version,
        connector_reward_bps=whole["connector_reward_bps"],
        referral_duration_seconds=whole["referral_duration_seconds"],
        reward_hold_seconds=whole["reward_hold_seconds"],
        epoch_seconds=whole["epoch_seconds"],
        epoch_budget_wei=whole["epoch_budget_wei"],
        min_payout_wei=whole["min_payout_wei"],
    )

"""The governed numbers jobs calculates with, one immutable set per version."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from chassis.money import BPS
from services.jobs.errors import MalformedParameters

GENESIS_VERSION = 0
MAX_HOLD_SECONDS = 10 * 365 * 86_400


@dataclass(frozen=True)
class Parameters:
    """One version of the parameters, as far as jobs needs them."""

    version: int
    client_fee_bps: int
    connector_reward_bps: int
    reward_hold_seconds: int


def parameters_from(version: int, values: Mapping[str, int]) -> Parameters:
    """The set `version` out of the network's whole set.

    Raises: MalformedParameters when a number is missing or out of range.
    """
    return Parameters(
        version=version,
        client_fee_bps=_bounded(values, "client_fee_bps", BPS),
        connector_reward_bps=_bounded(values, "connector_reward_bps", BPS),
        reward_hold_seconds=_bounded(values, "reward_hold_seconds", MAX_HOLD_SECONDS),
    )


def hold_has_passed(parameters: Parameters, *, completed_at: datetime, now: datetime) -> bool:
    """Whether the window that a reward waits for is over at `now`; with a hold of 0 it is from the start."""
    return now >= completed_at + timedelta(seconds=parameters.reward_hold_seconds)


def _bounded(values: Mapping[str, int], name: str, maximum: int) -> int:
    value = values.get(name)
    if value is None or not 0 <= value <= maximum:
        raise MalformedParameters(f"{name} is {value}, not between 0 and {maximum}")
    return value

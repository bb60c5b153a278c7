"""The network's parameters: their names, their bounds, and a changed set from a proposal's changes."""

from collections.abc import Mapping, Sequence
from typing import Final

from events.governance import GENESIS_PARAMETERS

DAY_SECONDS: Final = 86_400
WEI: Final = 10**18
MAX_GRANT_WEI: Final = 10_000_000 * WEI

BOUNDS: Final[dict[str, tuple[int, int]]] = {
    "client_fee_bps": (0, 10_000),
    "connector_reward_bps": (0, 10_000),
    "epoch_budget_wei": (0, 135_000_000 * WEI),
    "epoch_seconds": (60, 366 * DAY_SECONDS),
    "min_payout_wei": (0, 1_000 * WEI),
    "referral_duration_seconds": (0, 36_500 * DAY_SECONDS),
    "reward_hold_seconds": (0, 90 * DAY_SECONDS),
    "screening_reward_wei": (0, 1_000 * WEI),
}
"""Lowest and highest value, as the contract NetworkParameters has them."""

assert BOUNDS.keys() == GENESIS_PARAMETERS.keys()


class ParameterRefused(ValueError):
    """A change the contract would refuse; `code` says why in a word."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def changed_set(base: Mapping[str, int], changes: Sequence[tuple[str, int]]) -> dict[str, int]:
    """`base` with `changes` applied: the whole set, in the order of the names.

    Raises: ParameterRefused for an unknown or repeated name, a value out of bounds, or a set the contract refuses.
    """
    result = dict(base)
    seen: set[str] = set()
    for name, value in changes:
        if name in seen:
            raise ParameterRefused("repeated_parameter", f"{name} is named twice")
        seen.add(name)
        result[name] = _checked(name, value)
    check_set(result)
    return dict(sorted(result.items()))


def check_set(values: Mapping[str, int]) -> None:
    """Hold a whole set against the bounds that concern several parameters at once.

    Raises: ParameterRefused. Source: the network's rules, rule 3 (rewards never above the fee).
    """
    if values["connector_reward_bps"] * 4 > values["client_fee_bps"]:
        raise ParameterRefused(
            "reward_above_quarter_of_fee", "connector_reward_bps may be at most a quarter of client_fee_bps"
        )


def _checked(name: str, value: int) -> int:
    if name not in BOUNDS:
        raise ParameterRefused("unknown_parameter", f"there is no parameter {name[:64]}")
    lowest, highest = BOUNDS[name]
    if not lowest <= value <= highest:
        raise ParameterRefused("parameter_out_of_bounds", f"{name} must be from {lowest} to {highest}")
    return value

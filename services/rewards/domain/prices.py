"""The price of BTRST in USD: from what markets said each hour to the one number that a transaction is rewarded at.

Source: the network's rule 7: `max(30-day average, latest)`, the average over 720 hourly buckets with the median in
each, at least 80 % of them filled; else there is no price, and nothing is guessed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from services.rewards.domain.amounts import Price

HOUR = timedelta(hours=1)
HOURS = 720
FILLED_HOURS = HOURS * 80 // 100
OBSERVED: Final = "observed"
"""The window of a price in the table of prices that says: ask the observations of this source."""

E8 = 10**8


@dataclass(frozen=True, slots=True)
class Observation:
    """What a source said at a moment: USD per BTRST × 10^8."""

    observed_at: datetime
    usd_e8: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a price can be at all, in USD per BTRST × 10^8; what lies outside is an error of its source."""

    lowest_usd_e8: int
    highest_usd_e8: int

    def hold(self, usd_e8: int) -> bool:
        """Whether it lies within."""
        return self.lowest_usd_e8 <= usd_e8 <= self.highest_usd_e8


def to_usd_e8(usd: Decimal) -> int:
    """USD × 10^8, rounded down. Raises: ValueError for what is no price above 0."""
    if not usd.is_finite() or usd <= 0 or usd >= 10**9:
        raise ValueError(f"{usd} is no price")
    found = int(usd.scaleb(8))
    if found == 0:
        raise ValueError(f"{usd} is below 10^-8 USD")
    return found


def hour_of(moment: datetime) -> datetime:
    """The beginning of the hour that holds `moment`."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def hours_before(moment: datetime) -> tuple[datetime, datetime]:
    """The first hour of the average as of `moment`, and the hour behind its last one.

    Only whole hours that have passed count, so that the average as of a moment is the same whenever it is computed.
    """
    end = hour_of(moment)
    return end - HOURS * HOUR, end


def median(values: Sequence[int]) -> int:
    """The middle one; of two, their mean rounded down. Raises: ValueError without values."""
    if not values:
        raise ValueError("there is no median of nothing")
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) // 2


def price_at(
    moment: datetime, *, medians: Sequence[int], latest: Observation | None, max_age: timedelta, source: str
) -> Price | None:
    """The price as of `moment`; None while it would be a guess.

    `medians` are those of the hours of `hours_before(moment)` in which anything was observed, `latest` the last
    observation up to `moment`.
    """
    if latest is None or moment - latest.observed_at > max_age or len(medians) < FILLED_HOURS:
        return None
    average = sum(medians) // len(medians)
    window = f"max of the 30-day average {average} ({len(medians)} of {HOURS} hours) and the latest {latest.usd_e8}"
    return Price(usd_e8=max(average, latest.usd_e8), window=window, source=source)

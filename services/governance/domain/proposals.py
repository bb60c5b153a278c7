"""A proposal's life off chain: when it opens and closes, what counts, and who wins."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from chassis.money import mul_div_floor
from services.governance.domain.typed_data import Choice

Status = Literal["pending", "open", "passed", "rejected", "submitted", "queued", "executed", "cancelled"]
Outcome = Literal["passed", "rejected"]

LIVE: tuple[Status, ...] = ("pending", "open")
"""Not counted yet."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When ballots are accepted, and from which second of chain time the proposal's parameters would count."""

    opens_at: datetime
    closes_at: datetime
    effective_from: int


@dataclass(frozen=True, slots=True)
class Tally:
    """The weights of all ballots, in wei of BTRST, and how many ballots there are."""

    for_wei: int = 0
    against_wei: int = 0
    abstain_wei: int = 0
    ballots: int = 0


def schedule(now: datetime, *, delay_seconds: int, period_seconds: int, effective_after_seconds: int) -> Schedule:
    """The times of a proposal made at `now`.

    `effective_from` is fixed now, since ballots are bound to the calldata that holds it: whole Unix seconds,
    `effective_after_seconds` after the close.
    """
    opens_at = now + timedelta(seconds=delay_seconds)
    closes_at = opens_at + timedelta(seconds=period_seconds)
    return Schedule(opens_at, closes_at, -int(-closes_at.timestamp() // 1) + effective_after_seconds)


def status_at(stored: Status, *, opens_at: datetime, now: datetime) -> Status:
    """The status at `now`: a pending proposal is open from `opens_at`, whether or not a worker has noticed."""
    return "open" if stored == "pending" and now >= opens_at else stored


def takes_ballots(stored: Status, *, opens_at: datetime, closes_at: datetime, now: datetime) -> bool:
    """True from `opens_at` until just before `closes_at`, unless already counted: by the clock, not by a worker."""
    return stored in LIVE and opens_at <= now < closes_at


def tally(groups: Iterable[tuple[Choice, int, int]]) -> Tally:
    """Put together groups of ballots: (choice, the weights' sum in wei, how many)."""
    sums: dict[Choice, int] = {"for": 0, "against": 0, "abstain": 0}
    count = 0
    for choice, weight_wei, ballots in groups:
        sums[choice] += weight_wei
        count += ballots
    return Tally(sums["for"], sums["against"], sums["abstain"], count)


def quorum_wei(*, total_supply_wei: int, non_voting_wei: int, percent: int, floor_wei: int) -> int:
    """The votes needed: a percentage of all that can vote at the snapshot, and at least the floor.

    Source: the Governor's own quorum, so that both ballots need the same.
    """
    return max(floor_wei, mul_div_floor(total_supply_wei - non_voting_wei, percent, 100))


def outcome(counted: Tally, quorum: int) -> Outcome:
    """`passed` when for and abstain reach the quorum and for outweighs against. Source: GovernorCountingSimple."""
    reached = counted.for_wei + counted.abstain_wei >= quorum
    return "passed" if reached and counted.for_wei > counted.against_wei else "rejected"


def from_unix(seconds: int) -> datetime:
    """Chain time as an aware moment."""
    return datetime.fromtimestamp(seconds, UTC)

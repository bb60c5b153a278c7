"""Who can be paid: where an unreserved reward stands at a moment, and when it is worth another look."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.rewards.domain.states import Reason, Status

PRICE_RETRY = timedelta(seconds=60)
LAPSES_AFTER = timedelta(days=365)
"""How long a reward waits for its beneficiary: for a payout wallet, or for enough to be worth a payment. What the
network itself holds back (a price, a budget, the cap, a pause) never lapses."""


@dataclass(frozen=True, slots=True)
class Situation:
    """All that decides whether a reward can be paid now."""

    amount_wei: int
    has_price: bool
    is_verified: bool
    hold_ends_at: datetime
    payout_address: str | None
    next_wallet_at: datetime | None
    """When a wallet that is set but not effective yet becomes so."""

    reaches_minimum: bool
    earned_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """The status a reward has from now on; `check_at` is when time alone may change it."""

    status: Status
    reason: Reason | None = None
    check_at: datetime | None = None


def standing(situation: Situation, now: datetime) -> Standing:  # noqa: PLR0911 - one return per reason
    """Where the reward stands: the first thing that is missing, or `queued`."""
    if not situation.has_price:
        return Standing(Status.HELD, Reason.STALE_PRICE, now + PRICE_RETRY)
    if situation.amount_wei == 0:
        return Standing(Status.CANCELLED, Reason.ZERO_AMOUNT)
    if now < situation.hold_ends_at:
        return Standing(Status.HELD, Reason.REFUND_WINDOW, situation.hold_ends_at)
    if not situation.is_verified:
        return Standing(Status.HELD, Reason.UNVERIFIED)
    if situation.payout_address is None:
        return _waits_for_beneficiary(Reason.NO_PAYOUT_WALLET, situation, now)
    if not situation.reaches_minimum:
        return _waits_for_beneficiary(Reason.BELOW_MINIMUM, situation, now)
    return Standing(Status.QUEUED)


def _waits_for_beneficiary(reason: Reason, situation: Situation, now: datetime) -> Standing:
    lapses_at = situation.earned_at + LAPSES_AFTER
    if now >= lapses_at:
        return Standing(Status.CANCELLED, reason)
    return Standing(Status.HELD, reason, min(situation.next_wallet_at or lapses_at, lapses_at))

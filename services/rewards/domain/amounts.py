"""What a transaction earns its connectors, before and after refunds: exact integers, one division, rounded down."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from chassis.money import BPS

Side = Literal["client", "talent"]
SIDES: tuple[Side, Side] = ("client", "talent")

CLOCKS_DIFFER_SECONDS = 1
"""How far the clocks of two services may be apart."""

SCALE = 10**24
"""cents → USD is 10^-2, the price's 10^8 and BTRST's 10^18 make 10^24 together."""


@dataclass(frozen=True, slots=True)
class Price:
    """USD per BTRST × 10^8 as of a moment, and where it comes from."""

    usd_e8: int
    window: str
    source: str


@dataclass(frozen=True, slots=True)
class Parameters:
    """The numbers of one version that earning and paying need."""

    version: int
    connector_reward_bps: int
    referral_duration_seconds: int
    reward_hold_seconds: int
    epoch_seconds: int
    epoch_budget_wei: int
    min_payout_wei: int


def connector_rewards(
    *, amount_cents: int, client_fee_cents: int, connector_reward_bps: int, price_usd_e8: int, sides: Sequence[Side]
) -> dict[Side, int]:
    """The wei each rewarded side's connector earns on one transaction.

    s = amount × bps for each side, T = Σ s, L = min(T, fee × 10,000), reward = ⌊s × L × 10^24 / (T × 10,000 × price)⌋:
    together never more than the client fee.
    Raises: ValueError when the price is not above 0. Source: the network's rules 2, 3 and 7.
    """
    if price_usd_e8 <= 0:
        raise ValueError("a price is above 0")
    share = max(0, amount_cents) * connector_reward_bps
    total = share * len(sides)
    if total == 0:
        return dict.fromkeys(sides, 0)
    limit = min(total, max(0, client_fee_cents) * BPS)
    return dict.fromkeys(sides, share * limit * SCALE // (total * BPS * price_usd_e8))


def rewards_after_refunds(
    *,
    amount_cents: int,
    client_fee_cents: int,
    total_refunded_cents: int,
    total_client_fee_refunded_cents: int,
    connector_reward_bps: int,
    price_usd_e8: int,
    sides: Sequence[Side],
) -> dict[Side, int]:
    """The same formula on what refunds have left of amount and fee, at the original price and version.

    Raises: ValueError when the price is not above 0. Source: the network's rule 6.
    """
    return connector_rewards(
        amount_cents=amount_cents - total_refunded_cents,
        client_fee_cents=client_fee_cents - total_client_fee_refunded_cents,
        connector_reward_bps=connector_reward_bps,
        price_usd_e8=price_usd_e8,
        sides=sides,
    )


def clawback(*, earned_wei: int, entitled_wei: int, clawed_back_wei: int) -> int:
    """What a refund takes back from a reward already reserved or minted.

    Cumulative: it depends on what is left and what was taken before, so the order of refunds does not matter.
    `earned_wei` counts what was set off against earlier refunds too: that part was paid by settling a debt.
    """
    return max(0, earned_wei - entitled_wei - clawed_back_wei)


def referral_counts(*, completed_at: datetime, registered_at: datetime, referral_duration_seconds: int) -> bool:
    """Whether a referral still earns at `completed_at`; 0 seconds means that it never expires.

    Source: the network's rule 2.
    """
    if referral_duration_seconds == 0:
        return True
    return completed_at < registered_at + timedelta(seconds=referral_duration_seconds)


def hold_ends_at(*, completed_at: datetime, reward_hold_seconds: int) -> datetime:
    """When a reward's refund window has passed, by whichever service's clock. Source: the network's rule 6."""
    late = CLOCKS_DIFFER_SECONDS if reward_hold_seconds else 0
    return completed_at + timedelta(seconds=reward_hold_seconds + late)

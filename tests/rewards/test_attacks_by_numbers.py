"""Attacks on the rewards that arithmetic refuses: what each costs and what it brings. docs/attacks.md has the list."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.governance import GENESIS_PARAMETERS
from services.jobs.domain.money import NOTHING_REFUNDED, charge_for, refund
from services.jobs.domain.parameters import Parameters
from services.rewards.domain.amounts import connector_rewards
from services.rewards.domain.planning import Candidate, Limits, plan_batch
from services.rewards.domain.prices import HOURS, Observation, price_at

pytestmark = pytest.mark.unit

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
BOTH = ("client", "talent")
amounts = st.integers(100, 10**9)
prices = st.integers(10_000, 10**10)


@st.composite
def voted(draw: st.DrawFn) -> Parameters:
    """Parameters that a vote can set: the reward is at most a quarter of the fee."""
    fee_bps = draw(st.integers(0, 10_000))
    return Parameters(0, fee_bps, draw(st.integers(0, fee_bps // 4)), 0)


def minted_wei(amount_cents: int, fee_cents: int, parameters: Parameters, price_usd_e8: int) -> int:
    """Of one transaction, both of whose sides have a connector."""
    earned = connector_rewards(
        amount_cents=amount_cents,
        client_fee_cents=fee_cents,
        connector_reward_bps=parameters.connector_reward_bps,
        price_usd_e8=price_usd_e8,
        sides=BOTH,
    )
    return sum(earned.values())


def worth_cents(wei: int, price_usd_e8: int) -> Fraction:
    """Of so many wei."""
    return Fraction(wei * price_usd_e8, 10**24)


@given(amount=amounts, parameters=voted(), price=prices)
def test_wash_trades_cost_twice_what_they_bring(amount: int, parameters: Parameters, price: int) -> None:
    """One person is client, Talent and both connectors. The amount comes back to them, the fee does not."""
    fee = charge_for(amount, parameters).client_fee_cents
    brought = worth_cents(minted_wei(amount, fee, parameters, price), price)
    assert 2 * brought <= fee + 2, "the fee is rounded down to a cent, each reward to a wei"


def test_a_wash_trade_of_a_thousand_dollars_loses_eighty() -> None:
    genesis = Parameters(0, GENESIS_PARAMETERS["client_fee_bps"], GENESIS_PARAMETERS["connector_reward_bps"], 0)
    fee = charge_for(100_000, genesis).client_fee_cents
    brought = worth_cents(minted_wei(100_000, fee, genesis, 50_000_000), 50_000_000)
    assert (fee, brought) == (10_000, 2_000)


@given(amount=amounts, parameters=voted(), price=prices)
def test_pay_mint_refund_by_new_members_each_time_leaves_the_fee_that_pays_for_the_mint(
    amount: int, parameters: Parameters, price: int
) -> None:
    """All goes back after the mint, and the debt stays with members that are never used again."""
    fee = charge_for(amount, parameters).client_fee_cents
    totals = refund(
        NOTHING_REFUNDED, amount_cents=amount, refunded_cents=amount, parameters=parameters, hold_passed=True
    )
    brought = worth_cents(minted_wei(amount, fee, parameters, price), price)
    assert brought < fee - totals.fee_refunded_cents + 1, "less than the cent that rounding may give"


@given(parts=st.lists(amounts, min_size=1, max_size=20), parameters=voted(), price=prices)
def test_split_payments_bring_no_more_than_one(parts: list[int], parameters: Parameters, price: int) -> None:
    whole = sum(parts)
    together = minted_wei(whole, charge_for(whole, parameters).client_fee_cents, parameters, price)
    apart = sum(minted_wei(part, charge_for(part, parameters).client_fee_cents, parameters, price) for part in parts)
    assert apart <= together


@given(amount=amounts, rate=st.integers(0, 2_500), price=prices)
def test_a_fee_of_zero_brings_nothing(amount: int, rate: int, price: int) -> None:
    assert minted_wei(amount, 0, Parameters(0, 0, rate, 0), price) == 0


@pytest.mark.parametrize(("hours", "most_percent"), [(1, 1), (6, 1), (24, 4), (72, 11)])
def test_whoever_holds_the_price_down_for_hours_mints_hardly_more(hours: int, most_percent: int) -> None:
    """A spike counts at once, to the attacker's cost; a dip only as far as it moves the average of 30 days."""
    true, forged = 50_000_000, 1
    price = price_at(
        NOW,
        medians=[true] * (HOURS - hours) + [forged] * hours,
        latest=Observation(NOW, forged),
        max_age=timedelta(hours=2),
        source="market",
    )
    assert price is not None
    calm = minted_wei(100_000, 10_000, Parameters(0, 1_000, 100, 0), true)
    dipped = minted_wei(100_000, 10_000, Parameters(0, 1_000, 100, 0), price.usd_e8)
    assert calm < dipped <= calm * (100 + most_percent + 1) // 100


@pytest.mark.parametrize("age", [timedelta(hours=2, microseconds=1), timedelta(days=365)])
def test_a_stale_price_prices_nothing(age: timedelta) -> None:
    latest = Observation(NOW - age, 50_000_000)
    assert price_at(NOW, medians=[50_000_000] * HOURS, latest=latest, max_age=timedelta(hours=2), source="x") is None


@given(st.lists(st.integers(1, 10**20), min_size=1, max_size=60))
def test_what_a_plan_cannot_mint_takes_no_room_of_what_it_can(dust: list[int]) -> None:
    """The attacker queues rewards above what the minter mints at once before everybody else's."""
    limits = Limits(bucket_wei=10**21, epoch_wei=10**24, room_wei=10**26, largest_wei=10**18)
    huge = [Candidate(UUID(int=n), UUID(int=1), "0x" + "11" * 20, 10**19) for n in range(30)]
    small = [
        Candidate(UUID(int=1_000 + n), UUID(int=2), "0x" + "22" * 20, min(wei, 10**18)) for n, wei in enumerate(dust)
    ]
    plan = plan_batch([*huge, *small], {}, limits)
    assert {line.reward_id for line in plan.lines} == {each.reward_id for each in small}

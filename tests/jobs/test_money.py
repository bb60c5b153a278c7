"""Fees and refunds to the cent, whatever the order and the splitting."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import Unprocessable
from chassis.money import MAX_CENTS
from events.governance import GENESIS_PARAMETERS
from services.jobs.domain import money
from services.jobs.domain.money import NOTHING_REFUNDED, charge_for, fee_refund_bps, invoice_amount_cents, refund
from services.jobs.domain.parameters import Parameters, hold_has_passed, parameters_from
from services.jobs.domain.states import TransactionStatus
from services.jobs.errors import InvoiceAmountOutOfBounds, MalformedParameters, RefundExceedsTransaction

pytestmark = pytest.mark.unit

GENESIS = parameters_from(0, GENESIS_PARAMETERS)
AMOUNTS = st.integers(min_value=100, max_value=MAX_CENTS)
RATES = st.builds(
    Parameters,
    version=st.integers(0, 2**62),
    client_fee_bps=st.integers(0, 10_000),
    connector_reward_bps=st.integers(0, 10_000),
    reward_hold_seconds=st.just(0),
)


@st.composite
def amounts_and_parts(draw: st.DrawFn) -> tuple[int, list[tuple[int, bool]]]:
    """An amount, and refunds of it (with "had the hold passed?", which once true stays so)."""
    amount = draw(AMOUNTS)
    cuts = sorted(draw(st.sets(st.integers(1, amount), min_size=1, max_size=8)))
    sizes = [high - low for low, high in zip([0, *cuts], cuts, strict=False)]
    passed_from = draw(st.integers(0, len(sizes)))
    return amount, [(size, index >= passed_from) for index, size in enumerate(sizes)]


def refund_all(amount: int, parts: list[tuple[int, bool]], parameters: Parameters) -> list[money.RefundTotals]:
    totals = [NOTHING_REFUNDED]
    for size, passed in parts:
        totals.append(
            refund(totals[-1], amount_cents=amount, refunded_cents=size, parameters=parameters, hold_passed=passed)
        )
    return totals


def test_a_thousand_dollars_at_ten_percent() -> None:
    charge = charge_for(100_000, GENESIS)
    assert (charge.client_fee_cents, charge.talent_fee_cents, charge.total_cents) == (10_000, 0, 110_000)
    assert charge.parameters_version == 0


@pytest.mark.parametrize(("amount", "bps", "fee"), [(109, 1_000, 10), (110, 1_000, 11), (199, 50, 0), (100, 0, 0)])
def test_the_fee_is_rounded_down(amount: int, bps: int, fee: int) -> None:
    assert charge_for(amount, Parameters(1, bps, 100, 0)).client_fee_cents == fee


@given(AMOUNTS, RATES)
def test_the_fee_is_the_exact_floor(amount: int, parameters: Parameters) -> None:
    charge = charge_for(amount, parameters)
    assert charge.client_fee_cents * 10_000 <= amount * parameters.client_fee_bps
    assert (charge.client_fee_cents + 1) * 10_000 > amount * parameters.client_fee_bps
    assert charge.total_cents == amount + charge.client_fee_cents <= 2 * MAX_CENTS


@pytest.mark.parametrize("lines", [[99], [50, 49], [MAX_CENTS, 1], []])
def test_an_invoice_has_bounds(lines: list[int]) -> None:
    with pytest.raises(InvoiceAmountOutOfBounds):
        invoice_amount_cents(lines)


@pytest.mark.parametrize(("lines", "amount"), [([100], 100), ([50, 50], 100), ([MAX_CENTS], MAX_CENTS)])
def test_an_invoice_is_the_sum_of_its_lines(lines: list[int], amount: int) -> None:
    assert invoice_amount_cents(lines) == amount


def test_after_the_hold_only_what_rewards_cannot_have_cost_comes_back() -> None:
    totals = refund(NOTHING_REFUNDED, amount_cents=100_000, refunded_cents=25_000, parameters=GENESIS, hold_passed=True)
    assert totals.fee_refunded_cents == 25_000 * 800 // 10_000 == 2_000


def test_within_the_hold_the_whole_share_comes_back() -> None:
    totals = refund(
        NOTHING_REFUNDED, amount_cents=100_000, refunded_cents=25_000, parameters=GENESIS, hold_passed=False
    )
    assert totals.fee_refunded_cents == 2_500


def test_no_fee_comes_back_when_rewards_may_have_cost_all_of_it() -> None:
    assert fee_refund_bps(Parameters(1, 150, 100, 0), hold_passed=True) == 0


@given(amounts_and_parts(), RATES)
def test_splitting_gains_nothing(case: tuple[int, list[tuple[int, bool]]], parameters: Parameters) -> None:
    amount, parts = case
    split = refund_all(amount, parts, parameters)[-1]
    early = sum(size for size, passed in parts if not passed)
    late = sum(size for size, passed in parts if passed)
    numerator = early * parameters.client_fee_bps + late * max(
        0, parameters.client_fee_bps - 2 * parameters.connector_reward_bps
    )
    assert split.refunded_cents == early + late
    assert split.fee_refunded_cents == numerator // 10_000


@given(amounts_and_parts(), RATES)
def test_the_order_gains_nothing(case: tuple[int, list[tuple[int, bool]]], parameters: Parameters) -> None:
    amount, parts = case
    assert refund_all(amount, parts, parameters)[-1] == refund_all(amount, parts[::-1], parameters)[-1]


@given(amounts_and_parts(), RATES)
def test_never_more_fee_back_than_was_charged(case: tuple[int, list[tuple[int, bool]]], parameters: Parameters) -> None:
    amount, parts = case
    charged = charge_for(amount, parameters).client_fee_cents
    steps = refund_all(amount, parts, parameters)
    assert all(0 <= step.fee_refunded_cents <= charged for step in steps)
    assert all(a.fee_refunded_cents <= b.fee_refunded_cents for a, b in pairwise(steps))


@given(AMOUNTS, RATES)
def test_a_full_refund_within_the_hold_gives_the_whole_fee_back(amount: int, parameters: Parameters) -> None:
    totals = refund(
        NOTHING_REFUNDED, amount_cents=amount, refunded_cents=amount, parameters=parameters, hold_passed=False
    )
    assert totals.fee_refunded_cents == charge_for(amount, parameters).client_fee_cents


@given(AMOUNTS, RATES)
def test_the_fee_kept_covers_both_rewards(amount: int, parameters: Parameters) -> None:
    """Pay, earn, refund: whatever two rewards of the whole cost, capped by the fee, was kept (less than a cent off)."""
    totals = refund(
        NOTHING_REFUNDED, amount_cents=amount, refunded_cents=amount, parameters=parameters, hold_passed=True
    )
    fee = charge_for(amount, parameters).client_fee_cents
    rewards_bps = min(2 * parameters.connector_reward_bps, parameters.client_fee_bps)
    assert (fee - totals.fee_refunded_cents + 1) * 10_000 > amount * rewards_bps


@given(amounts_and_parts(), st.integers(1, MAX_CENTS))
def test_more_than_is_left_is_refused(case: tuple[int, list[tuple[int, bool]]], excess: int) -> None:
    amount, parts = case
    totals = refund_all(amount, parts, GENESIS)[-1]
    with pytest.raises(RefundExceedsTransaction):
        refund(
            totals,
            amount_cents=amount,
            refunded_cents=amount - totals.refunded_cents + excess,
            parameters=GENESIS,
            hold_passed=True,
        )


@pytest.mark.parametrize(
    ("refunded", "status"),
    [(0, TransactionStatus.COMPLETED), (1, TransactionStatus.PARTIALLY_REFUNDED), (100, TransactionStatus.REFUNDED)],
)
def test_the_status_follows_what_went_back(refunded: int, status: TransactionStatus) -> None:
    assert money.status_after_refund(money.RefundTotals(refunded, 0, 0), amount_cents=100) is status


def test_the_hold_ends_to_the_microsecond() -> None:
    completed_at = datetime(2026, 3, 1, tzinfo=UTC)
    held = Parameters(1, 1_000, 100, 60)
    just_before = completed_at + timedelta(seconds=60, microseconds=-1)
    assert not hold_has_passed(held, completed_at=completed_at, now=just_before)
    assert hold_has_passed(held, completed_at=completed_at, now=completed_at + timedelta(seconds=60))
    assert hold_has_passed(GENESIS, completed_at=completed_at, now=completed_at)


@pytest.mark.parametrize(
    "broken", [{"client_fee_bps": 10_001}, {"connector_reward_bps": -1}, {"reward_hold_seconds": 2**70}]
)
def test_parameters_out_of_range_are_refused(broken: dict[str, int]) -> None:
    with pytest.raises(MalformedParameters):
        parameters_from(1, GENESIS_PARAMETERS | broken)


def test_parameters_must_be_whole() -> None:
    with pytest.raises(MalformedParameters):
        parameters_from(1, {"client_fee_bps": 1_000})


def test_rates_must_not_be_the_wrong_way_round() -> None:
    money.require_rate_range(5, 5)
    with pytest.raises(Unprocessable):
        money.require_rate_range(6, 5)

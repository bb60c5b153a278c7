"""The reward formula, clawbacks, and the states a reward may pass through."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import permutations
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.ids import new_id
from services.rewards.domain.amounts import (
    SIDES,
    clawback,
    connector_rewards,
    hold_ends_at,
    referral_counts,
    rewards_after_refunds,
)
from services.rewards.domain.eligibility import Situation, standing
from services.rewards.domain.facts import TransactionFacts, reward_id
from services.rewards.domain.ledger import Code, entry
from services.rewards.domain.states import TRANSITIONS, Reason, Status, check_transition
from services.rewards.errors import IllegalTransition

pytestmark = pytest.mark.unit
NOW = datetime(2026, 11, 22, tzinfo=UTC)

cents = st.integers(100, 10**13)
bps = st.integers(0, 2_500)
prices = st.integers(1, 10**12)
sides = st.sampled_from([[], ["client"], ["talent"], ["client", "talent"]])


def test_the_worked_example():
    earned = connector_rewards(
        amount_cents=100_000,
        client_fee_cents=10_000,
        connector_reward_bps=100,
        price_usd_e8=50_000_000,
        sides=SIDES,
    )
    assert earned == {"client": 20 * 10**18, "talent": 20 * 10**18}


@settings(deadline=None)
@given(amount=cents, fee=st.integers(0, 10**12), rate=bps, price=prices, rewarded=sides)
def test_the_formula_is_the_exact_value_rounded_down_once_and_never_above_the_fee(amount, fee, rate, price, rewarded):
    earned = connector_rewards(
        amount_cents=amount, client_fee_cents=fee, connector_reward_bps=rate, price_usd_e8=price, sides=rewarded
    )
    share = Fraction(amount * rate, 10_000)
    total = share * len(rewarded)
    for side in rewarded:
        usd_cents = share if total <= fee else Fraction(fee, len(rewarded))
        exact = usd_cents * 10**24 / price
        assert earned[side] == exact.numerator // exact.denominator
    worth = sum(earned.values()) * price
    assert worth <= fee * 10**24
    assert set(earned) == set(rewarded)


def test_a_fee_of_zero_earns_nothing():
    earned = connector_rewards(
        amount_cents=100_000, client_fee_cents=0, connector_reward_bps=100, price_usd_e8=1, sides=SIDES
    )
    assert earned == {"client": 0, "talent": 0}


def test_a_price_is_above_zero():
    with pytest.raises(ValueError, match="price"):
        connector_rewards(amount_cents=100, client_fee_cents=10, connector_reward_bps=100, price_usd_e8=0, sides=SIDES)


@settings(deadline=None)
@given(
    amount=cents,
    parts=st.lists(st.integers(1, 10**6), min_size=1, max_size=4),
    rate=bps,
    price=prices,
)
def test_refunds_take_back_the_same_in_any_order(amount, parts, rate, price):
    fee = amount // 10
    whole = {"connector_reward_bps": rate, "price_usd_e8": price, "sides": ["client", "talent"]}
    earned = connector_rewards(amount_cents=amount, client_fee_cents=fee, **whole)["client"]
    scale = sum(parts) * 2
    refunded = [amount * part // scale for part in parts]
    results = set()
    for order in permutations(refunded):
        clawed, done = 0, 0
        for cut in order:
            done += cut
            left = rewards_after_refunds(
                amount_cents=amount,
                client_fee_cents=fee,
                total_refunded_cents=done,
                total_client_fee_refunded_cents=fee * done // amount,
                **whole,
            )["client"]
            clawed += clawback(earned_wei=earned, entitled_wei=left, clawed_back_wei=clawed)
        results.add(clawed)
    assert len(results) == 1
    assert 0 <= results.pop() <= earned


def test_a_full_refund_takes_everything_back():
    left = rewards_after_refunds(
        amount_cents=1000,
        client_fee_cents=100,
        total_refunded_cents=1000,
        total_client_fee_refunded_cents=80,
        connector_reward_bps=100,
        price_usd_e8=50_000_000,
        sides=SIDES,
    )
    assert left == {"client": 0, "talent": 0}
    assert clawback(earned_wei=7, entitled_wei=0, clawed_back_wei=3) == 4


def test_a_referral_expires_only_when_governance_sets_a_duration():
    common = {"completed_at": NOW, "registered_at": NOW - timedelta(days=400)}
    assert referral_counts(**common, referral_duration_seconds=0)
    assert not referral_counts(**common, referral_duration_seconds=365 * 86_400)
    assert referral_counts(**common, referral_duration_seconds=401 * 86_400)


def test_a_refund_window_ends_late_by_what_clocks_may_differ_and_no_window_ends_at_once():
    assert hold_ends_at(completed_at=NOW, reward_hold_seconds=0) == NOW
    assert hold_ends_at(completed_at=NOW, reward_hold_seconds=60) == NOW + timedelta(seconds=61)


def test_the_states_are_the_published_ones_and_nothing_else_is_allowed():
    allowed = {(a, b) for a, following in TRANSITIONS.items() for b in following}
    assert allowed == {
        ("waiting", "accrued"),
        ("accrued", "held"),
        ("accrued", "queued"),
        ("accrued", "cancelled"),
        ("held", "held"),
        ("held", "queued"),
        ("held", "cancelled"),
        ("queued", "held"),
        ("queued", "submitted"),
        ("queued", "cancelled"),
        ("submitted", "minted"),
        ("submitted", "queued"),
        ("minted", "submitted"),
        ("minted", "reversed"),
    }
    for before in Status:
        for after in Status:
            if (before, after) in allowed:
                check_transition(before, after)
            else:
                with pytest.raises(IllegalTransition):
                    check_transition(before, after)


def _situation(**changes):
    fine = {
        "amount_wei": 1,
        "has_price": True,
        "is_verified": True,
        "hold_ends_at": NOW,
        "payout_address": "0x" + "1" * 40,
        "next_wallet_at": None,
        "reaches_minimum": True,
        "earned_at": NOW,
    }
    return Situation(**(fine | changes))


def test_a_reward_stands_where_the_first_missing_thing_puts_it():
    later = NOW + timedelta(seconds=1)
    assert standing(_situation(), NOW).status == Status.QUEUED
    cases = {
        Reason.STALE_PRICE: {"has_price": False},
        Reason.UNVERIFIED: {"is_verified": False},
        Reason.REFUND_WINDOW: {"hold_ends_at": later},
        Reason.NO_PAYOUT_WALLET: {"payout_address": None},
        Reason.BELOW_MINIMUM: {"reaches_minimum": False},
    }
    for reason, change in cases.items():
        found = standing(_situation(**change), NOW)
        assert (found.status, found.reason) == (Status.HELD, reason)
    assert standing(_situation(hold_ends_at=later), NOW).check_at == later
    assert standing(_situation(payout_address=None, next_wallet_at=later), NOW).check_at == later
    nothing = standing(_situation(amount_wei=0), NOW)
    assert (nothing.status, nothing.reason) == (Status.CANCELLED, Reason.ZERO_AMOUNT)


@pytest.mark.parametrize("waits", [{"payout_address": None}, {"reaches_minimum": False}])
def test_what_waits_for_its_beneficiary_lapses_after_a_year(waits):
    lapses_at = NOW + timedelta(days=365)
    held = standing(_situation(**waits), NOW)
    assert (held.status, held.check_at) == (Status.HELD, lapses_at)
    assert standing(_situation(**waits), lapses_at - timedelta(microseconds=1)).status == Status.HELD
    lapsed = standing(_situation(**waits), lapses_at)
    assert (lapsed.status, lapsed.reason, lapsed.check_at) == (Status.CANCELLED, held.reason, None)
    assert standing(_situation(), lapses_at).status == Status.QUEUED


@pytest.mark.parametrize("waits", [{"has_price": False}, {"is_verified": False}])
def test_what_waits_for_the_network_never_lapses(waits):
    assert standing(_situation(**waits), NOW + timedelta(days=3_650)).status == Status.HELD


@settings(deadline=None)
@given(code=st.sampled_from(list(Code)), amount=st.integers(-(10**30), 10**30))
def test_every_ledger_entry_sums_to_zero_and_shows_one_line(code, amount):
    postings = entry(code, amount)
    assert sum(posting.amount_wei for posting in postings) == 0
    assert [posting.amount_wei for posting in postings if posting.shown] == [amount]


def test_a_reward_id_is_a_uuid7_of_its_moment_and_the_same_every_time():
    told = TransactionFacts(*[new_id() for _ in range(5)], "sandbox", 100_000, "USD", 10_000, 0, 0, NOW)
    args = {"kind": "connector", "source": told.fingerprint(), "side": "client", "earned_at": NOW}
    first = reward_id(**args)
    assert first == reward_id(**args)
    assert isinstance(first, UUID)
    assert (first.version, first.variant) == (7, "specified in RFC 4122")
    assert first.int >> 80 == int(NOW.timestamp() * 1000)
    assert first != reward_id(**(args | {"side": "talent"}))
    changed = TransactionFacts(**{**{n: getattr(told, n) for n in told.__slots__}, "amount_cents": 100_001})
    assert first != reward_id(**(args | {"source": changed.fingerprint()}))

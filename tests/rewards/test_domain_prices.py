"""The price as pure rules: medians, the window, what counts as filled, and what is no price."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.rewards.domain.prices import (
    FILLED_HOURS,
    HOURS,
    Bounds,
    Observation,
    hour_of,
    hours_before,
    median,
    price_at,
    to_usd_e8,
)

pytestmark = pytest.mark.unit
NOW = datetime(2026, 11, 27, 16, 20, 30, tzinfo=UTC)
AGE = timedelta(hours=2)


def test_the_average_of_the_hours_or_the_latest_whichever_is_higher() -> None:
    latest = Observation(NOW - timedelta(minutes=5), 6_760_000)
    price = price_at(NOW, medians=[7_000_000] * 700 + [1] * 20, latest=latest, max_age=AGE, source="market")
    assert price is not None
    assert (price.usd_e8, price.source) == ((700 * 7_000_000 + 20) // 720, "market")
    assert price.window == "max of the 30-day average 6805555 (720 of 720 hours) and the latest 6760000"
    risen = Observation(NOW, 9_000_000)
    price = price_at(NOW, medians=[7_000_000] * 720, latest=risen, max_age=AGE, source="market")
    assert price is not None
    assert price.usd_e8 == 9_000_000


@pytest.mark.parametrize(
    ("filled", "age", "is_known"),
    [
        (HOURS, timedelta(0), True),
        (FILLED_HOURS, AGE, True),
        (FILLED_HOURS - 1, timedelta(0), False),
        (HOURS, AGE + timedelta(microseconds=1), False),
        (0, timedelta(0), False),
    ],
)
def test_nothing_is_guessed(filled: int, age: timedelta, is_known: bool) -> None:
    latest = Observation(NOW - age, 7_000_000)
    price = price_at(NOW, medians=[7_000_000] * filled, latest=latest, max_age=AGE, source="market")
    assert (price is not None) is is_known
    assert price_at(NOW, medians=[7_000_000] * HOURS, latest=None, max_age=AGE, source="market") is None


def test_80_percent_of_30_days_are_576_hours() -> None:
    assert (HOURS, FILLED_HOURS) == (30 * 24, 576)


def test_the_window_is_720_whole_hours_that_have_passed() -> None:
    start, end = hours_before(NOW)
    assert (end, end - start) == (datetime(2026, 11, 27, 16, tzinfo=UTC), timedelta(hours=720))
    assert hours_before(end) == (start, end)
    assert hour_of(datetime.fromisoformat("2026-11-27T18:20:30+02:00")) == end


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=30))
def test_the_median_lies_in_the_middle_and_no_outlier_moves_it_beyond_its_neighbours(values: list[int]) -> None:
    found = median(values)
    assert sum(value < found for value in values) <= len(values) / 2
    assert sum(value > found for value in values) <= len(values) / 2
    moved = median([*values, 10**15])
    assert found <= moved <= max(values) or len(values) == 1


def test_of_two_in_the_middle_the_mean_is_rounded_down() -> None:
    assert median([4, 1]) == 2
    assert median([9, 1, 4]) == 4
    with pytest.raises(ValueError, match="nothing"):
        median([])


@pytest.mark.parametrize(
    ("usd", "usd_e8"), [("0.0676", 6_760_000), ("1", 10**8), ("0.000000019", 1), ("999999999.999999999", 10**17 - 1)]
)
def test_usd_are_rounded_down_to_10_to_the_minus_8(usd: str, usd_e8: int) -> None:
    assert to_usd_e8(Decimal(usd)) == usd_e8


@pytest.mark.parametrize("usd", ["0", "-1", "NaN", "Infinity", "1e9", "0.000000009"])
def test_what_is_no_price_is_refused(usd: str) -> None:
    with pytest.raises(ValueError, match=r"USD|no price"):
        to_usd_e8(Decimal(usd))


def test_bounds_are_inclusive() -> None:
    bounds = Bounds(10, 20)
    assert [bounds.hold(price) for price in (9, 10, 20, 21)] == [False, True, True, False]

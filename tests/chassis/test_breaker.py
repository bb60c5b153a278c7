"""The circuit breaker's states, with time given by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.upstreams import Breaker, BreakerLimits, CircuitState
from chassis.upstreams.breaker import NeverOpen

pytestmark = pytest.mark.unit

LIMITS = BreakerLimits(failures=3, cool_down_seconds=1.0, longest_seconds=4.0)


def opened(told: list[CircuitState] | None = None) -> Breaker:
    breaker = Breaker(LIMITS, (told if told is not None else []).append)
    for _ in range(3):
        breaker.failed(10.0)
    return breaker


def test_failures_in_a_row_open_it() -> None:
    told: list[CircuitState] = []
    breaker = Breaker(LIMITS, told.append)
    for _ in range(2):
        breaker.failed(0.0)
        breaker.failed(0.0)
        breaker.succeeded()
    assert breaker.is_closed
    assert told == []
    for _ in range(3):
        assert breaker.admits(0.0)
        breaker.failed(0.0)
    assert told == [CircuitState.OPEN]
    assert not breaker.admits(0.99)
    assert breaker.seconds_left(0.25) == 0.75


def test_one_probe_goes_through_when_it_has_cooled_down() -> None:
    breaker = opened()
    assert not breaker.is_due(10.9)
    assert breaker.is_due(11.0)
    assert [breaker.admits(11.0) for _ in range(5)] == [True, False, False, False, False]
    assert breaker.state is CircuitState.HALF_OPEN
    assert breaker.seconds_left(11.0) == 0.0, "the probe may end at any time"


def test_a_probe_that_succeeds_closes_it() -> None:
    told: list[CircuitState] = []
    breaker = opened(told)
    assert breaker.admits(11.0)
    breaker.succeeded()
    assert told == [CircuitState.OPEN, CircuitState.HALF_OPEN, CircuitState.CLOSED]
    assert all(breaker.admits(11.0) for _ in range(5))
    breaker.failed(11.0)
    assert breaker.is_closed, "the count begins anew"


def test_each_probe_that_fails_doubles_the_cool_down_up_to_the_longest() -> None:
    breaker, now, waits = opened(), 11.0, []
    for _ in range(4):
        assert breaker.admits(now)
        breaker.failed(now)
        waits.append(breaker.seconds_left(now))
        now += waits[-1]
    assert waits == [2.0, 4.0, 4.0, 4.0]
    assert breaker.admits(now)
    breaker.succeeded()
    for _ in range(3):
        breaker.failed(now)
    assert breaker.seconds_left(now) == 1.0, "after a success the cool-down is the first one again"


def test_a_probe_that_says_nothing_makes_room_for_the_next() -> None:
    breaker = opened()
    assert breaker.admits(11.0)
    assert not breaker.admits(11.5)
    assert breaker.admits(12.0)


def test_answers_to_what_was_sent_before_do_not_close_it() -> None:
    breaker = opened()
    breaker.succeeded()
    breaker.failed(10.5)
    assert breaker.state is CircuitState.OPEN
    assert breaker.seconds_left(10.5) == 0.5, "nor do their failures prolong it"


def test_one_that_nobody_watches_never_opens() -> None:
    breaker = NeverOpen()
    for _ in range(100):
        breaker.failed(0.0)
    assert breaker.admits(0.0)


@given(st.lists(st.tuples(st.sampled_from(["ask", "succeed", "fail"]), st.floats(0, 2)), max_size=200))
def test_while_it_is_not_closed_at_most_one_goes_through_for_each_cool_down(steps: list[tuple[str, float]]) -> None:
    breaker, now = Breaker(LIMITS), 0.0
    last = float("-inf")
    for step, passed in steps:
        now += passed
        if step == "ask":
            was_closed = breaker.is_closed
            if breaker.admits(now) and not was_closed:
                assert now - last >= LIMITS.cool_down_seconds
                last = now
        elif step == "succeed":
            breaker.succeeded()
        else:
            breaker.failed(now)
        assert breaker.is_closed is (breaker.state is CircuitState.CLOSED)
        assert breaker.is_closed or breaker.failures, "connections tell of no success while there are no failures"
        assert 0 <= breaker.seconds_left(now) <= LIMITS.longest_seconds

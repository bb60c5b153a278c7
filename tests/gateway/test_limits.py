"""The rate limiter, by a clock of its own."""

import pytest

from gateway.limits import RateLimiter


def test_a_seconds_worth_may_come_at_once_and_then_the_rate_rules() -> None:
    limiter = RateLimiter(10)
    now = 1000.0
    limiter._turned_at = now
    assert [limiter.take("a", now=now) for _ in range(10)] == [0.0] * 10
    assert limiter.take("a", now=now) == pytest.approx(0.1)
    assert limiter.take("b", now=now) == 0.0
    assert limiter.take("a", now=now + 0.05) == pytest.approx(0.05)
    assert limiter.take("a", now=now + 0.1001) == 0.0
    assert limiter.take("a", now=now + 0.1001) > 0
    passed = sum(limiter.take("a", now=now + 1 + step / 1000) == 0.0 for step in range(10_000))
    assert 100 <= passed <= 111


def test_refused_requests_cost_nothing_and_forgotten_buckets_are_full() -> None:
    limiter = RateLimiter(2)
    limiter._turned_at = 1000.0
    for _ in range(1000):
        limiter.take("a", now=1000.0)
    assert limiter.take("a", now=1000.6) == 0.0
    for index in range(100):
        limiter.take(index, now=1001.0)
    limiter.take("b", now=1040.0)
    limiter.take("b", now=1080.0)
    assert len(limiter._young) + len(limiter._old) <= 2

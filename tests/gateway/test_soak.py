"""The soak of `make soak-gateway`, for a short time."""

import pytest

from tests.load.soak_gateway import MOST_GROWTH, growth, soak

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


def test_no_safe_request_fails_while_the_service_restarts() -> None:
    found = soak(40)
    assert found["failed_safe"] == 0, found
    assert found["requests"] > 1_000, "there was no load"
    assert found["restarts"] >= 6
    assert found["rss_growth_percent"] < 100 * MOST_GROWTH


def test_growth_leaves_out_what_fills_at_the_start() -> None:
    assert growth([50] * 10 + [100] * 80 + [104] * 10) == pytest.approx(0.04)

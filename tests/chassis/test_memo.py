"""What is remembered of keys that strangers choose is bounded."""

import pytest

from chassis.memo import Memo

pytestmark = pytest.mark.unit


def test_it_computes_once_and_bounds_what_it_keeps() -> None:
    asked: list[bytes] = []

    def compute(key: bytes) -> int:
        asked.append(key)
        return len(key)

    memo = Memo(compute, most=3, longest=4)
    for _ in range(2):
        assert [memo[key] for key in (b"a", b"bb", b"toolong")] == [1, 2, 7]
    assert asked == [b"a", b"bb", b"toolong", b"toolong"]
    for number in range(100):
        assert memo[b"%d" % number] == len(b"%d" % number)
        assert len(memo) <= 3

"""What a function of some bytes returned, remembered for the bytes that come again and again."""

from collections.abc import Callable
from typing import TypeVar

V = TypeVar("V")


class Memo(dict[bytes, V]):
    """`memo[key]` is `compute(key)`, computed once for a short key while it is remembered.

    Strangers choose the keys, so there is room for `most` of them, each of at most `longest` bytes. A full memo begins
    anew, which costs less than to know which entries are old. A hit costs one look into a dictionary.
    """

    def __init__(self, compute: Callable[[bytes], V], *, most: int = 4096, longest: int = 256) -> None:
        super().__init__()
        self._compute = compute
        self._most = most
        self._longest = longest

    def __missing__(self, key: bytes) -> V:
        """Compute, and remember."""
        value = self._compute(key)
        if len(key) <= self._longest:
            if len(self) >= self._most:
                self.clear()
            self[key] = value
        return value

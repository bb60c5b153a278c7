"""Where one request ends and the next begins, and the request line, which the parser reads too kindly.

llhttp takes several spaces in a request line, a fragment, other protocols (`GET / RTSP/1.0`) and stray line ends before
it, and does not say where in the bytes a message began. So what is fed to it is cut where a message can end: after an
empty line, or after the last byte of an announced length. Then every request line is the beginning of a piece.
CONNECT, and the preface of HTTP/2, end HTTP/1.1 and are refused.

Source: RFC 9112 sections 2.2 (one empty line before a request may be ignored) and 3 (single spaces, no fragment).
"""

import re
from collections.abc import Iterable

REQUEST_LINE = re.compile(rb"(?:\r\n)?(?!CONNECT |PRI )[A-Z-]{1,32} [!-\"$-~]+ HTTP/1\.[01]\r\n")

_BEGINNING = re.compile(
    rb"\r|(?:\r\n)?(?:[A-Z-]{1,32}(?: (?:[!-\"$-~]+(?: (?:H(?:T(?:T(?:P(?:/(?:1(?:\.(?:[01]\r?)?)?)?)?)?)?)?)?)?)?)?)?"
)
_EMPTY_LINE = b"\r\n\r\n"
_UNKNOWN, _CHUNKED = -1, -2


def may_begin(data: bytes) -> bool:
    """Whether more bytes could make a request line of `data`."""
    return _BEGINNING.fullmatch(data) is not None


class Cutter:
    """Follows one connection's messages; `cut` says how much to feed at once.

    States: *head* (until the empty line) → *body* of an announced length, which is counted down, or in chunks, which
    end with an empty line like a head does → the next *head*.
    """

    __slots__ = ("_left", "_tail")

    def __init__(self) -> None:
        self._left = _UNKNOWN
        self._tail = b""

    def begin(self) -> None:
        """A message begins."""
        self._left = _UNKNOWN
        self._tail = b""

    def cut(self, data: bytes) -> int:
        """How many bytes of `data` may go to the parser before its message may end. Within a head or chunks."""
        tail = self._tail
        end = (tail + data).find(_EMPTY_LINE) if tail else data.find(_EMPTY_LINE)
        size = len(data) if end < 0 else end + 4 - len(tail)
        self._tail = (tail + data[max(0, size - 3) : size])[-3:]
        return size

    def cut_body(self, data: bytes, headers: Iterable[tuple[bytes, bytes]]) -> int:
        """The same within the body of a message that has these headers."""
        if self._left == _UNKNOWN:
            self._left = next((int(value) for name, value in headers if name == b"content-length"), _CHUNKED)
        if self._left == _CHUNKED:
            return self.cut(data)
        size = min(self._left, len(data))
        self._left -= size
        return size

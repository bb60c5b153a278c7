"""Hostile bytes: valid requests, requests that two readers could read differently, and mutations of both.

Every choice is taken from a tape of bytes, so that a finder that shrinks the tape (hypothesis) shrinks the input: a
tape of zeros is one plain GET.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

Choice = TypeVar("Choice")

_RARE = 216
"""A byte of the tape from here on takes something unusual."""

METHODS = (b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"PATCH", b"PROPFIND", b"TRACE")
ODD_METHODS = (b"get", b"GETT", b"G ET", b"PRI", b"CONNECT", b"DESCRIBE", b"SOURCE", b"M-SEARCH", b"", b"GET\0")
TARGETS = (b"/v1/things", b"/v1/things/7", b"/v1/things/summary", b"/v1/things?a=1&b=%2F", b"/v1/things/a%20b?x")
ODD_TARGETS = (
    b"/", b"*", b"//v1/things", b"/v1/things/..", b"/v1/things/%2e%2e", b"/v1/things/%2f7", b"/v1/things/%5c",
    b"/v1/nowhere",
    b"http://evil/v1/things", b"https://u@evil:8/v1/things?x", b"//evil/v1/things", b"/v1/things#x", b"/v1/things?a#b",
    b"/v1/th ings", b"/v1/things\t", b"/v1/things/\xe4", b"v1/things", b"evil:80", b"/v1/things/%00", b"/v1/things\\7",
    b'/v1/things?q="<>{}|^`', b"http://evil", b"http:///v1/things", b"/v1/things/%0d%0aHost:%20b", b"/v1/things?\x7f",
)  # fmt: skip
VERSIONS = (b"HTTP/1.1",)
ODD_VERSIONS = (
    b"HTTP/1.0", b"HTTP/1.1 ", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.2", b"http/1.1", b"RTSP/1.0", b"ICE/1.0",
    b"HTTP/1.10", b"", b"HTTP/1.1\r",
)  # fmt: skip
SPACES = (b" ",)
ODD_SPACES = (b"  ", b"\t", b"", b" \t", b"\x0b", b"\x0c", b"\xa0")
ENDS = (b"\r\n",)
ODD_ENDS = (b"\n", b"\r", b"\r\r\n", b"\n\r\n", b"\r\n\r\n", b" \r\n", b"\r\n ", b"\r\n\t", b"\0\r\n")
HOSTS = (b"Host: a",)
ODD_HOSTS = (
    b"", b"Host: a\r\nHost: b", b"Host: a\r\nhost: a", b"Host:", b"Host: a/b", b"Host: u@a", b"Host : a",
    b"Host: a ", b"Host: [::1]:80", b"Host:\ta", b" Host: a",
)  # fmt: skip
EXTRAS = (
    b"Accept: */*", b"X-Kept: 1", b"X-User-Id: 1", b"X-Forwarded-For: 6.6.6.6", b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: X-Kept", b"Connection: host, content-length, transfer-encoding",
    b"Connection: upgrade\r\nUpgrade: h2c",
    b"Upgrade: websocket", b"Expect: 100-continue", b"Expect: 200-ok", b"TE: trailers", b"Trailer: X-T",
    b"Keep-Alive: 5",
    b"X-A: 1\r\n 2", b"X-A: 1\r\n\t2", b"X-A: a\0b", b"X-A: a\rb", b"X-A: a\nb", b"X-A\0: 1", b": 1",
    b"X A: 1", b"X-A", b"X-A:",
    b"X-A: \xe4\xff", b"X-\xe4: 1", b"X-A: \x7f", b"Content-Type: a/b\r\nContent-Type: c/d",
    b"Idempotency-Key: a\r\nIdempotency-Key: b",
    b"Authorization: Bearer x", b"X-Request-ID: abc\r\nX-Request-ID: d", b"traceparent: 00-0",
    b"Content-Length: 0", b"content-length: 5",
    b"Content-Length: +5", b"Content-Length: 5, 5", b"Content-Length: 0x5", b"Content-Length: 5 ",
    b"Content-Length: -1", b"Content-Length: 5_0",
    b"Content-Length: 18446744073709551616", b"Content-Length: 00005", b"Content-Length:",
    b"Content-Length : 5", b"Content_Length: 5",
    b"Content-Length: 5 5", b"Content-Length: 5\r\nContent-Length: 5", b"Content-Length: 5\r\nContent-Length: 6",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked ", b"transfer-encoding:\tCHUNKED",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: ,chunked", b"Transfer-Encoding: chunked,", b"Transfer-Encoding: chunked;q=1",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding:", b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding : chunked",
    b"Transfer-Encoding: chun\r\n ked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"Transfer\x00-Encoding: chunked",
    b"Transfer-Encoding: 'chunked'",
)  # fmt: skip
HIDDEN = b"GET /v1/things/hidden HTTP/1.1\r\nHost: a\r\n\r\n"
BODIES = (b"", b"abcde", HIDDEN, b"0\r\n\r\n", b"\r\n\r\n", b"a\r\n", b"x" * 300, b"0\r\n\r\n" + HIDDEN)
ODD_SIZES = (
    b"+%x", b" %x", b"%x ", b"0x%x", b"-%x", b"%x;", b"%x;a", b'%x;a="b\r\n"', b"%x;a\n", b"%x ;a=b",
    b"000000000000000000%x", b"1000000000000000%x", b"%x\t", b"%x;a=b;c", b"", b"%x\0", b"%x,",
)  # fmt: skip
ODD_LASTS = (
    b"0\r\nX-T: 1\r\n\r\n", b"0\r\nContent-Length: 5\r\n\r\n", b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"00\r\n\r\n", b"0\r\n", b"0\n\n",
    b"0\r\n\n", b"0;a=b\r\n\r\n", b"-0\r\n\r\n", b"0\r\n X-T: 1\r\n\r\n", b"0\r\nX-T: 1\r\n 2\r\n\r\n",
    b"0\r\nHost: b\r\n\r\n", b"\r\n\r\n", b"0 \r\n\r\n", b"",
)  # fmt: skip
BYTES = (
    b"\r", b"\n", b"\r\n", b" ", b"\t", b"\0", b":", b";", b",", b"0", b"1", b"a", b"#", b"\xff", b"\x0b",
    b"chunked", b"\r\n\r\n", b"/", b"%", b"=",
)  # fmt: skip


class Tape:
    """Choices, from bytes; zeros after the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self) -> int:
        """0 to 255."""
        at, self._at = self._at, self._at + 1
        return self._data[at] if at < len(self._data) else 0

    def of(self, usual: Sequence[Choice], odd: Sequence[Choice] = ()) -> Choice:
        """Mostly one of the usual ones."""
        number = self.number()
        if number >= _RARE and odd:
            return odd[self.number() % len(odd)]
        return usual[number % len(usual)]

    def place(self, size: int) -> int:
        """A place in so many bytes, its end included."""
        return ((self.number() << 8) + self.number()) % (size + 1)


@dataclass(frozen=True, slots=True)
class Case:
    """What a client sends: pieces, and whether the gateway gets a moment after each."""

    pieces: tuple[bytes, ...]
    pauses: tuple[bool, ...]
    warm: bool
    """Whether a request with a plain header section went before, on the same connection."""

    @property
    def sent(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces)


def case(tape_bytes: bytes) -> Case:
    """The input that this tape stands for."""
    tape = Tape(tape_bytes)
    warm = tape.number() % 2 == 1
    count = tape.of((1, 1, 2, 3))
    sent = b"".join(_request(tape) for _ in range(count))
    for _ in range(tape.of((0, 0, 0, 1), (1, 2, 3))):
        sent = _mutated(tape, sent)
    cuts = sorted({tape.place(len(sent)) for _ in range(tape.of((0, 0, 1, 2), (3, 6)))} - {0, len(sent)})
    edges = [0, *cuts, len(sent)]
    pieces = tuple(sent[start:end] for start, end in pairwise(edges))
    return Case(pieces, tuple(tape.number() % 2 == 0 for _ in pieces), warm)


def _request(tape: Tape) -> bytes:
    method = tape.of(METHODS, ODD_METHODS)
    line = [method, tape.of(SPACES, ODD_SPACES), tape.of(TARGETS, ODD_TARGETS), tape.of(SPACES, ODD_SPACES)]
    line += [tape.of(VERSIONS, ODD_VERSIONS), tape.of(ENDS, ODD_ENDS)]
    headers = [tape.of(HOSTS, ODD_HOSTS)]
    headers += [tape.of(EXTRAS) for _ in range(tape.of((0, 0, 1, 2), (3,)))]
    framing, body = _body(tape, method)
    headers += framing
    if tape.number() % 2:
        headers.reverse()
    before = tape.of((b"",), (b"\r\n", b"\n", b"\r\n\r\n", b" ", b"\r"))
    section = b"".join(header + tape.of(ENDS, ODD_ENDS) for header in headers if header)
    return before + b"".join(line) + section + tape.of(ENDS, ODD_ENDS) + body


def _body(tape: Tape, method: bytes) -> tuple[list[bytes], bytes]:
    kind = tape.number() % 4
    if kind == 0 and method != b"POST":
        return [], b""
    body = tape.of(BODIES)
    if kind == 1:
        return [b"Content-Length: %d" % max(0, len(body) + tape.of((0,), (1, -1, 7, -40)))], body
    if kind == 2:
        return [b"Transfer-Encoding: chunked"], _chunks(tape, body)
    return ([b"Content-Length: %d" % len(body)] if body or method == b"POST" else []), body


def _chunks(tape: Tape, body: bytes) -> bytes:
    cut = tape.place(len(body))
    out = b""
    for part in (body[:cut], body[cut:]):
        if part:
            size = tape.of((b"%x",), ODD_SIZES)
            out += (
                (size % len(part) if b"%x" in size else size) + tape.of(ENDS, ODD_ENDS) + part + tape.of(ENDS, ODD_ENDS)
            )
    return out + tape.of((b"0\r\n\r\n",), ODD_LASTS)


def _mutated(tape: Tape, data: bytes) -> bytes:
    start, end = sorted((tape.place(len(data)), tape.place(len(data))))
    kind = tape.number() % 5
    if kind == 0:
        return data[:start] + tape.of(BYTES) + data[start:]
    if kind == 1:
        return data[:start] + data[start + 1 :]
    if kind == 2:
        return data[:start] + tape.of(BYTES) + data[start + 1 :]
    if kind == 3:
        return data[:end] + data[start : min(end, start + 60)] + data[end:]
    return data[:start] + data[min(end, start + 20) :]

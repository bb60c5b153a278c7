"""What goes over an upstream connection: origins, requests and their framing, limits, errors."""

from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

Headers = Sequence[tuple[bytes, bytes]]

SAFE_METHODS = frozenset({b"GET", b"HEAD"})
"""Methods that may be sent again on another connection when a kept-alive one turns out to be dead."""

WRITTEN_HERE = frozenset(
    b"connection content-length expect host keep-alive proxy-connection te trailer transfer-encoding upgrade".split()
)
"""Headers of one hop: written here or left out. Source: RFC 9110 section 7.6.1, RFC 9112 section 6."""


class UpstreamError(Exception):
    """The exchange with the upstream failed."""


class UpstreamUnreachable(UpstreamError):
    """No connection could be had. Not a byte of the request was sent."""


class UpstreamBusy(UpstreamUnreachable):
    """All connections are in use and too many callers wait for one."""


class UpstreamOpen(UpstreamUnreachable):
    """No address of the upstream has answered lately, so nothing was tried. `seconds`: until there may be a chance."""

    def __init__(self, message: str, *, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class UpstreamBroken(UpstreamError):
    """The upstream closed the connection before its answer was complete."""


class UpstreamTimeout(UpstreamError):
    """The upstream did not answer, or stopped in the middle, for too long."""


class UpstreamMalformed(UpstreamError):
    """The upstream's answer is not HTTP/1.1, or its header is over the cap."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an upstream listens."""

    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> "Origin":
        """`http://host[:port]` as an origin. Raises: ValueError when there is anything else in it."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or parts.path not in {"", "/"} or parts.query or parts.username:
            raise ValueError(f"an upstream's URL is http://host:port, not {url!r}")
        return cls(parts.hostname, parts.port or 80)

    @property
    def authority(self) -> bytes:
        """What goes in the `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}".encode()


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Caps and deadlines of a pool. Connections and waiting callers are counted for each origin."""

    max_connections: int = 256
    max_waiting: int = 2048
    connect_seconds: float = 2.0
    first_byte_seconds: float = 30.0
    idle_seconds: float = 30.0
    keep_alive_seconds: float = 4.0
    """Shorter than the servers' own, so that the pool closes first."""

    max_head_bytes: int = 65_536
    buffer_bytes: int = 262_144


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """One request. A streamed body goes out chunked, unless `content_length` says how long it is."""

    method: bytes
    target: bytes
    headers: Headers = ()
    body: bytes | AsyncIterable[bytes] = b""
    content_length: int | None = None

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice does no harm: a safe method without a body."""
        return self.method in SAFE_METHODS and self.body == b""


def encode_head(request: UpstreamRequest, authority: bytes) -> bytes:
    """The request line and header fields of `request`, with the one framing that fits its body.

    Raises: ValueError when the method, target or a header would break out of its line.
    """
    framing = b""
    if not isinstance(request.body, bytes):
        length = request.content_length
        framing = b"transfer-encoding: chunked\r\n" if length is None else b"content-length: %d\r\n" % length
    elif request.body or request.method not in SAFE_METHODS:
        framing = b"content-length: %d\r\n" % len(request.body)
    return write_head(request.method, request.target, request.headers, framing, authority)


def write_head(method: bytes, target: bytes, headers: Headers, framing: bytes, authority: bytes) -> bytes:
    """A request's head; `framing` is its header of framing, or empty. Raises: ValueError, as `encode_head`."""
    lines = [b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (method, target, authority)]
    lines += [b"%b: %b\r\n" % pair for pair in headers if pair[0].lower() not in WRITTEN_HERE]
    breaks = len(lines) + 1
    if framing:
        lines.append(framing)
        breaks += 1
    head = b"".join(lines)
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks or b"\0" in head or lines[0].count(b" ") != 3:
        raise ValueError("a header or the target of an upstream request contains a line break, NUL or space")
    return head + b"\r\n"

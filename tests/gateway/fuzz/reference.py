"""A second reading of what a client sent: slow, strict, written from the standards and not from the gateway.

Source: RFC 9112 sections 2 to 7, RFC 9110 sections 5 and 7; where they leave a choice, what the gateway promises.
"""

import re
from dataclasses import dataclass, field

METHODS = frozenset(
    b"DELETE GET HEAD POST PUT OPTIONS TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK BIND REBIND "
    b"UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PATCH PURGE MKCALENDAR LINK "
    b"UNLINK SOURCE QUERY".split()
)
"""What the parser knows as methods; it refuses every other. CONNECT is for proxies."""

_LINE = re.compile(rb"([A-Z-]+) ([!-\"$-~]+) HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t ]*([\t -~\x80-\xff]*)")
_SIZE = re.compile(
    rb"([0-9A-Fa-f]+)((?:;[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:=(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+|\"(?:[^\"\\]|\\.)*\"))?)*)"
)
_CHUNK = re.compile(rb"[0-9A-Fa-f]*")
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_ONCE = frozenset(b"host content-length transfer-encoding authorization content-type idempotency-key".split())
_END = b"\r\n"


class Malformed(Exception):
    """Not a request."""


class Partial(Exception):
    """The bytes end within it."""


@dataclass(slots=True)
class Request:
    """One request. `refused` when it is read well but must not pass."""

    method: bytes
    target: bytes
    minor: int
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    refused: bool = False
    last: bool = False
    """Whether the connection ends after it."""

    unsure: bool = False
    """Whether readers may differ about that."""


@dataclass(slots=True)
class Reading:
    """The requests, and how the bytes end: at their end, within a request, or in something malformed."""

    requests: list[Request] = field(default_factory=list)
    ending: str = "clean"


def read(data: bytes) -> Reading:
    """All of what `data` says."""
    found, at = Reading(), 0
    while at < len(data):
        try:
            request, at = _request(data, at)
        except Malformed:
            found.ending = "malformed"
            return found
        except Partial:
            found.ending = "partial"
            return found
        found.requests.append(request)
        if request.refused or request.last:
            return found
    return found


def _line_at(data: bytes, at: int) -> tuple[bytes, int]:
    end = data.find(b"\n", at)
    if end < 0:
        raise Partial
    if data[end - 1 : end] != b"\r" or end - 1 < at:
        raise Malformed
    return data[at : end - 1], end + 1


def _request(data: bytes, at: int) -> tuple[Request, int]:
    if data.startswith(_END, at):
        at += 2
    text, at = _line_at(data, at)
    line = _LINE.fullmatch(text)
    if line is None or line[1] not in METHODS:
        raise Malformed
    headers, at = _fields(data, at)
    request = Request(line[1], line[2], int(line[3]), headers)
    body, at = _body(request, data, at)
    request.body = body
    _judge(request)
    return request, at


def _fields(data: bytes, at: int) -> tuple[list[tuple[bytes, bytes]], int]:
    found = []
    while True:
        text, at = _line_at(data, at)
        if not text:
            return found, at
        each = _FIELD.fullmatch(text)
        if each is None:
            raise Malformed
        found.append((each[1].lower(), each[2]))


def values(headers: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """All values of a header."""
    return [value for key, value in headers if key == name]


def _body(request: Request, data: bytes, at: int) -> tuple[bytes, int]:
    lengths, codings = values(request.headers, b"content-length"), values(request.headers, b"transfer-encoding")
    if codings:
        if lengths or len(codings) > 1 or codings[0].strip(b" \t").lower() != b"chunked" or request.minor == 0:
            raise Malformed
        return _chunked(data, at)
    if not lengths:
        return b"", at
    if len(lengths) > 1 or not re.fullmatch(rb"[0-9]{1,15}", lengths[0]):
        raise Malformed
    end = at + int(lengths[0])
    if end > len(data):
        raise Partial
    return data[at:end], end


def _chunked(data: bytes, at: int) -> tuple[bytes, int]:
    body = b""
    while True:
        text, at = _line_at(data, at)
        size = _SIZE.fullmatch(text)
        if size is None or int(size[1], 16) >= 2**64 or re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", size[2]):
            raise Malformed
        length = int(size[1], 16)
        if not length:
            trailers, at = _fields(data, at)
            if any(name in (b"content-length", b"transfer-encoding") for name, _ in trailers):
                raise Malformed
            return body, at
        if at + length + 2 > len(data):
            raise Partial
        body += data[at : at + length]
        at += length
        if data[at : at + 2] != _END:
            raise Malformed
        at += 2


def _judge(request: Request) -> None:
    names = [name for name, _ in request.headers]
    hosts = values(request.headers, b"host")
    hops = [hop.strip().lower() for value in values(request.headers, b"connection") for hop in value.split(b",")]
    upgrades = b"upgrade" in hops
    request.refused = (
        any(names.count(name) > 1 for name in _ONCE)
        or len(hosts) != 1
        or not _HOST.fullmatch(hosts[0])
        or (upgrades and bool(request.body or values(request.headers, b"transfer-encoding")))
    )
    request.last = request.minor == 0 or b"close" in hops or upgrades
    request.unsure = b"connection" in names and any(hop not in (b"keep-alive", b"x-kept") for hop in hops)

"""What a connection's last request taught us: a client that keeps its connection repeats its header section.

A section that the parser, the edge's checks and the route's rules have passed once is known byte by byte. When the next
request of that connection ends in the same bytes, only its request line, its token and its limits are looked at anew;
what goes on to the service is ready but for its ids. Nothing is remembered for longer than the connection, or of more
than one section.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from chassis.upstreams.messages import WRITTEN_HERE
from gateway.edge import Inbound

REQUEST_LINE = re.compile(rb"GET (/[!-\"$-~]*) HTTP/1\.1")
"""A safe request without a body, with a target that every reader splits alike (RFC 9112 section 3, no fragment)."""

_IDS = frozenset({b"x-request-id", b"traceparent"})


@dataclass(frozen=True, slots=True)
class Prepared:
    """A header section, and what becomes of it."""

    received: Sequence[tuple[bytes, bytes]]
    """The headers as they came, should another plane need them."""

    section: bytes
    """From the end of the request line to the empty line."""

    onward: bytes
    """The header fields that go on, without the ids."""

    token: str | None
    client: str
    peer: str
    host: bytes


def prepare(data: bytes, inbound: Inbound, received: Sequence[tuple[bytes, bytes]]) -> Prepared | None:
    """What to remember of the request in `data`, which was let in; None when its section says more than we can repeat.

    `received` are its headers as they came: ids of the caller's own are new in each request.
    """
    start = data.find(b"\r\n")
    section = data[start:]
    if section.find(b"\r\n\r\n") != len(section) - 4 or inbound.close or inbound.has_body:
        return None
    if not REQUEST_LINE.fullmatch(data, 0, start) or any(name in _IDS for name, _ in received):
        return None
    onward = [b"%b: %b\r\n" % pair for pair in inbound.headers if pair[0] not in _IDS and pair[0] not in WRITTEN_HERE]
    return Prepared(received, section, b"".join(onward), inbound.token, inbound.client, inbound.peer, inbound.host)

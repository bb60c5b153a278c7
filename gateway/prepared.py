"""What a connection's last request taught us: a client that keeps its connection repeats its header section.

A section that the parser, the edge's checks and the route's rules have passed once is known byte by byte. When the next
request of that connection ends in the same bytes, only its request line and its limits are looked at anew; what goes on
to the service is ready but for its ids. Nothing is remembered for longer than the connection, or of more than one
section.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from chassis.tally import Row
from chassis.upstreams.messages import WRITTEN_HERE
from gateway.edge import Inbound
from gateway.fields import Fields
from gateway.guard import Ticket
from gateway.table import Operation

REQUEST_LINE = re.compile(rb"GET (/[!-\"$-~]*) HTTP/1\.1")
"""A safe request without a body, with a target that every reader splits alike (RFC 9112 section 3, no fragment)."""

_IDS = frozenset({b"x-request-id", b"traceparent"})


@dataclass(frozen=True, slots=True)
class Line:
    """A request line that leads to an operation."""

    target: bytes
    path: bytes
    operation: Operation
    row: Row
    """Where its requests are counted."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A header section, and what becomes of it."""

    received: Sequence[tuple[bytes, bytes]]
    """The headers as they came, should another plane need them."""

    section: bytes
    """From the end of the request line to the empty line."""

    onward: bytes
    """The header fields that go on, up to the value of the request id."""

    token: str | None
    ignores_token: bool
    """Whether the ticket is for operations that a token means nothing to."""

    extra: Fields
    """What every answer gets."""

    ticket: Ticket
    client: str
    peer: str
    host: bytes

    def fits(self, operation: Operation) -> bool:
        """Whether the ticket is for this operation, too."""
        if self.token is None:
            return not operation.needs_token
        return operation.ignores_token is self.ignores_token


def prepare(
    data: bytes, inbound: Inbound, received: Sequence[tuple[bytes, bytes]], operation: Operation, ticket: Ticket
) -> Prepared | None:
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
    return Prepared(
        received=received,
        section=section,
        onward=b"".join([*onward, b"x-request-id: "]),
        token=inbound.token,
        ignores_token=operation.ignores_token,
        extra=inbound.extra,
        ticket=ticket,
        client=inbound.client,
        peer=inbound.peer,
        host=inbound.host,
    )

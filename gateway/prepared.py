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
from chassis.upstreams import Upstream
from chassis.upstreams.messages import WRITTEN_HERE
from gateway.edge import Inbound
from gateway.fields import Fields
from gateway.guard import Ticket
from gateway.table import Access, Operation

REQUEST_LINE = re.compile(rb"GET (/[!-\"$-~]*) HTTP/1\.1")
"""A safe request without a body, with a target that every reader splits alike (RFC 9112 section 3, no fragment)."""

_IDS = frozenset({b"x-request-id", b"traceparent"})


@dataclass(frozen=True, slots=True)
class Line:
    """A request line that leads to an operation."""

    target: bytes
    path: bytes
    operation: Operation
    access: Access
    upstream: Upstream
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
    """The header fields that go on, but for the ids."""

    fits: frozenset[Access]
    """Which operations the ticket is for."""

    extra: Fields
    """What every answer gets."""

    ticket: Ticket
    client: str
    peer: str
    host: bytes

    def inbound(self, line: Line, trace_id: bytes, span_id: bytes) -> Inbound:
        """A request with this section, as the edge would have understood it."""
        request_id = trace_id.decode("ascii")
        return Inbound(
            method="GET",
            target=line.target,
            raw_path=line.path,
            request_id=request_id,
            traceparent=f"00-{request_id}-{span_id.decode('ascii')}-01",
            host=self.host,
            peer=self.peer,
            client=self.client,
            extra=self.extra,
        )


def _fits(inbound: Inbound, operation: Operation) -> frozenset[Access]:
    """The operations that a ticket for this one is for, too: it counts by the token or by the address."""
    if inbound.token is None:
        return frozenset({"optional", "ignored"})
    return frozenset({"ignored"}) if operation.ignores_token else frozenset({"optional", "needed"})


def can_repeat(inbound: Inbound, received: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether requests with the same headers may be answered by what this one taught. `received` are its headers as
    they came: ids of the caller's own are new in each request."""
    return not (inbound.close or inbound.has_body or any(name in _IDS for name, _ in received))


def prepare(
    section: bytes, inbound: Inbound, received: Sequence[tuple[bytes, bytes]], operation: Operation, ticket: Ticket
) -> Prepared:
    """What to remember of a request that was let in and `can_repeat`."""
    onward = [b"%b: %b\r\n" % pair for pair in inbound.headers if pair[0] not in _IDS and pair[0] not in WRITTEN_HERE]
    return Prepared(
        received=received,
        section=section,
        onward=b"".join(onward),
        fits=_fits(inbound, operation),
        extra=inbound.extra,
        ticket=ticket,
        client=inbound.client,
        peer=inbound.peer,
        host=inbound.host,
    )

"""The short way of the ASGI plane, for a gateway that cannot use the lane: requests of a known shape, as on the lane.

What a client's last request taught us is remembered by its address: when the next one brings the same headers, only
its request line and its limits are looked at anew, and what goes on to the service is ready but for its ids. Whatever
is not an answer in one piece, and whatever goes wrong, ends on the long way.
"""

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send

from chassis import tracing
from chassis.upstreams import UpstreamBroken, UpstreamError, UpstreamResponse
from chassis.upstreams.connection import Connection
from chassis.upstreams.whole import Head
from gateway.answers import passed, send_problem, unavailable
from gateway.edge import Inbound
from gateway.prepared import Line, Prepared, can_repeat, prepare
from gateway.protocol import WHOLE
from gateway.proxy import relay
from gateway.table import Operation
from gateway.watch import Watches

if TYPE_CHECKING:
    from gateway.app import Gateway

ADMITTED = "btrst.admitted"
"""In a scope: the request was counted and let in already."""

_MOST_CLIENTS = 8_192


class Answer(UpstreamResponse):
    """An answer that keeps its head and body as they came, if they came in one piece and say no error."""

    __slots__ = ("body", "whole")

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.whole: Head | None = None
        self.body = b""

    def put_whole(self, head: Head, body: bytes) -> None:
        """Keep both, and let the reader look."""
        if head.status >= 400:
            super().put_whole(head, body)
            return
        self.whole, self.body = head, body
        self.head_done = self.done = True
        self.wake()


class ShortWay:
    """Remembers shapes by the client's address and port, and answers requests that have them."""

    def __init__(self, gateway: "Gateway", watches: Watches) -> None:
        self._gateway = gateway
        self._watches = watches
        self._known: dict[tuple[str, int], Prepared] = {}

    def learn(self, scope: Scope, inbound: Inbound, operation: Operation) -> None:
        """Remember the shape of a request that was answered, if the next one may be answered by it."""
        client, received = scope["client"], scope["headers"]
        if client is None or inbound.method != "GET" or tracing.is_on() or operation.notice.pairs:
            return
        if not inbound.knows_chunks or not can_repeat(inbound, received):
            return
        ticket = self._gateway.ticket(inbound, operation, monotonic())
        if ticket is None:
            return
        if len(self._known) >= _MOST_CLIENTS:  # those whose clients have left are not worth finding
            self._known.clear()
        self._known[client] = prepare(b"", inbound, received, operation, ticket)

    async def take(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer a request of a known shape; False when it has to go the long way."""
        turn = self._turn(scope)
        if turn is None:
            return False
        prepared, line, request_line, connection, now = turn
        trace_id, span_id = tracing.fresh_ids()
        traceparent = b"00-%b-%b-01" % (trace_id, span_id)
        ids = b"x-request-id: %b\r\ntraceparent: %b" % (trace_id, traceparent)
        answer = Answer(connection)
        answer.echo = b"\r\n" + ids
        reused, status = connection.reused, 0
        watch = self._watches.watch(receive)
        try:
            message = b"%b\r\nhost: %b\r\n%b%b\r\n\r\n" % (request_line, connection.authority, prepared.onward, ids)
            connection.begin(answer, message, method=b"GET", now=now)
            await answer.turn()  # one step for nearly every answer
            head = answer.whole
            if head is None:
                await answer.head()
                status = await relay(prepared.inbound(line, trace_id, span_id), answer, send)
            else:
                status = head.status
                write = scope.get(WHOLE)
                lines = b"%b%b%b\r\n" % (passed(head).lines, prepared.extra.lines, ids)
                if write is None or not write(status, lines, answer.body):
                    headers = [(b"x-request-id", trace_id), (b"traceparent", traceparent), *prepared.extra.pairs]
                    headers += passed(head).pairs
                    await send({"type": "http.response.start", "status": status, "headers": headers})
                    await send({"type": "http.response.body", "body": answer.body})
        except asyncio.CancelledError:
            if not watch.forgive():
                raise
            status = 499
        except UpstreamError as error:
            if reused and isinstance(error, UpstreamBroken):
                self._gateway.turn_back(None)
                scope[ADMITTED] = True
                return False
            refusal = unavailable(line.operation.service, error, repeatable=True)
            status = refusal.status
            await send_problem(prepared.inbound(line, trace_id, span_id), refusal, send)
        finally:
            watch.end()
            answer.close()
            if ADMITTED not in scope:
                seconds = monotonic() - now
                self._gateway.leave_repeated(line, status, seconds, trace_id.decode("ascii"), prepared.client)
        return True

    def _turn(self, scope: Scope) -> tuple[Prepared, Line, bytes, Connection, float] | None:
        """What a request of a known shape needs, and now; None when it has to go the long way."""
        prepared = self._known.get(scope["client"])
        if prepared is None or prepared.received != scope["headers"]:
            return None
        if scope["method"] != "GET" or scope["http_version"] != "1.1":
            return None
        gateway, query = self._gateway, scope["query_string"]
        target = b"%b?%b" % (scope["raw_path"], query) if query else scope["raw_path"]
        request_line = b"GET %b HTTP/1.1" % target
        line = gateway.lines[request_line]
        if line is None or line.access not in prepared.fits:
            return None
        now = monotonic()
        connection = gateway.enter(prepared.ticket, line.upstream, now)
        return None if connection is None else (prepared, line, request_line, connection, now)

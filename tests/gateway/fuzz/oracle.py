"""One input through the gateway, and whether everybody read the same: the gateway, the service's parser, h11, and the
reference reading of what the client sent."""

import json
import re
from collections.abc import Sequence
from typing import Any

import h11

from gateway.table import RouteTable, operations_of
from tests.gateway.fuzz import reference
from tests.gateway.fuzz.inputs import Case
from tests.gateway.fuzz.memory import Bench, Memory, Served, ServiceSide
from tests.gateway.servers import DOCUMENT

WARM = b"GET /v1/things HTTP/1.1\r\nHost: a\r\n\r\n"
_ABSOLUTE = re.compile(rb"[A-Za-z]+://[^/?]+(/.*)?")
_STATUSES = {
    "forwarded": {200, 204},
    "answered": {200, 307, 401, 404, 405},
    "refused": {400, 401, 404, 405, 413, 414, 431},
    "perhaps": {400, 401, 404, 405, 413, 414, 431},
}
_FORBIDDEN = re.compile(
    rb"(?im)^(?:x-user-id|te|trailer|upgrade|keep-alive|expect|connection|proxy-connection):|^x-forwarded-for: 6"
)


class Fault(AssertionError):
    """Somebody read something else."""


async def try_case(bench: Bench, case: Case) -> None:
    """Send it on a connection of its own. Raises: Fault; the bench is as good as new afterwards."""
    try:
        await _try(bench, case)
    finally:
        await bench.reset()


async def _try(bench: Bench, case: Case) -> None:
    service = bench.service
    service.served.clear()
    protocol, client = bench.connect()
    if case.warm:
        for _ in range(2):
            await _feed(bench, protocol, client, WARM, pause=True)
        _expect(len(service.served) == 2, "the warm-up was not served")
    for piece, pause in zip(case.pieces, case.pauses, strict=True):
        await _feed(bench, protocol, client, piece, pause=pause)
    await bench.settle()
    expected = _expected(WARM * 2 * case.warm + case.sent)
    _compare(expected, service.served)
    _check_answers(expected, client, service.served)
    client.close()
    await bench.settle()
    _compare(expected, service.served)
    for side in list(service.sides):
        _check_side(side, service.served)
    _expect(not bench.state.tasks, "a request outlived its client")
    _expect(not bench.state.connections, "a connection outlived its client")


async def _feed(bench: Bench, protocol: Any, client: Memory, piece: bytes, *, pause: bool) -> None:
    if not client.closing:
        protocol.data_received(piece)
    if pause:
        await bench.settle()


def _expect(condition: object, why: str) -> None:
    if not condition:
        raise Fault(why)


# --- what should come out ---------------------------------------------------------------------------------------------

_TABLE = RouteTable(operations_of(json.loads(DOCUMENT)))


class Expected:
    """The requests that a service has to get, in order, and how many answers the client gets."""

    def __init__(self) -> None:
        self.forwarded: list[tuple[bytes, bytes, bytes]] = []
        self.answers: list[tuple[str, bytes]] = []
        self.exact = True
        """False from where the gateway may end the connection earlier."""

        self.sure = 0
        """How many of the forwarded ones come before that."""


def _expected(sent: bytes) -> Expected:
    found, reading = Expected(), reference.read(sent)
    for request in reading.requests:
        path = _path_of(request.target)
        if path is None or request.refused:
            found.answers.append(("refused", request.method))
            return found
        if path != request.target:
            found.exact = False
        operations = _TABLE.find(path.partition(b"?")[0])
        method = request.method.decode()
        operation = operations and (operations.get(method) or (operations.get("GET") if method == "HEAD" else None))
        if reference.values(request.headers, b"authorization"):
            operation = None  # none of them holds a token
        if operation:
            found.forwarded.append((operation.method.encode(), path, request.body))
            found.sure += found.exact
        found.answers.append(("forwarded" if operation else "answered", request.method))
        if request.unsure:
            found.exact = False
    if reading.ending == "malformed" and not (reading.requests and reading.requests[-1].last):
        found.answers.append(("refused", b""))
    elif reading.ending == "partial":
        found.answers.append(("perhaps", b""))
    return found


def _path_of(target: bytes) -> bytes | None:
    if target.startswith(b"/") or target == b"*":
        return target
    absolute = _ABSOLUTE.fullmatch(target)
    return absolute[1] if absolute else None


# --- what came out ----------------------------------------------------------------------------------------------------


def _compare(expected: Expected, served: Sequence[Served]) -> None:
    got = [(each.method, each.target, each.body) for each in served]
    if expected.exact:
        _expect(got == expected.forwarded, f"the services got {got}, the client asked for {expected.forwarded}")
        return
    wanted = iter(expected.forwarded)
    _expect(all(each in wanted for each in got), f"the services got {got}, of {expected.forwarded}")
    _expect(got[: expected.sure] == expected.forwarded[: expected.sure], f"{got} lacks some of {expected.forwarded}")


def _check_side(side: ServiceSide, served: Sequence[Served]) -> None:
    """What went over one connection to a service, read again by h11."""
    _expect(not side.fault, side.fault)
    _expect(not side.within or side.closing, "a connection to a service is kept within a request")
    _expect(not (_FORBIDDEN.search(bytes(side.written).split(b"\r\n\r\n")[0])), "a header of one hop went on")
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(bytes(side.written))
    known = {(each.method, each.target, each.body) for each in served}
    for request in _read_all(connection):
        _expect(request in known, f"h11 reads {request}, the service {known}")


def _read_all(connection: h11.Connection) -> list[tuple[bytes, bytes, bytes]]:
    found = []
    try:
        while True:
            request: Any = connection.next_event()
            if not isinstance(request, h11.Request):
                return found
            body = b""
            while isinstance(part := connection.next_event(), h11.Data):
                body += bytes(part.data)
            if not isinstance(part, h11.EndOfMessage):
                return found  # it was given up in the middle, and the connection closed
            _expect(not part.headers, "trailers went on")
            found.append((bytes(request.method), bytes(request.target), body))
            connection.send(h11.Response(status_code=204, headers=[]))
            connection.send(h11.EndOfMessage())
            connection.start_next_cycle()
    except h11.ProtocolError as error:
        raise Fault(f"h11 cannot read what went to the service: {error!r}") from error


def _check_answers(expected: Expected, client: Memory, served: Sequence[Served]) -> None:
    """The client got an answer for each request, in order, each with the service's number."""
    if not expected.exact:
        return
    statuses, numbers = _answers(bytes(client.written), expected.answers)
    kinds = [kind for kind, _ in expected.answers]
    ended = len(kinds) > 1 and kinds[-1] == "refused" and client.closing  # without a word, as others were under way
    least = len(kinds) - kinds.count("perhaps") - ended
    _expect(least <= len(statuses) <= len(kinds), f"{statuses} answer {kinds}")
    _expect(numbers == list(range(len(served))), f"answers {numbers} of {len(served)} requests")
    for status, kind in zip(statuses, kinds, strict=False):
        _expect(status in _STATUSES[kind], f"{kind} with {status}")


def _answers(written: bytes, expected: Sequence[tuple[str, bytes]]) -> tuple[list[int], list[int]]:
    """The statuses in `written`, and the numbers that the service gave its answers."""
    statuses: list[int] = []
    numbers: list[int] = []
    at = 0
    while at < len(written):
        end = written.find(b"\r\n\r\n", at)
        head = written[at : end + 2]
        _expect(end >= 0 and head.startswith(b"HTTP/1.1 "), f"no head for the client: {written[at:]!r}")
        at, status = end + 4, int(head[9:12])
        if status == 100:
            continue
        kind, method = expected[len(statuses)] if len(statuses) < len(expected) else ("refused", b"")
        statuses.append(status)
        if kind in ("refused", "perhaps") or status == 400:  # the connection ends with it
            break
        numbers += [int(number) for number in re.findall(rb"\r\nx-number: (\d+)(?=\r\n)", head)]
        at = at if method == b"HEAD" or status in (204, 304) else _past_body(written, at, head)
    return statuses, numbers


def _past_body(written: bytes, at: int, head: bytes) -> int:
    length = re.search(rb"\r\ncontent-length: (\d+)\r\n", head)
    if length:
        at += int(length[1])
    else:
        _expect(b"\r\ntransfer-encoding: chunked\r\n" in head, f"no framing in {head!r}")
        size = 1
        while size:
            end = written.index(b"\r\n", at)
            size = int(written[at:end], 16)
            at = end + 2 + size + 2
    _expect(at <= len(written), "an answer for the client is not complete")
    return at

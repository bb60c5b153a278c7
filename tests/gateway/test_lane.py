"""The lane itself: which requests take it, what it must not remember, and what happens when either side goes away."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest
from uvicorn.protocols.http import httptools_impl

from chassis.ids import new_id
from chassis.tally import TALLY
from chassis.testing import TokenMint, eventually
from chassis.upstreams.connection import Connection
from gateway import lane
from gateway.exchange import Exchange
from gateway.lane import LaneProtocol
from gateway.protocol import EdgeProtocol
from tests.chassis.http_servers import OK, Script, Scripted, scripted
from tests.gateway.servers import Client, Wire, gateway_before

ASK = b"GET /v1/things HTTP/1.1\r\nHost: gateway.test\r\n\r\n"


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the requests that a task was started for: those that did not take the lane."""
    started: list[str] = []
    start = EdgeProtocol._start_asgi_task

    def noted(self: EdgeProtocol, cycle: httptools_impl.RequestResponseCycle, app: object) -> None:
        started.append(cycle.scope["path"])
        start(self, cycle, app)

    monkeypatch.setattr(EdgeProtocol, "_start_asgi_task", noted)
    return started


@pytest.fixture
async def wire(client: Client, tasks: list[str]) -> AsyncIterator[Wire]:
    """A connection on which all that the lane needs is there."""
    async with client.connection() as made:
        tasks.clear()
        yield made


async def test_requests_take_it_once_a_connection_and_a_token_are_known(
    client: Client, mint: TokenMint, tasks: list[str]
) -> None:
    token = f"Authorization: Bearer {mint.token(new_id())}"
    async with client.connection() as wire:
        assert tasks == ["/v1/warm-up"]  # the first connection to the service had to be waited for
        for _ in range(3):
            assert (await wire.call("GET", "/v1/mine", token)).status == 200
        assert tasks == ["/v1/warm-up", "/v1/mine"]  # the token's signature was verified once, in a task
        assert (await wire.call("POST", "/v1/things", body=b"{}")).status == 200
        assert (await wire.call("PUT", "/v1/things/1", body=b"x" * 10_000)).status == 200
        assert (await wire.call("DELETE", "/v1/things/1")).status == 200
        assert tasks == ["/v1/warm-up", "/v1/mine"]


async def test_what_has_to_be_waited_for_goes_the_other_way(wire: Wire, tasks: list[str]) -> None:
    length = 200_000
    wire.writer.write(b"POST /v1/things HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length)
    await asyncio.sleep(0.05)
    wire.writer.write(b"x" * length)
    assert json.loads((await wire.answer()).body) == {"length": length}
    assert (await wire.call("GET", "/healthz")).status == 200
    assert (await wire.call("PATCH", "/v1/things")).status == 405
    assert tasks == ["/v1/things", "/healthz", "/v1/things"]


@pytest.mark.parametrize("known", [False, True])
async def test_a_client_that_leaves_in_the_turn_of_its_answer_is_counted_as_gone(
    mint: TokenMint, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """The transport is closed, but the protocol has not been told: what is written then would raise."""
    made: list[LaneProtocol] = []
    met = LaneProtocol.connection_made
    monkeypatch.setattr(
        LaneProtocol, "connection_made", lambda self, transport: (made.append(self), met(self, transport))
    )
    gone = TALLY.row("gateway", "GET", "/v1/things").counts
    before = gone.get(499, 0)
    async with (
        scripted(_always) as server,
        gateway_before(server.port, mint, warm=False) as client,
        client.connection() as wire,
    ):
        for _ in range(2 if known else 1):
            assert (await wire.call("GET", "/v1/things", "Accept: a/b")).status == 200
        monkeypatch.setattr(Connection, "data_received", _leaving(made[-1], Connection.data_received))
        wire.writer.write(b"GET /v1/things HTTP/1.1\r\nHost: gateway.test\r\nAccept: a/b\r\n\r\n")
        assert await wire.reader.read() == b""
        await eventually(lambda: asyncio.sleep(0, gone.get(499, 0) == before + 1))


def _always(server: Scripted) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        while True:
            await server.head(reader)
            writer.write(OK)

    return script


def _leaving(protocol: LaneProtocol, receive: Callable[[Connection, bytes], None]) -> object:
    def received(self: Connection, data: bytes) -> None:
        protocol.transport.close()
        receive(self, data)

    return received


def test_another_uvicorn_turns_the_lane_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lane.why_not() is None
    monkeypatch.setattr(httptools_impl.RequestResponseCycle, "__init__", lambda self, scope, other: None)
    assert lane.why_not() == "uvicorn's RequestResponseCycle takes other arguments"
    monkeypatch.undo()
    monkeypatch.delattr(httptools_impl.HttpToolsProtocol, "_start_asgi_task")
    assert lane.why_not() == "uvicorn's HttpToolsProtocol has no _start_asgi_task"


def test_an_exchange_has_every_name_that_uvicorn_touches() -> None:
    touched = {"body", "disconnected", "keep_alive", "message_event", "more_body", "response_complete"}
    assert touched <= set(Exchange.__slots__)

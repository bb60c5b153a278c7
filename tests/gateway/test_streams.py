"""Event streams through the gateway, on both planes: they flow, they keep nobody else out, and each side may leave."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from chassis.ids import new_id
from chassis.sse import frame
from chassis.tally import TALLY
from chassis.testing import TokenMint, eventually
from gateway.__main__ import protocol_of
from gateway.app import Gateway, create_gateway
from gateway.edge import Inbound
from gateway.exchange import Exchange
from gateway.settings import GatewaySettings
from tests.gateway.servers import Client, document, operation, reply, served
from tests.streams import stream

pytestmark = pytest.mark.usefixtures("plane")

EVENT_STREAM = {"responses": {"200": {"content": {"text/event-stream": {}}}}}
_PATH, _METHOD, _DESCRIBED = operation("GET", "/v1/stream", token=True, service="identity")
DOCUMENT = document((_PATH, _METHOD, _DESCRIBED | EVENT_STREAM), operation("GET", "/v1/things", service="identity"))
LARGE = frame("x", b'"%b"' % (b"x" * 65_000))
START: Message = {
    "type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")],
}  # fmt: skip


@dataclass
class Service:
    """Streams one event each time it is told to, to all; a header makes it answer at once instead."""

    open: int = 0
    taken: int = 0
    flood: bool = False
    news: list[asyncio.Queue[bytes]] = field(default_factory=list)
    asked: list[dict[bytes, bytes]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if scope["path"] != "/v1/stream" or b"x-at-once" in headers:
            await reply(send, 200, b"{}")
            return
        self.asked.append(headers)
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.news.append(queue)
        self.open += 1
        gone = asyncio.create_task(_disconnect(receive))
        gone.add_done_callback(lambda _: queue.put_nowait(b""))
        try:
            await send(START)
            await send({"type": "http.response.body", "body": frame("ready", b"{}"), "more_body": True})
            while self.flood and not gone.done():
                await send({"type": "http.response.body", "body": LARGE, "more_body": True})
                self.taken += 65_000
            while (body := await queue.get()) and not gone.done():
                await send({"type": "http.response.body", "body": body, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            self.news.remove(queue)
            self.open -= 1

    def tell(self, number: int) -> None:
        for queue in self.news:
            queue.put_nowait(frame("x", b"%d" % number, place=str(number)))

    async def is_open(self, count: int) -> bool:
        return self.open == count


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@dataclass
class Front:
    """A gateway before such a service."""

    gateway: Gateway
    port: int
    token: str

    async def warm(self) -> None:
        """Leave an idle upstream connection for streams and a verified token: all that the lane needs."""
        async with stream(self.port, self.token, "X-At-Once: 1") as answer:
            assert answer.status == 200


@pytest.fixture
def service() -> Service:
    return Service()


@asynccontextmanager
async def before(service: Service, mint: TokenMint, **settings: Any) -> AsyncIterator[Front]:
    async with served(service, lifespan="off", proxy_headers=False) as port:
        urls = dict.fromkeys(("identity_url", "jobs_url", "rewards_url", "governance_url"), f"http://127.0.0.1:{port}")
        made = GatewaySettings(**{**urls, "access_log": False, **settings})
        gateway = create_gateway(made, document=DOCUMENT, token_source=mint)
        async with served(gateway, http=protocol_of(gateway), proxy_headers=False, server_header=False) as front:
            yield Front(gateway, front, mint.token(new_id()))


@pytest.fixture
async def front(service: Service, mint: TokenMint) -> AsyncIterator[Front]:
    async with before(service, mint) as made:
        yield made


@pytest.mark.parametrize("warm", [False, True])
async def test_events_come_one_by_one(
    front: Front, service: Service, warm: bool, plane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_the_lane: list[str] = []
    send = Exchange.send

    def noted(self: Exchange, inbound: Inbound, *more: Any) -> None:
        on_the_lane.append(inbound.method)
        send(self, inbound, *more)

    monkeypatch.setattr(Exchange, "send", noted)
    if warm:
        await front.warm()
    async with stream(front.port, front.token, last_id="41-0123abcd") as reader:
        assert reader.headers["content-type"] == "text/event-stream"
        assert reader.headers["transfer-encoding"] == "chunked"
        assert (await reader.next()).event == "ready"
        for number in range(20):
            service.tell(number)
            assert (await reader.next(seconds=10)).data == number
    assert service.asked[0][b"last-event-id"] == b"41-0123abcd"
    assert on_the_lane == (["GET"] if warm and plane == "lane" else [])
    await eventually(lambda: service.is_open(0))


@pytest.mark.parametrize("warm", [False, True])
async def test_a_client_that_leaves_frees_the_service_at_once(front: Front, service: Service, warm: bool) -> None:
    if warm:
        await front.warm()
    for _ in range(3):
        async with stream(front.port, front.token) as reader:
            await reader.next()
            assert service.open == 1
        await eventually(lambda: service.is_open(0), seconds=5)


async def test_it_needs_a_token_and_has_a_head(front: Front, service: Service) -> None:
    async with stream(front.port, None) as reader:
        assert reader.status == 401
    async with stream(front.port, front.token, method="HEAD") as reader:
        assert (reader.status, reader.headers["content-type"]) == (200, "text/event-stream")
        await eventually(lambda: service.is_open(0), seconds=5)


async def test_pauses_shorter_than_the_deadline_do_not_cut_it(service: Service, mint: TokenMint) -> None:
    async with before(service, mint, upstream_seconds=2.0) as front, stream(front.port, front.token) as reader:
        await reader.next()
        for number in range(4):  # longer than the deadline, all in all
            await asyncio.sleep(0.8)
            service.tell(number)
            await reader.next()
        with pytest.raises(EOFError):  # and a service that has fallen silent is noticed
            await reader.next()
        assert not reader.complete


async def test_streams_keep_nobody_else_out_and_have_a_limit(service: Service, mint: TokenMint) -> None:
    async with before(service, mint, upstream_connections=1, max_streams=2) as front:
        async with stream(front.port, front.token) as one, stream(front.port, front.token) as two:
            await one.next()
            await two.next()
            async with stream(front.port, front.token) as third:
                assert (third.status, b'"too_many_streams"' in third.body) == (429, True)
                assert third.headers["retry-after"] == "5"
            for _ in range(3):
                assert (await Client(front.port).call("GET", "/v1/things")).status == 200
        await eventually(lambda: service.is_open(0))
        async with stream(front.port, front.token) as again:
            assert (await again.next()).event == "ready"


@pytest.mark.parametrize("warm", [False, True])
async def test_a_slow_reader_slows_the_service(service: Service, mint: TokenMint, warm: bool) -> None:
    async with before(service, mint, stall_seconds=60) as front:
        if warm:
            await front.warm()
        service.flood = True
        async with stream(front.port, front.token, limit=2**10):
            taken = -1
            while taken != service.taken:  # until nothing moves any more
                taken = service.taken
                await asyncio.sleep(0.5)
            assert 0 < taken < 32 * 2**20
        await eventually(lambda: service.is_open(0), seconds=10)


@pytest.mark.parametrize("warm", [False, True])
async def test_a_process_that_ends_ends_its_streams_in_order(service: Service, mint: TokenMint, warm: bool) -> None:
    async with before(service, mint, retry_seconds=0.3) as front:
        if warm:
            await front.warm()
        async with stream(front.port, front.token) as reader:
            await reader.next()
            service.tell(1)
            await reader.next()
            started = time.monotonic()
            front.gateway.lifecycle.begin_stop()
            assert await reader.rest() == []
            assert reader.complete
            assert time.monotonic() - started < 5
        await eventually(lambda: service.is_open(0), seconds=5)
        assert (await Client(front.port).call("GET", "/v1/things")).status == 200
        async with stream(front.port, front.token) as again:
            assert again.status == 503


async def test_a_stream_counts_as_one_request_and_is_not_timed(service: Service, mint: TokenMint) -> None:
    row, timed = TALLY.row("gateway", "GET", "/v1/stream"), list(TALLY._seconds["gateway", "/v1/stream"])
    ended = row.counts.get(499, 0)
    async with before(service, mint, rate_limit=2) as front:
        async with stream(front.port, front.token) as reader:
            await reader.next()
            for number in range(10):
                service.tell(number)
                await reader.next()

        async def counted() -> bool:
            return row.counts.get(499, 0) > ended

        await eventually(counted)
        async with Client(front.port).connection() as wire:
            for _ in range(3):  # a stream that ends at once, on a connection that asked for the same before
                answer = await wire.call("GET", "/v1/stream", f"Authorization: Bearer {front.token}", "X-At-Once: 1")
                assert answer.status in {200, 429}
    assert TALLY._seconds["gateway", "/v1/stream"] == timed

"""How many connections the gateway holds: who has to make room, and who is told to come back."""

import asyncio
import resource
from contextlib import AsyncExitStack

import pytest
from starlette.types import Receive, Scope, Send

from chassis.testing import TokenMint, eventually
from gateway.connections import raise_file_limit
from tests.gateway.servers import Upstream, gateway_before, reply

pytestmark = pytest.mark.usefixtures("plane")

ASK = b"GET /v1/things HTTP/1.1\r\nHost: a\r\n\r\n"


async def test_an_idle_connection_makes_room_for_a_new_one(upstream: Upstream, mint: TokenMint) -> None:
    """First those that never asked for anything, then the one that was quiet longest; busy ones stay."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(gateway_before(upstream.port, mint, warm=False, max_connections=3))
        first, second, silent = [await stack.enter_async_context(client.connection()) for _ in range(3)]
        for wire in (first, second, first):
            assert (await wire.call("GET", "/v1/things")).status == 200
        third = await stack.enter_async_context(client.connection())
        assert (await third.call("GET", "/v1/things")).status == 200
        assert await silent.ended()
        fourth = await stack.enter_async_context(client.connection())
        assert (await fourth.call("GET", "/v1/things")).status == 200
        assert await second.ended()
        for wire in (first, third, fourth):
            assert (await wire.call("GET", "/v1/things")).status == 200


@pytest.mark.parametrize("cap", ["max_connections", "address_connections"])
async def test_where_all_are_busy_a_new_connection_is_told_to_come_back(
    upstream: Upstream, mint: TokenMint, cap: str
) -> None:
    go_on = asyncio.Event()

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await reply(send, 200, b"{}")

    upstream.answer = waiting
    settings = {cap: 2}
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(gateway_before(upstream.port, mint, warm=False, **settings))
        busy = [await stack.enter_async_context(client.connection()) for _ in range(2)]
        for wire in busy:
            wire.writer.write(ASK)
        await eventually(lambda: asyncio.sleep(0, len(upstream.seen) == 2))
        late = await stack.enter_async_context(client.connection())
        answer = await late.answer()
        answer.problem(503, "too_many_connections")
        assert (answer.header("retry-after"), answer.header("connection")) == ("1", "close")
        assert await late.ended()
        go_on.set()
        assert [(await wire.answer()).status for wire in busy] == [200, 200]
        again = await stack.enter_async_context(client.connection())
        assert (await again.call("GET", "/v1/things")).status == 200


async def test_a_flood_is_cut_off_and_forgotten(upstream: Upstream, mint: TokenMint) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(gateway_before(upstream.port, mint, warm=False, max_connections=5))
        flood = [await stack.enter_async_context(client.connection()) for _ in range(150)]
        for wire in flood[:10]:
            assert await wire.ended()
        last = await stack.enter_async_context(client.connection())
        assert (await last.call("GET", "/v1/things")).status == 200


async def test_a_trusted_proxy_may_have_more_than_an_address(upstream: Upstream, mint: TokenMint) -> None:
    settings = {"address_connections": 2, "trusted_proxies": "127.0.0.0/8"}
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(gateway_before(upstream.port, mint, warm=False, **settings))
        wires = [await stack.enter_async_context(client.connection()) for _ in range(5)]
        for wire in wires:
            assert (await wire.call("GET", "/v1/things")).status == 200


def test_the_process_may_open_as_many_files_as_it_needs() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        raise_file_limit(300)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, before[1])
        raise_file_limit(100)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

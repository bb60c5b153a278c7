"""Several addresses of one service, and those of them that do not answer, on both planes."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from chassis.testing import TokenMint, eventually
from gateway.app import create_gateway
from gateway.settings import GatewaySettings
from tests.chassis.http_servers import OK, Script, Scripted, scripted
from tests.gateway.servers import Client, Upstream, gateway_before, reply, served

pytestmark = pytest.mark.usefixtures("plane")

HASTY: dict[str, Any] = {"retry_seconds": 0, "breaker_failures": 3, "breaker_seconds": 0.4}


@asynccontextmanager
async def upstreams(count: int) -> AsyncIterator[list[Upstream]]:
    """Several processes' worth of one service."""
    async with served(first := Upstream(), lifespan="off", proxy_headers=False) as port:
        first.port = port
        if count == 1:
            yield [first]
            return
        async with upstreams(count - 1) as others:
            yield [first, *others]


def addresses(*ports: int) -> str:
    return ",".join(f"http://127.0.0.1:{port}" for port in ports)


async def unused_port() -> int:
    async with scripted(lambda _: _nothing) as server:
        return server.port


async def _nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    """Close at once."""


class Moody:
    """A server that closes every connection at once, keeps it without a word, or answers."""

    def __init__(self) -> None:
        self.mood = "broken"

    def __call__(self, server: Scripted) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
            while self.mood != "broken":
                await server.head(reader)
                if self.mood == "silent":
                    await reader.read()
                writer.write(OK)
                await writer.drain()

        return script


async def metric(client: Client, line: str) -> float:
    body = (await client.call("GET", "/metrics")).body.decode()
    found = [row.rpartition(" ")[2] for row in body.splitlines() if row.startswith(line)]
    assert found, line
    return float(found[0])


async def test_an_address_that_fails_is_left_alone_until_a_probe_succeeds(mint: TokenMint) -> None:
    moody = Moody()
    async with scripted(moody) as server, gateway_before(server.port, mint, warm=False, **HASTY) as client:
        state = f'btrst_gateway_circuit_state{{address="127.0.0.1:{server.port}",service="identity"}}'
        for _ in range(3):
            (await client.call("POST", "/v1/things")).problem(503, "upstream_broken")
        touched = server.connections
        assert touched == 3
        for _ in range(3):
            answer = await client.call("GET", "/v1/things")
            answer.problem(503, "upstream_unavailable")
            assert answer.header("retry-after") == "1"
        assert server.connections == touched, "it was touched while its circuit was open"
        assert await metric(client, state) == 1
        await asyncio.sleep(0.45)
        (await client.call("POST", "/v1/things")).problem(503, "upstream_broken")  # the probe
        (await client.call("POST", "/v1/things")).problem(503, "upstream_unavailable")
        assert server.connections == touched + 1
        moody.mood = "well"
        await asyncio.sleep(0.85)  # twice as long as before
        assert (await client.call("GET", "/v1/things")).status == 200
        assert await metric(client, state) == 0
        assert [(await client.call("GET", "/v1/things")).status for _ in range(5)] == [200] * 5


async def test_a_late_answer_does_not_keep_it_from_closing(mint: TokenMint) -> None:
    """What was sent before it opened is answered while it is open; the probe's success closes it all the same."""
    release, broken = asyncio.Event(), True

    def make(server: Scripted) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
            while True:
                await server.head(reader)
                if number == 1:
                    await release.wait()
                elif broken:
                    return
                writer.write(OK)
                await writer.drain()

        return script

    async with scripted(make) as server, gateway_before(server.port, mint, warm=False, **HASTY) as client:
        state = f'btrst_gateway_circuit_state{{address="127.0.0.1:{server.port}",service="identity"}}'
        early = asyncio.create_task(client.call("GET", "/v1/things"))
        await eventually(lambda: _more_than([1] * server.connections, 0))
        for _ in range(3):
            (await client.call("POST", "/v1/things")).problem(503, "upstream_broken")
        release.set()
        assert (await early).status == 200
        assert await metric(client, state) == 1
        broken = False
        await asyncio.sleep(0.45)
        assert (await client.call("GET", "/v1/things")).status == 200
        assert await metric(client, state) == 0


async def test_only_one_request_probes(mint: TokenMint) -> None:
    moody = Moody()
    limits = {**HASTY, "upstream_seconds": 5.0, "breaker_seconds": 1.0}
    async with scripted(moody) as server, gateway_before(server.port, mint, warm=False, **limits) as client:
        for _ in range(3):
            (await client.call("POST", "/v1/things")).problem(503, "upstream_broken")
        moody.mood = "silent"
        await asyncio.sleep(1.05)
        calls = [asyncio.create_task(client.call("GET", "/v1/things")) for _ in range(8)]
        done, waiting = await asyncio.wait(calls, timeout=0.7)
        assert (len(done), len(waiting)) == (7, 1)
        assert {call.result().status for call in done} == {503}
        assert server.connections == 4
        waiting.pop().cancel()


async def test_whoever_can_wait_waits_for_the_probe(mint: TokenMint) -> None:
    moody = Moody()
    limits = {**HASTY, "retry_seconds": 3.0}
    async with scripted(moody) as server, gateway_before(server.port, mint, warm=False, **limits) as client:
        calls = [asyncio.create_task(client.call("GET", "/v1/things")) for _ in range(20)]
        await asyncio.sleep(0.3)
        assert server.connections <= 20, "each tried once; then it was known that nobody answers"
        moody.mood = "well"
        assert {(await call).status for call in calls} == {200}


async def test_an_answer_is_a_sign_of_life_whatever_it_says(mint: TokenMint, upstream: Upstream) -> None:
    async def sorry(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, 503, b"{}")

    upstream.answer = sorry
    async with gateway_before(upstream.port, mint, warm=False, **HASTY) as client:
        for _ in range(10):
            assert (await client.call("GET", "/v1/things")).body == b"{}"
    assert len(upstream.seen) == 10


async def test_one_service_that_fails_costs_the_others_nothing(upstream: Upstream, mint: TokenMint) -> None:
    away = await unused_port()
    async with gateway_before(upstream.port, mint, rewards_url=f"http://127.0.0.1:{away}", **HASTY) as client:
        for _ in range(5):
            (await client.call("GET", "/v1/rewards")).problem(503, "upstream_unavailable")
        assert (await client.call("GET", "/v1/things")).status == 200


async def test_requests_are_spread_over_the_addresses(mint: TokenMint) -> None:
    async with (
        upstreams(3) as services,
        gateway_before(services[0].port, mint, jobs_urls=addresses(*(one.port for one in services))) as client,
    ):
        for _ in range(5):
            async with client.connection() as wire:
                for _ in range(12):
                    assert (await wire.call("GET", "/v1/things")).status == 200
        counts = [len(service.seen) for service in services]
    assert sum(counts) == 60
    assert min(counts) >= 15, counts


async def test_who_is_busy_gets_less(mint: TokenMint) -> None:
    async def slowly(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.5)
        await reply(send, 200, b"{}")

    async with (
        upstreams(2) as (slow, quick),
        gateway_before(slow.port, mint, jobs_urls=addresses(slow.port, quick.port), warm=False) as client,
    ):
        slow.answer = slowly

        async def call_on() -> None:
            async with client.connection() as wire:
                until = time.monotonic() + 1.5
                while time.monotonic() < until:
                    assert (await wire.call("GET", "/v1/things")).status == 200

        await asyncio.gather(*(call_on() for _ in range(4)))
        assert len(quick.seen) > 4 * len(slow.seen), (len(quick.seen), len(slow.seen))


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_what_one_address_refuses_another_takes_at_once(mint: TokenMint, upstream: Upstream, method: str) -> None:
    away = await unused_port()
    jobs = addresses(away, upstream.port)
    async with gateway_before(upstream.port, mint, jobs_urls=jobs, warm=False, retry_seconds=0) as client:
        target = "/v1/things" if method == "POST" else "/v1/things/7"
        statuses = Counter([(await client.call(method, target)).status for _ in range(20)])
    assert statuses == {200: 20}
    assert len(upstream.seen) == 20


async def test_a_post_does_not_probe_while_another_address_is_well(mint: TokenMint, upstream: Upstream) -> None:
    moody = Moody()
    async with scripted(moody) as server:
        jobs = addresses(server.port, upstream.port)
        async with gateway_before(upstream.port, mint, jobs_urls=jobs, warm=False, **HASTY) as client:
            for _ in range(10):  # those to the broken one are sent again to the other
                assert (await client.call("GET", "/v1/things")).status == 200
            touched = server.connections
            assert touched >= 3
            await asyncio.sleep(0.45)
            for _ in range(6):
                assert (await client.call("POST", "/v1/things")).status == 200
            assert server.connections == touched
            assert (await client.call("GET", "/v1/things")).status == 200
            assert server.connections > touched


async def test_one_address_that_ends_and_comes_back_fails_no_safe_request(mint: TokenMint) -> None:
    """Under load: nothing fails when it goes, and it gets its share again when it is back."""
    stopping = asyncio.Event()
    statuses: Counter[int] = Counter()
    async with served(steady := Upstream(), lifespan="off") as port:
        second = await unused_port()
        jobs = addresses(port, second)
        async with gateway_before(port, mint, jobs_urls=jobs, warm=False, breaker_seconds=0.2) as client:

            async def call_on() -> None:
                async with client.connection() as wire:
                    while not stopping.is_set():
                        statuses[(await wire.call("GET", "/v1/things")).status] += 1

            load = [asyncio.create_task(call_on()) for _ in range(6)]
            for _ in range(3):
                async with served(fickle := Upstream(), port=second, lifespan="off"):
                    await eventually(lambda seen=fickle.seen: _more_than(seen, 50), seconds=10)
                before = len(steady.seen)
                await eventually(lambda limit=before + 50: _more_than(steady.seen, limit), seconds=10)
            stopping.set()
            await asyncio.gather(*load)
    assert set(statuses) == {200}, statuses


async def _more_than(seen: list[Any], count: int) -> bool:
    return len(seen) > count


async def test_a_service_is_ready_when_one_of_its_addresses_is(mint: TokenMint, upstream: Upstream) -> None:
    away = await unused_port()
    async with gateway_before(upstream.port, mint, jobs_urls=addresses(away, upstream.port), warm=False) as client:
        assert (await client.call("GET", "/readyz")).status == 200
    async with gateway_before(upstream.port, mint, jobs_urls=addresses(away, away), warm=False) as client:
        answer = await client.call("GET", "/readyz")
        assert answer.status == 503
        assert b'"jobs":"unreachable"' in answer.body


@pytest.mark.parametrize("urls", ["https://jobs:8000", "http://jobs:8000/v1", "jobs", "http://a:1,http://b:2/x"])
def test_addresses_that_cannot_be_are_refused_at_start(urls: str) -> None:
    with pytest.raises(ValueError, match="http://host:port"):
        create_gateway(GatewaySettings(jobs_urls=urls))


def test_an_address_given_twice_is_one() -> None:
    settings = GatewaySettings(jobs_urls="http://a:1, http://a:1/,http://b:2,")
    assert [origin.host for origin in settings.origins()["jobs"]] == ["a", "b"]

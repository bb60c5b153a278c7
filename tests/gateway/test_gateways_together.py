"""Two gateways that share their limits, on both data planes, and as processes of their own."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from uvicorn.protocols.http import httptools_impl

from chassis.ids import new_id
from chassis.testing import TokenMint, eventually
from gateway.protocol import EdgeProtocol
from tests.chassis.processes import start_gateway
from tests.gateway.servers import Client, RawAnswer, Upstream, Wire, gateway_before, served
from tests.gateway.valkey import Valkey

PATIENT = 10.0


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A server that runs."""
    made = Valkey(tmp_path)
    made.start()
    yield made
    made.kill()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """The service behind the gateways, for as long as any of them."""
    app = Upstream()
    async with served(app, lifespan="off", timeout_keep_alive=30, proxy_headers=False) as port:
        app.port = port
        yield app


async def asked(wires: list[Wire], target: str, *headers: str, at_least: int) -> tuple[list[RawAnswer], float]:
    """The answers to requests over all connections at once, for a second and so many; and how long that took."""
    began, answers = time.monotonic(), list[RawAnswer]()

    async def ask(wire: Wire) -> None:
        while time.monotonic() < began + 1 or len(answers) < at_least:
            answers.append(await wire.call("GET", target, *headers))

    await asyncio.gather(*(ask(wire) for wire in wires))
    return answers, time.monotonic() - began


def passed(answers: list[RawAnswer]) -> int:
    """How many were let through; the others were told why not."""
    refused = [answer for answer in answers if answer.status != 200]
    for answer in refused:
        answer.problem(429, "rate_limited")
        assert answer.header("retry-after") == "1"
    return len(answers) - len(refused)


@pytest.mark.parametrize("rate", [10, 200])
async def test_a_members_limit_is_one_for_all_gateways(
    upstream: Upstream, mint: TokenMint, valkey: Valkey, plane: str, rate: int
) -> None:
    settings = {"rate_limit": rate, "limits_url": valkey.url, "limits_seconds": PATIENT, "warm": False}
    token = f"Authorization: Bearer {mint.token(new_id())}"
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(gateway_before(upstream.port, mint, **settings)) for _ in range(2)]
        wires = [await stack.enter_async_context(client.connection()) for client in clients for _ in range(3)]
        for who in ([token], []):  # by the member's session, and by the address
            answers, seconds = await asked(wires, "/v1/things", *who, at_least=3 * rate)
            assert rate <= passed(answers) <= rate * (seconds + 1) + 2 * (rate // 20), seconds
        other = f"Authorization: Bearer {mint.token(new_id())}"
        assert (await wires[0].call("GET", "/v1/things", other)).status == 200


async def test_requests_take_the_lane_with_what_is_in_hand(
    upstream: Upstream, mint: TokenMint, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = 0
    start = httptools_impl.HttpToolsProtocol._start_asgi_task

    def counted(
        self: httptools_impl.HttpToolsProtocol, cycle: httptools_impl.RequestResponseCycle, app: object
    ) -> None:
        nonlocal tasks
        tasks += isinstance(self, EdgeProtocol)
        start(self, cycle, app)  # type: ignore[arg-type]

    monkeypatch.setattr(httptools_impl.HttpToolsProtocol, "_start_asgi_task", counted)
    settings = {"rate_limit": 100_000, "limits_url": valkey.url, "limits_seconds": PATIENT}
    async with gateway_before(upstream.port, mint, **settings) as client, client.connection() as wire:
        for _ in range(600):
            assert (await wire.call("GET", "/v1/things")).status == 200
    assert tasks < 60


async def test_nobody_notices_that_the_server_goes_and_comes(
    upstream: Upstream, mint: TokenMint, valkey: Valkey, plane: str
) -> None:
    settings = {"limits_url": valkey.url, "limits_seconds": 0.5, "rate_limit": 100_000}
    async with gateway_before(upstream.port, mint, **settings) as client, client.connection() as wire:

        async def away() -> bool:
            assert (await wire.call("GET", "/v1/things")).status == 200  # every request, whatever happens meanwhile
            fresh = await wire.call("GET", "/v1/things", f"Authorization: Bearer {mint.token(new_id())}")
            assert fresh.status == 200
            metrics = (await client.call("GET", "/metrics")).body.decode()
            return "btrst_gateway_limits_away 1.0" in metrics

        async def back() -> bool:
            return not await away()

        await eventually(back, seconds=60)
        valkey.kill()
        await eventually(away, seconds=60)
        valkey.start()
        await eventually(back, seconds=60)


async def test_two_processes_share_one_limit(upstream: Upstream, valkey: Valkey) -> None:
    names = ("IDENTITY_URL", "JOBS_URL", "REWARDS_URL", "GOVERNANCE_URL")
    environment = {
        **dict.fromkeys(names, f"http://127.0.0.1:{upstream.port}"),
        "GATEWAY_LIMITS_URL": valkey.url,
        "GATEWAY_LIMITS_SECONDS": str(PATIENT),
        "GATEWAY_RATE_LIMIT": "40",
    }
    running = [await start_gateway(**environment) for _ in range(2)]
    try:
        for one in running:
            await one.until_up()
        async with AsyncExitStack() as stack:
            wires = [await stack.enter_async_context(Client(one.port).connection()) for one in running]
            answers, seconds = await asked(wires, "/v1/jobs", at_least=120)
        assert 40 <= passed(answers) <= 40 * (seconds + 1) + 2 * 2
    finally:
        for one in running:
            one.terminate()
        codes = [await one.ended() for one in running]
    assert codes == [0, 0]
    for one in running:
        lines = [json.loads(line) for line in one.errors.splitlines() if line.startswith("{")]
        assert not [line for line in lines if line["event"].startswith("limits_server")]


async def test_a_process_with_an_url_that_cannot_be_used_says_so_in_one_line() -> None:
    for url in ("http://:pass-word@127.0.0.1:1", "redis://:pass/word@127.0.0.1:1"):
        running = await start_gateway(GATEWAY_LIMITS_URL=url)
        assert await running.ended() != 0
        assert "GATEWAY_LIMITS_URL" in running.errors
        assert "word" not in running.errors
        assert len(running.errors.splitlines()) == 1

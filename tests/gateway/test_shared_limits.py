"""Limits that several gateways share, on a real Valkey (or Redis): how many requests pass, and what when it is away."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from chassis.testing import eventually
from gateway.leases import Answer, Ask, Lease, LimitServerAway
from gateway.limit_server import LimitServer
from gateway.limits import ASK
from gateway.settings import GatewaySettings
from gateway.shared_limits import AWAY, Lender, SharedRateLimiter, limiters_of
from tests.chassis.certificates import write_certificates
from tests.gateway.valkey import Valkey

PATIENT = 10.0
"""Seconds an answer may take where nothing is to fail, however busy the machine is."""

HASTY = 1.0


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A server that runs."""
    made = Valkey(tmp_path)
    made.start()
    yield made
    made.kill()


@asynccontextmanager
async def lending(url: str, *, seconds: float = PATIENT) -> AsyncIterator[Lender]:
    """Who lends in one gateway process."""
    lender = Lender(LimitServer(url, seconds=seconds))
    await lender.start()
    try:
        yield lender
    finally:
        await lender.close()


async def passes(limiter: SharedRateLimiter, key: str) -> bool:
    """What the gateway does for a request."""
    wait = limiter.take(key)
    return (await limiter.borrow(key) if wait == ASK else wait) == 0.0


async def flood(limiters: list[SharedRateLimiter], key: str, seconds: float) -> tuple[int, float]:
    """Ask all of `limiters` for as much as they let through; how many that were, in how many seconds."""
    began, passed = time.monotonic(), 0

    async def ask(limiter: SharedRateLimiter) -> None:
        nonlocal passed
        while time.monotonic() < began + seconds:
            found = await asyncio.gather(*(passes(limiter, key) for _ in range(20)))
            passed += sum(found)
            await asyncio.sleep(0.001)

    await asyncio.gather(*(ask(limiter) for limiter in limiters))
    return passed, time.monotonic() - began


async def test_the_server_lends_a_seconds_worth_and_then_the_rate(valkey: Valkey) -> None:
    server = LimitServer(valkey.url, seconds=PATIENT)
    began = time.monotonic()
    first, other = await server.lend([Ask("a", 100, 60), Ask("b", 7, 3)])
    assert (first, other) == (Answer(60, 0.0), Answer(3, 0.0))
    rest, all_, none = await server.lend([Ask("a", 100, 60), Ask("b", 7, 9), Ask("b", 7, 1)])
    spent = time.monotonic() - began
    assert 40 <= rest.lent <= min(60, 40 + 100 * spent + 1)
    assert 4 <= all_.lent <= min(9, 4 + 7 * spent + 1)
    if spent < 0.1:
        assert 0 < none.wait_seconds <= 1 / 7
        assert none.lent == 0
    await asyncio.sleep(1.1)
    assert await server.lend([Ask("b", 7, 99)]) == [Answer(7, pytest.approx(1 / 7, abs=0.001))]  # full, and no fuller
    assert await server.lend([]) == []
    await server.close()


async def test_two_gateways_share_one_limit(valkey: Valkey) -> None:
    for rate in (3, 50, 2_000):
        async with lending(valkey.url) as one, lending(valkey.url) as two:
            limiters = [SharedRateLimiter(rate, name=f"of-{rate}", lender=lender) for lender in (one, two)]
            passed, seconds = await flood(limiters, "member", 1.5)
            assert rate <= passed <= rate * (seconds + 1) + 2 * (rate // 20), (rate, seconds)
            assert await passes(limiters[0], "another member")


async def test_one_gateway_alone_gets_the_whole_limit(valkey: Valkey) -> None:
    async with lending(valkey.url) as lender:
        limiter = SharedRateLimiter(400, name="token", lender=lender)
        passed = 0
        began = time.monotonic()
        while passed < 400:
            assert await passes(limiter, "member"), passed
            passed += 1
        refused = [await passes(limiter, "member") for _ in range(400)].count(False)
        assert refused >= 400 - 400 * (time.monotonic() - began) - 1


async def test_requests_spend_what_is_in_hand(valkey: Valkey) -> None:
    async with lending(valkey.url) as lender:
        limiter = SharedRateLimiter(100_000, name="token", lender=lender)
        waited = 0
        for _ in range(5_000):
            wait = limiter.take("member")
            if wait == ASK:
                waited += 1
                wait = await limiter.borrow("member")
            assert wait == 0.0
            await asyncio.sleep(0)
        assert waited < 50, waited


async def test_one_question_is_asked_for_all_who_wait(valkey: Valkey) -> None:
    async with lending(valkey.url) as lender:
        limiter = SharedRateLimiter(30, name="token", lender=lender)
        asked: list[int] = []
        lend = lender._server.lend

        async def counted(asks: Any) -> list[Answer]:
            asked.append(len(asks))
            return await lend(asks)

        lender._server.lend = counted  # type: ignore[method-assign]
        found = await asyncio.gather(*(passes(limiter, f"member-{number % 3}") for number in range(60)))
        assert all(found)
        assert asked == [3]


async def test_who_left_while_waiting_costs_nobody_a_token(valkey: Valkey) -> None:
    async with lending(valkey.url) as lender:
        limiter = SharedRateLimiter(10, name="token", lender=lender)
        valkey.freeze()
        waiting = [asyncio.create_task(passes(limiter, "member")) for _ in range(5)]
        await asyncio.sleep(0.1)
        for task in waiting[:4]:
            task.cancel()
        await asyncio.sleep(0)
        valkey.thaw()
        assert await waiting[4] is True
        assert [await passes(limiter, "member") for _ in range(9)] == [True] * 9


@pytest.mark.parametrize("fails", ["freeze", "kill"])
async def test_each_gateway_limits_by_itself_until_the_server_is_back(valkey: Valkey, fails: str) -> None:
    back: Callable[[], None] = valkey.thaw if fails == "freeze" else valkey.start
    with structlog.testing.capture_logs() as logs:
        async with lending(valkey.url, seconds=HASTY) as one, lending(valkey.url, seconds=HASTY) as two:
            limiters = [SharedRateLimiter(5, name="token", lender=lender) for lender in (one, two)]
            for lender in (one, two):
                await eventually(lambda lender=lender: _is_back(lender), seconds=60)
            getattr(valkey, fails)()
            for limiter in limiters:
                found = [await passes(limiter, "member") for _ in range(25)]
                assert found[:5] == [True] * 5  # each by itself
                assert False in found
            assert one.is_away
            assert two.is_away
            assert AWAY._value.get() == 1
            told = [line["event"] for line in logs]
            assert told.count("limits_server_away") - told.count("limits_server_back") == 2  # once for each gateway
            back()
            for lender in (one, two):
                await eventually(lambda lender=lender: _is_back(lender), seconds=60)
            assert AWAY._value.get() == 0
            told = [line["event"] for line in logs]
            assert told.count("limits_server_away") == told.count("limits_server_back") >= 2
            assert False in [await passes(limiter, "another") for limiter in limiters * 15]


async def _is_back(lender: Lender) -> bool:
    return not lender.is_away


async def test_a_server_that_is_away_at_the_start_is_used_when_it_comes(tmp_path: Path) -> None:
    late = Valkey(tmp_path)
    async with lending(late.url, seconds=HASTY) as lender:
        limiter = SharedRateLimiter(5, name="token", lender=lender)
        assert lender.is_away
        assert [await passes(limiter, "member") for _ in range(5)] == [True] * 5
        late.start()
        try:
            await eventually(lambda: _is_back(lender), seconds=60)
            await eventually(lambda: passes(limiter, "another"))
        finally:
            late.kill()


async def test_passwords_are_used_and_never_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    guarded = Valkey(tmp_path, password="very-secret-word")
    guarded.start()
    try:
        async with lending(guarded.url) as lender:
            assert not lender.is_away
        wrong = guarded.url.replace("very", "wrong")
        with structlog.testing.capture_logs() as logs:
            async with lending(wrong) as lender:
                assert lender.is_away
        assert [(line["event"], line["error"]) for line in logs] == [("limits_server_away", "AuthenticationError")]
        assert logs[0]["server"] == f"127.0.0.1:{guarded.port}"
    finally:
        guarded.kill()
    said = "".join(capfd.readouterr()) + str(logs) + repr(GatewaySettings(limits_url=wrong))
    assert "secret-word" not in said


async def test_tls_with_an_authority_of_our_own(valkey: Valkey, tmp_path: Path) -> None:
    write_certificates(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "server.pem")

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", valkey.port)
        await asyncio.gather(_copy(reader, behind_writer), _copy(behind_reader, writer))

    front = await asyncio.start_server(forward, "127.0.0.1", 0, ssl=tls)
    port = front.sockets[0].getsockname()[1]
    try:
        async with lending(f"rediss://127.0.0.1:{port}?ssl_ca_certs={tmp_path / 'ca.pem'}") as lender:
            assert not lender.is_away
            assert await passes(SharedRateLimiter(5, name="token", lender=lender), "member")
        async with lending(f"rediss://127.0.0.1:{port}") as lender:
            assert lender.is_away  # signed by nobody we know
    finally:
        front.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()


@pytest.mark.unit
def test_a_lease_grows_with_use_and_shrinks_without() -> None:
    lease = Lease("member", 200)
    assert [lease.ask(100 + at / 10).wanted for at in range(6)] == [
        1,
        2,
        4,
        8,
        10,
        10,
    ]  # to a twentieth of a second's worth
    assert lease.ask(110).wanted == 1
    slow = Lease("slow", 19)
    assert [slow.ask(100 + at / 10).wanted for at in range(3)] == [1, 1, 1]


@pytest.mark.parametrize(
    "url", ["localhost", "http://:secret@a:1", "redis://", "redis:// secret", "unix:///secret", "rediss:/secret"]
)
def test_what_is_no_url_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="redis://host:port") as refused:
        GatewaySettings(limits_url=url)
    assert "secret" not in str(refused.value.errors(include_input=False))  # type: ignore[attr-defined]


@pytest.mark.parametrize("url", ["redis://:sec/ret@a:1", "redis://a:secret", "redis://a?secret=1"])
def test_what_cannot_be_connected_to_keeps_the_gateway_from_starting(url: str) -> None:
    with pytest.raises(ValueError, match="GATEWAY_LIMITS_URL") as refused:
        limiters_of(GatewaySettings(limits_url=url))
    assert "sec" not in str(refused.value)


def test_in_memory_no_client_is_loaded() -> None:
    assert limiters_of(GatewaySettings())[2] is None


async def test_an_answer_that_makes_no_sense_is_a_server_that_is_away(valkey: Valkey) -> None:
    server = LimitServer(valkey.url, seconds=PATIENT)
    await server._redis.lpush("list", "x")
    with pytest.raises(LimitServerAway, match="ResponseError"):
        await server.lend([Ask("list", 10, 1)])
    await server.close()

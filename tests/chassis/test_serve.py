"""Processes of the product: what keeps them from starting is one line, and they end in order."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import asyncpg
import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from chassis.serve import START_FAILED
from chassis.settings import ServiceSettings, SettingsFault
from chassis.testing import eventually
from tests.chassis.processes import Running, start_gateway, start_service, until_done

NewDatabase = Callable[..., AbstractAsyncContextManager[str]]
DSN = "postgresql://nobody@127.0.0.1:1/none"

FAULTS = [
    ("jobs", {}, "JOBS_DATABASE_URL is not set"),
    ("jobs", {"JOBS_DATABASE_URL": "mysql://a"}, "DATABASE_URL must begin with postgresql://"),
    ("jobs", {"JOBS_DATABASE_URL": DSN, "BUS_URL": "ftp://a"}, "BUS_URL must begin with"),
    ("jobs", {"JOBS_DATABASE_URL": DSN, "BUS_URL": "memory://", "JOBS_PORT": "none"}, "JOBS_PORT: Input should be"),
    ("jobs", {"ROLE": "everything"}, "ROLE: Input should be"),
    ("jobs", {"SECRETS_DIR": "/nowhere"}, "SECRETS_DIR names no folder: /nowhere"),
    ("rewards", {"REWARDS_SIGNER_KEY_FILE": "/nowhere/key"}, "REWARDS_SIGNER_KEY_FILE cannot be read: /nowhere/key"),
    ("governance", {}, "GOVERNANCE_BTRST_ADDRESS is not set"),
    ("gateway", {"GATEWAY_PORT": "none"}, "GATEWAY_PORT: Input should be"),
    ("gateway", {"IDENTITY_URL": "http://a/b"}, "an upstream's URL is http://host:port"),
]
CHAIN = {
    "CHAIN_RPC_URLS": "http://127.0.0.1:1",
    "REWARDS_BTRST_ADDRESS": "0x" + "11" * 20,
    "REWARDS_MINTER_ADDRESS": "0x" + "22" * 20,
}


async def test_what_keeps_a_process_from_starting_is_one_line() -> None:
    async def fails(name: str, more: dict[str, str], line: str) -> None:
        if name in {"rewards", "governance"}:
            more = {f"{name.upper()}_DATABASE_URL": DSN, "BUS_URL": "memory://", **CHAIN, **more}
        process = await (start_gateway(**more) if name == "gateway" else start_service(name, **more))
        async with until_done(process):
            assert await process.ended(seconds=90) == START_FAILED
        told = [text for text in process.errors.splitlines() if not text.startswith("{")]
        assert len(told) == 1, process.errors
        assert told[0].startswith(f"{name} cannot start: "), told
        assert line in told[0]

    await asyncio.gather(*(fails(*fault) for fault in FAULTS))


async def test_a_taken_port_is_one_line() -> None:
    taken = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    process = await start_service("jobs", JOBS_DATABASE_URL=DSN, BUS_URL="memory://", JOBS_PORT=str(port))
    async with until_done(process):
        assert await process.ended(seconds=90) == START_FAILED
    taken.close()
    told = [text for text in process.errors.splitlines() if not text.startswith("{")]
    assert len(told) == 1, process.errors
    assert "jobs cannot start: " in told[0]
    assert "address already in use" in told[0]


def test_a_file_gives_what_the_environment_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "INTERNAL_SECRET").write_text("from a file\n")
    (tmp_path / "BUS_URL").write_text("memory://")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    monkeypatch.delenv("INTERNAL_SECRET", raising=False)
    monkeypatch.setenv("BUS_URL", "postgresql://wins")
    settings = ServiceSettings.from_environment()
    assert (settings.internal_secret, settings.bus_url) == ("from a file", "postgresql://wins")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path / "none"))
    with pytest.raises(SettingsFault, match="SECRETS_DIR names no folder"):
        ServiceSettings.from_environment()


async def _members(bus_url: str) -> int:
    """How many members the bus counts in the group of jobs."""
    if bus_url.startswith("kafka://"):
        return len((await _kafka_group(bus_url))[1])
    connection = await asyncpg.connect(bus_url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM log_member WHERE consumer_group = 'jobs'"))
    except asyncpg.UndefinedTableError:  # the first of them makes it
        return 0
    finally:
        await connection.close()


async def _kafka_group(bus_url: str) -> tuple[str, list[str]]:
    """The broker's description of the group of jobs: its state and its members."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bus_url.removeprefix("kafka://"))
    await admin.start()
    try:
        answers = await admin.describe_consumer_groups(["jobs"])
    except GroupCoordinatorNotAvailableError:  # the broker's first group: it makes the topic of offsets now
        return "", []
    finally:
        await admin.close()
    _, _, state, _, _, members, *_ = answers[0].groups[0]
    return state, [member[0] for member in members]


async def _call(client: httpx.AsyncClient, base: str) -> int:
    return (await client.get(f"{base}/v1/jobs", timeout=30)).status_code


@pytest.mark.parametrize("kind", ["log", pytest.param("kafka", marks=pytest.mark.kafka)])
async def test_requests_in_flight_are_answered_and_the_group_is_left(
    new_database: NewDatabase, kind: str, request: pytest.FixtureRequest
) -> None:
    """Requests that a locked table holds up, through the gateway and directly, while SIGTERM arrives."""
    async with new_database("services/jobs/migrations") as dsn, new_database() as log_dsn:
        bus_url = f"kafka://{request.getfixturevalue('kafka_bootstrap')}" if kind == "kafka" else log_dsn
        shared = {"JOBS_DATABASE_URL": dsn, "BUS_URL": bus_url, "DRAIN_SECONDS": "1"}
        first, other = await asyncio.gather(start_service("jobs", **shared), start_service("jobs", **shared))
        gateway = await start_gateway(JOBS_URL=first.url, DRAIN_SECONDS="1")
        async with until_done(first, other, gateway), httpx.AsyncClient() as client:
            await asyncio.gather(first.until_up("/readyz"), other.until_up("/readyz"), gateway.until_up())

            async def both_joined() -> bool:
                return await _members(bus_url) == 2

            await eventually(both_joined, seconds=60)
            locker = await asyncpg.connect(dsn)
            transaction = locker.transaction()
            await transaction.start()
            await locker.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
            calls = [asyncio.create_task(_call(client, base)) for base in [first.url, gateway.url] * 4]
            await eventually(lambda: _waiting(dsn, 8), seconds=60)
            asked_at = time.monotonic()
            first.terminate()
            gateway.terminate()
            await eventually(lambda: _unready(client, first))
            assert await _still_serves(client, first)  # still taking connections
            await asyncio.sleep(2)  # past the drain: no new connections, the calls still wait
            assert not any(call.done() for call in calls)
            await transaction.rollback()
            await locker.close()
            assert await asyncio.gather(*calls) == [200] * 8
            assert await first.ended() == 0
            assert await _members(bus_url) == 1  # at once: a member that only vanishes stays until its session ends
            assert await gateway.ended() == 0
            assert time.monotonic() - asked_at < 30
            assert "Traceback" not in first.errors + gateway.errors
            await eventually(lambda: _holds_all(bus_url), seconds=30)
            other.terminate()
            assert await other.ended() == 0


async def _waiting(dsn: str, count: int) -> bool:
    connection = await asyncpg.connect(dsn)
    try:
        waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return bool(await connection.fetchval(waits) >= count)
    finally:
        await connection.close()


async def _unready(client: httpx.AsyncClient, process: Running) -> bool:
    answer = await client.get(f"{process.url}/readyz", timeout=30)
    checks = answer.json()["checks"]
    if answer.status_code == 200:  # the signal has not reached it yet
        return False
    return checks["process"] == "stopping" and answer.headers["connection"] == "close"


async def _still_serves(client: httpx.AsyncClient, process: Running) -> bool:
    return (await client.get(f"{process.url}/healthz", timeout=30)).status_code == 200


async def _holds_all(bus_url: str) -> bool:
    """Whether the bus has given every partition to who is left."""
    if bus_url.startswith("kafka://"):
        return (await _kafka_group(bus_url))[0] == "Stable"  # the broker waits for nobody
    connection = await asyncpg.connect(bus_url)
    try:
        held = "SELECT bool_and(m.id IS NOT NULL) FROM log_claim c LEFT JOIN log_member m ON m.id = c.member"
        return bool(await connection.fetchval(held))
    finally:
        await connection.close()

"""`sslmode` in a database's URL means to both of our ways to connect what it means to libpq."""

import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text

from chassis.db import Database, async_dsn, plain_dsn
from chassis.embedded_postgres import Cluster
from tests.chassis.certificates import write_certificates

IN_USE = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@pytest.mark.unit
@pytest.mark.parametrize(
    ("given", "engine", "plain"),
    [
        ("postgresql://u:p@h/d", "postgresql+asyncpg://u:p@h/d", "postgresql://u:p@h/d"),
        ("postgres://h/d?sslmode=require", "postgresql+asyncpg://h/d?ssl=require", "postgresql://h/d?sslmode=require"),
        (
            "postgresql+asyncpg://h/d?x=1&ssl=verify-full",
            "postgresql+asyncpg://h/d?x=1&ssl=verify-full",
            "postgresql://h/d?x=1&sslmode=verify-full",
        ),
        ("postgresql://u:ssl=1@h/d", "postgresql+asyncpg://u:ssl=1@h/d", "postgresql://u:ssl=1@h/d"),
    ],
)
def test_the_option_has_the_name_each_driver_knows(given: str, engine: str, plain: str) -> None:
    assert (async_dsn(given), plain_dsn(given)) == (engine, plain)


@pytest.fixture
async def tls_dsn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A server with a certificate of an authority that PGSSLROOTCERT names."""
    write_certificates(tmp_path)
    monkeypatch.setenv("PGSSLROOTCERT", str(tmp_path / "ca.pem"))
    folder = Path(tempfile.mkdtemp(prefix="btrst-test-", dir="/var/tmp"))
    cluster = Cluster(folder, durable=False)
    cluster.start()
    try:
        own = folder / "postgres" / "own.pem"
        own.write_bytes((tmp_path / "server.pem").read_bytes())
        own.chmod(0o600)
        owner = own.parent.stat()
        os.chown(own, owner.st_uid, owner.st_gid)
        admin = await asyncpg.connect(cluster.dsn())
        for setting in ("ssl_cert_file = 'own.pem'", "ssl_key_file = 'own.pem'", "ssl = on"):
            await admin.execute(f"ALTER SYSTEM SET {setting}")
        await admin.execute("SELECT pg_reload_conf()")
        await admin.close()
        yield cluster.dsn()
    finally:
        cluster.remove()


async def by_engine(dsn: str) -> bool:
    database = Database(dsn, application_name="tls")
    try:
        async with database.unit_of_work() as session:
            return bool(await session.scalar(text(IN_USE)))
    finally:
        await database.close()


async def by_driver(dsn: str) -> bool:
    connection = await asyncpg.connect(plain_dsn(dsn))
    try:
        return bool(await connection.fetchval(IN_USE))
    finally:
        await connection.close()


async def test_the_server_is_verified(tls_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for connect in (by_engine, by_driver):
        assert await connect(f"{tls_dsn}?sslmode=verify-full")
        assert not await connect(f"{tls_dsn}?sslmode=disable")
    (tmp_path / "other").mkdir()
    write_certificates(tmp_path / "other")
    monkeypatch.setenv("PGSSLROOTCERT", str(tmp_path / "other" / "ca.pem"))
    for connect in (by_engine, by_driver):
        with pytest.raises(OSError, match="certificate"):
            await connect(f"{tls_dsn}?sslmode=verify-full")


async def test_a_server_without_tls_is_refused(postgres_dsn: str) -> None:
    for connect in (by_engine, by_driver):
        with pytest.raises(ConnectionError, match="SSL"):
            await connect(f"{postgres_dsn}?sslmode=require")

"""The command that migrates: as an operator runs it, as a process."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import asyncpg
import pytest

from chassis.embedded_postgres import free_port
from chassis.testing import with_database

Databases = Callable[..., AbstractAsyncContextManager[str]]
TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"


async def migrate(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Exit code, output and errors of `python -m scripts.migrate`."""
    bare = {name: value for name, value in os.environ.items() if not name.endswith("_DATABASE_URL")}
    command = [sys.executable, "-m", "scripts.migrate", *arguments]
    ended = await asyncio.to_thread(
        subprocess.run, command, env=bare | environment, capture_output=True, text=True, timeout=120, check=False
    )
    return ended.returncode, ended.stdout.strip(), ended.stderr.strip()


def newest(service: str) -> str:
    """The last revision of a service: its migrations are numbered."""
    return max(path.name[:4] for path in Path(f"services/{service}/migrations/versions").glob("0*.py"))


async def ask(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_it_upgrades_once_tells_so_and_goes_back(new_database: Databases) -> None:
    last = newest("jobs")
    async with new_database() as dsn:
        assert await migrate("jobs", JOBS_DATABASE_URL=dsn) == (0, f"jobs: empty → {last}", "")
        assert await ask(dsn, TABLES)
        assert await migrate("jobs", JOBS_DATABASE_URL=dsn) == (0, f"jobs: at {last} already", "")
        code, sql, _ = await migrate("jobs", "--sql", "--downgrade", "base", JOBS_DATABASE_URL=dsn)
        assert code == 0
        assert "DROP TABLE" in sql
        assert await ask(dsn, "SELECT version_num FROM alembic_version") == last
        assert await migrate("jobs", "--downgrade", "base", JOBS_DATABASE_URL=dsn) == (
            0,
            f"jobs: {newest('jobs')} → empty",
            "",
        )
        assert await ask(dsn, TABLES) == 0


@pytest.mark.parametrize("service", ["identity", "jobs", "rewards", "governance"])
async def test_the_printed_sql_makes_the_same_tables(service: str, new_database: Databases) -> None:
    name = f"{service.upper()}_DATABASE_URL"
    async with new_database() as dsn, new_database(f"services/{service}/migrations") as migrated:
        code, sql, _ = await migrate(service, "--sql", **{name: dsn})
        assert code == 0
        assert await ask(dsn, TABLES) == 0
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()
        columns = (
            "SELECT string_agg(format('%s.%s %s', table_name, column_name, data_type), ',' ORDER BY table_name,"
            " column_name) FROM information_schema.columns WHERE table_schema = 'public'"
        )
        assert await ask(dsn, columns) == await ask(migrated, columns)
        assert (await migrate(service, **{name: dsn}))[1] == f"{service}: at {newest(service)} already"


async def test_all_takes_every_service_from_files(tmp_path: Path, postgres_dsn: str, new_database: Databases) -> None:
    async with new_database() as one, new_database() as two, new_database() as three, new_database() as four:
        for name, dsn in (("IDENTITY", one), ("JOBS", two), ("REWARDS", three), ("GOVERNANCE", four)):
            (tmp_path / f"{name}_DATABASE_URL").write_text(f"{dsn}\n")
        code, output, _ = await migrate("all", SECRETS_DIR=str(tmp_path))
        lines = [f"{name}: empty → {newest(name)}" for name in ("identity", "jobs", "rewards", "governance")]
        assert (code, output.splitlines()) == (0, lines)


async def test_what_cannot_be_migrated_is_one_clear_line(postgres_dsn: str, new_database: Databases) -> None:
    async def error_of(*arguments: str, **environment: str) -> str:
        code, output, errors = await migrate(*arguments, **environment)
        assert (code, output) == (1, "")
        assert len(errors.splitlines()) == 1, errors
        return errors

    missing, taken = with_database(postgres_dsn, "no_such_database"), f"postgresql://u:p@127.0.0.1:{free_port()}/x"
    refused = [
        error_of("jobs"),
        error_of("jobs", JOBS_DATABASE_URL=missing),
        error_of("jobs", "--wait", "1", JOBS_DATABASE_URL=taken),
        error_of("jobs", JOBS_DATABASE_URL="mysql://u:p@h/x"),
        error_of("jobs", SECRETS_DIR="/nowhere"),
    ]
    texts = await asyncio.gather(*refused)
    expected = ("JOBS_DATABASE_URL is not set", '"no_such_database" does not exist', "did not answer within 1 s")
    for text, part in zip(texts, (*expected, "must begin with postgresql://", "cannot be read"), strict=True):
        assert part in text
    async with new_database() as dsn:
        assert "known: 0001" in await error_of("jobs", "--revision", "9999", JOBS_DATABASE_URL=dsn)
        assert await ask(dsn, TABLES) == 0


async def test_it_waits_for_a_database_that_starts_late(new_database: Databases) -> None:
    async with new_database() as dsn:
        port = free_port()
        task = asyncio.create_task(migrate("jobs", "--wait", "60", JOBS_DATABASE_URL=with_port(dsn, port)))
        await asyncio.sleep(1.5)
        assert not task.done()
        async with forwarder(port, dsn):
            assert await task == (0, f"jobs: empty → {newest('jobs')}", "")


def with_port(dsn: str, port: int) -> str:
    head, _, tail = dsn.partition("@")
    return f"{head}@127.0.0.1:{port}/{tail.partition('/')[2]}"


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


class forwarder:  # noqa: N801 - used like a function
    """A TCP listener on `port` that leads to the server of `dsn`."""

    def __init__(self, port: int, dsn: str) -> None:
        self._port = port
        host, _, rest = dsn.partition("@")[2].partition(":")
        self._target = (host, int(rest.partition("/")[0]))
        self._pipes: list[asyncio.Task[None]] = []

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(*self._target)
        self._pipes.append(asyncio.create_task(_pipe(reader, inner_writer)))
        self._pipes.append(asyncio.create_task(_pipe(inner_reader, writer)))

    async def __aenter__(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for pipe in self._pipes:
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

"""The command that backs up and restores, as an operator runs it; the drill on the whole network is in tests/e2e."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from chassis.ids import new_id
from chassis.testing import drop_database, with_database
from scripts.backup_tools import BackupFailed, program

Databases = Callable[..., AbstractAsyncContextManager[str]]


async def backup(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Exit code, output and errors of `python -m scripts.backup`."""
    bare = {name: value for name, value in os.environ.items() if not name.endswith("DATABASE_URL")}
    command = [sys.executable, "-m", "scripts.backup", *arguments]
    ended = await asyncio.to_thread(
        subprocess.run, command, env=bare | environment, capture_output=True, text=True, timeout=120, check=False
    )
    return ended.returncode, ended.stdout.strip(), ended.stderr.strip()


async def execute(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def ask(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_a_role_that_may_create_nothing_gets_its_database_back(
    postgres_dsn: str, new_database: Databases, tmp_path: Path
) -> None:
    """An administrator's account makes the database; its owner owns all that is in it, as before."""
    role = f"backup_{new_id().hex}"
    name = f"{role}_db"
    parts = urlsplit(postgres_dsn)
    dsn = urlunsplit(parts._replace(netloc=f"{role}:p%40ss@{parts.netloc.rpartition('@')[2]}", path=f"/{name}"))
    await execute(postgres_dsn, f"CREATE ROLE {role} LOGIN PASSWORD 'p@ss'", f"CREATE DATABASE {name} OWNER {role}")
    try:
        async with new_database() as bus:
            told = {"JOBS_DATABASE_URL": dsn, "ADMIN_DATABASE_URL": postgres_dsn, "BUS_URL": bus}
            await execute(
                dsn, "CREATE TABLE outbox_sequence (topic text, key text, last bigint, PRIMARY KEY (topic, key))"
            )
            await execute(dsn, "CREATE TABLE kept AS SELECT 1 AS n")
            code, said, _ = await backup("save", str(tmp_path / "new"), **told)
            assert code == 0, said
            assert (tmp_path / "new").stat().st_mode & 0o077 == 0
            assert [path.name for path in (tmp_path / "new").iterdir()] == ["jobs.dump"]
            assert (tmp_path / "new/jobs.dump").stat().st_mode & 0o077 == 0
            await execute(dsn, "UPDATE kept SET n = 2")
            open_session = await asyncpg.connect(dsn)
            code, said, problem = await backup("restore", str(tmp_path / "new"), "jobs", **told)
            assert (code, problem) == (0, "")
            assert said.endswith(f"the former is {name}_before_restore")
            with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
                await open_session.fetchval("SELECT 1")
            assert await ask(dsn, "SELECT n FROM kept") == 1
            at_the_end = (0, "jobs: 0 keys go on behind what the bus has", "")
            assert await backup("sequences", "jobs", **told) == at_the_end
            assert await ask(dsn, "SELECT tableowner FROM pg_tables WHERE tablename = 'kept'") == role
            databases = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE datname LIKE $$%s%%$$"
            assert await ask(postgres_dsn, databases % role) == f"{name} {name}_before_restore"
    finally:
        for made in (name, f"{name}_before_restore", f"{name}_restoring"):
            await drop_database(postgres_dsn, made)
        await execute(postgres_dsn, f"DROP ROLE {role}")


async def test_a_restore_that_fails_leaves_the_database_in_use(new_database: Databases, tmp_path: Path) -> None:
    async with new_database() as dsn, new_database() as other:
        (tmp_path / "jobs.dump").write_bytes(b"no copy")
        told = {"JOBS_DATABASE_URL": dsn, "BUS_URL": other}
        code, _, problem = await backup("restore", str(tmp_path), "jobs", **told)
        assert code == 1
        assert problem.startswith("backup: pg_restore failed: ")
        assert len(problem.splitlines()) == 1
        assert await ask(dsn, "SELECT 1") == 1
        code, _, problem = await backup("save", str(tmp_path), **told)
        assert code == 0
        # No table for sequences: it ends after the old database was cut off, which therefore has to be let in again.
        code, _, problem = await backup("restore", str(tmp_path), "jobs", **told)
        assert (code, problem) == (1, 'backup: relation "outbox_sequence" does not exist')
        assert await ask(dsn, "SELECT 1") == 1
        await drop_database(with_database(dsn, "postgres"), f"{dsn.rpartition('/')[2]}_restoring")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("save", "."), "<SERVICE>_DATABASE_URL is not set, and no network runs in /nowhere"),
        (("restore", ".", "jobs"), "JOBS_DATABASE_URL not set"),
    ],
)
async def test_what_is_missing_is_one_line(arguments: tuple[str, ...], problem: str) -> None:
    named = {"REWARDS_DATABASE_URL": "postgresql://a:b@127.0.0.1:9/rewards"} if arguments[0] == "restore" else {}
    assert await backup(*arguments, RUN_DIR="/nowhere", **named) == (1, "", f"backup: {problem}")


NOBODY = "postgresql://a:secret@127.0.0.1:9/x"


@pytest.mark.parametrize(
    ("arguments", "told", "problem"),
    [
        (("list", "{}/none"), {}, "{}/none is no folder"),
        (("list", "{}/file"), {}, "{}/file is no folder"),
        (("list", "{}"), {}, "there is no copy in {}"),
        (("save", "{}"), {}, "<SERVICE>_DATABASE_URL is not set, and {}/endpoints.json is damaged"),
        (("save", "{}"), {"JOBS_DATABASE_URL": NOBODY}, "[Errno 111] Connect call failed ('127.0.0.1', 9)"),
        (("save", "{}"), {"JOBS_DATABASE_URL": "nonsense"}, "DATABASE_URL must begin with postgresql://"),
        (("restore", "{}/none", "jobs"), {"JOBS_DATABASE_URL": NOBODY, "BUS_URL": NOBODY}, "there is no {}/none/jobs"),
        (("sequences", "jobs"), {"JOBS_DATABASE_URL": NOBODY}, "BUS_URL is not set, and {}/endpoints.json is damaged"),
        (("sequences", "jobs"), {"JOBS_DATABASE_URL": NOBODY, "BUS_URL": NOBODY}, "ConnectionRefusedError: "),
        (
            ("sequences", "jobs"),
            {"JOBS_DATABASE_URL": NOBODY, "BUS_URL": "kafka://127.0.0.1:9"},
            "Kafka at 127.0.0.1:9",
        ),
    ],
)
async def test_what_is_wrong_is_one_line(
    tmp_path: Path, arguments: tuple[str, ...], told: dict[str, str], problem: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "endpoints.json").write_text('{"dsn": {')
    places = [argument.format(tmp_path) for argument in arguments]
    code, said, line = await backup(*places, RUN_DIR=str(tmp_path), **told)
    assert (code, said, len(line.splitlines())) == (1, "", 1)
    assert line.startswith(f"backup: {problem.format(tmp_path)}")
    assert "secret" not in line


async def test_a_folder_that_is_a_file_takes_no_copy(new_database: Databases, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with new_database() as dsn:
        code, _, line = await backup("save", str(tmp_path / "file"), JOBS_DATABASE_URL=dsn)
    assert (code, line) == (1, f"backup: [Errno 17] File exists: '{tmp_path}/file'")


def test_the_client_program_is_not_older_than_the_server() -> None:
    assert program("pg_dump", 15).endswith("pg_dump")
    with pytest.raises(BackupFailed, match=r"pg_dump 99 is missing: install PostgreSQL's client programs"):
        program("pg_dump", 99)

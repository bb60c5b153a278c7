"""Make each service's database, and the role that owns it and nothing else.

Usage: python -m scripts.databases [--wait SECONDS]

`ADMIN_DATABASE_URL` is an account that may create both; what to create is in each `<SERVICE>_DATABASE_URL`. All come
from the environment or from files of `SECRETS_DIR`. A second run sets the passwords again and changes nothing else.
"""

import argparse
import asyncio
import sys
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import asyncpg

from chassis.db import plain_dsn
from scripts.migrate import SERVICES, MigrationRefused, revision_of
from scripts.told import NotTold, told


@dataclass(frozen=True, slots=True)
class Wanted:
    """One database and its owner."""

    database: str
    role: str
    password: str

    @classmethod
    def of(cls, name: str) -> "Wanted":
        """What the setting `name` asks for. Raises: NotTold when it is missing or no such URL."""
        parts = urlsplit(told(name))
        database = parts.path.removeprefix("/")
        if not parts.scheme.startswith("postgres") or not (parts.username and parts.password and database):
            raise NotTold(f"{name} must be postgresql://role:password@host/database")
        return cls(database, unquote(parts.username), unquote(parts.password))


async def ensure(admin_dsn: str, wanted: Wanted) -> bool:
    """Make the role and the database unless they are there; whether the database is new."""
    connection = await asyncpg.connect(plain_dsn(admin_dsn), timeout=10)
    try:
        quote = await connection.fetchrow(
            "SELECT quote_ident($1) role, quote_literal($2) password, quote_ident($3) database",
            *(wanted.role, wanted.password, wanted.database),
        )
        assert quote is not None
        role, database = quote["role"], quote["database"]
        if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", wanted.role):
            await connection.execute(f"CREATE ROLE {role} LOGIN")
        await connection.execute(f"ALTER ROLE {role} LOGIN PASSWORD {quote['password']}")
        if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", wanted.database):
            return False
        await connection.execute(f"CREATE DATABASE {database} OWNER {role}")
        await connection.execute(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
        return True
    finally:
        await connection.close()


async def run(wait_seconds: float) -> str:
    """Make what is missing; what that was, in one line. Raises: NotTold, MigrationRefused, and the driver's errors."""
    admin_dsn = told("ADMIN_DATABASE_URL")
    wanted = [Wanted.of(f"{service.upper()}_DATABASE_URL") for service in SERVICES]
    await revision_of(admin_dsn, wait_seconds=wait_seconds)
    made = [each.database for each in wanted if await ensure(admin_dsn, each)]
    return f"made {', '.join(made)}" if made else "every database is there already"


def main(arguments: list[str] | None = None) -> int:
    """Command line; one line either way."""
    parser = argparse.ArgumentParser(prog="python -m scripts.databases", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--wait", type=float, default=60.0, metavar="SECONDS", help="for the server (60)")
    options = parser.parse_args(arguments)
    try:
        print(asyncio.run(run(options.wait)))
    except (NotTold, MigrationRefused, OSError, asyncpg.PostgresError) as error:
        print(f"cannot make the databases: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

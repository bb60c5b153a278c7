"""Wait until a service's database has every migration that this version of the code needs, then end.

Usage: python -m scripts.await_schema SERVICE   (an init container of each pod; `AWAIT_SCHEMA_SECONDS`, 900 if not set)
"""

import asyncio
import importlib
import os
import sys
import time
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from chassis import migrations

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("identity", "jobs", "rewards", "governance")
POLL_SECONDS = 1.0


async def wait_for_schema(dsn: str, location: Path, *, seconds: float) -> str:
    """Nothing ("") once the schema is there, else why not, after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if not await migrations.is_behind(dsn, location):
                return ""
            trouble = "the database lacks a migration: run `python -m scripts.migrate` or wait for its Job"
        except (OSError, DBAPIError) as error:
            trouble = f"the database does not answer: {type(error).__name__}"
        if time.monotonic() >= deadline:
            return trouble
        await asyncio.sleep(POLL_SECONDS)


def main() -> int:
    """Wait for the schema of the service named on the command line; the exit code."""
    if len(sys.argv) != 2 or sys.argv[1] not in SERVICES:
        print(f"usage: python -m scripts.await_schema {'|'.join(SERVICES)}", file=sys.stderr)
        return 2
    name = sys.argv[1]
    dsn = importlib.import_module(f"services.{name}.app").SERVICE.settings.from_environment().database_url
    seconds = float(os.environ.get("AWAIT_SCHEMA_SECONDS", "900"))
    trouble = asyncio.run(wait_for_schema(dsn, ROOT / "services" / name / "migrations", seconds=seconds))
    if trouble:
        print(f"{name}: {trouble}", file=sys.stderr)
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main())

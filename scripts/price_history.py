"""Gives the rewards service the price's history, so that a market's price counts before 24 days have passed.

    python -m scripts.price_history market < prices.csv

Each line is a moment (RFC 3339) and USD per BTRST: `2026-11-01T00:00:00Z,0.0676`. One an hour is enough; moments that
are known already stay as they are. `market` is the name of the source (`REWARDS_PRICE_NAME`, or `aggregator`). The
database is that of `REWARDS_DATABASE_URL`, or of the network that runs in `RUN_DIR`. Rewards held `stale_price`
follow within a minute.
"""

import argparse
import asyncio
import csv
import os
import sys
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation

from chassis.clock import utc_now
from chassis.db import Database
from scripts.backup_tools import BackupFailed, endpoints
from services.rewards.domain.prices import Observation, to_usd_e8
from services.rewards.service.prices import record_observations

AT_ONCE = 1_000


def observations_of(lines: Iterable[str]) -> list[Observation]:
    """What the lines say. Raises: ValueError, naming the first line that says nothing."""
    found = []
    for number, row in enumerate(csv.reader(lines), 1):
        try:
            moment, usd = row
            at = datetime.fromisoformat(moment)
            if at.tzinfo is None or at > utc_now() + timedelta(minutes=1):
                raise ValueError("a moment of the past, with its offset from UTC, is expected")
            found.append(Observation(at, to_usd_e8(Decimal(usd))))
        except (ValueError, InvalidOperation) as error:
            raise ValueError(f"line {number}: {error or 'no number'}") from error
    return found


async def keep(url: str, source: str, found: list[Observation]) -> int:
    """Keep them; how many there were."""
    database = Database(url)
    try:
        for start in range(0, len(found), AT_ONCE):
            async with database.unit_of_work() as session:
                await record_observations(session, source=source, observations=found[start : start + AT_ONCE])
    finally:
        await database.close()
    return len(found)


def main() -> int:
    """Command line; 0 when the history is kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", help="the name of the source whose history this is")
    source = parser.parse_args().source
    try:
        found = observations_of(sys.stdin)
        url = os.environ.get("REWARDS_DATABASE_URL") or str(endpoints("REWARDS_DATABASE_URL")["dsn"]["rewards"])
    except (ValueError, BackupFailed) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{asyncio.run(keep(url, source, found))} observations of {source}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Back up the services' databases, and put them back.

Usage: python -m scripts.backup save FOLDER | list FOLDER | restore FOLDER SERVICE|all | sequences SERVICE|all

`sequences` is for a database that something else restored: run it before its service's workers.

Each database is consistent in itself (one snapshot of pg_dump) and needs no other: it holds its own positions, inbox
and outbox, so a restored copy reads again from the bus what it has forgotten, and from the chain what was minted.
Settings come from the environment or from files of `SECRETS_DIR`: `<SERVICE>_DATABASE_URL`, `ADMIN_DATABASE_URL` (an
account that may create databases; needed when the services' own may not) and `BUS_URL`. Where no database is named it
is the network that runs in `RUN_DIR`.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import asyncpg

from chassis.bus import Bus, BusUnavailable, UnknownTopic, bus_from_url
from chassis.db import plain_dsn
from chassis.envelope import Envelope
from chassis.settings import ServiceSettings
from events.registry import EVENTS
from scripts.backup_tools import BackupFailed, Restoring, at_database, dump, endpoints, load, major_version
from scripts.migrate import SERVICES
from scripts.told import NotTold, told

CHOICES = (*SERVICES, "all")
AWAY = (BusUnavailable, UnknownTopic, OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


def databases() -> dict[str, str]:
    """Service → URL of its database, of those that are named. Raises: BackupFailed when none is."""
    named = {}
    for name in SERVICES:
        try:
            named[name] = told(f"{name.upper()}_DATABASE_URL")
        except NotTold:
            continue
    if not named:
        dsns = endpoints("<SERVICE>_DATABASE_URL")["dsn"]
        named = {name: dsns[name] for name in SERVICES}
    return named


async def save(folder: Path, dsns: Mapping[str, str]) -> None:
    """One file per service in `folder`, each complete or not there. Raises: BackupFailed."""
    for name, dsn in dsns.items():
        whole = folder / f"{name}.dump"
        dump(dsn, whole, await major_version(dsn))
        print(f"saved {whole} ({whole.stat().st_size} bytes)")


def show(folder: Path) -> None:
    """Print what copies there are, with their sizes in bytes. Raises: BackupFailed when there is none."""
    copies = sorted(path for path in folder.glob("*.dump") if path.is_file())
    if not copies:
        raise BackupFailed(f"there is no copy in {folder}" if folder.is_dir() else f"{folder} is no folder")
    for path in copies:
        print(path.name, path.stat().st_size)


async def restore(folder: Path, dsns: Mapping[str, str], bus: Bus) -> None:
    """Make a database from each copy beside the one in use, then let them change places. The services may run
    meanwhile: each is cut off for as long as its own topics are read. Start them anew afterwards.

    Raises: BackupFailed.
    """
    for name in dsns:
        if not (folder / f"{name}.dump").is_file():
            raise BackupFailed(f"there is no {folder / f'{name}.dump'}: `list` shows what there is")
    all_restoring = [Restoring(name, dsn, _admin(dsn)) for name, dsn in dsns.items()]
    for restoring in all_restoring:
        await restoring.create()
        load(folder / f"{restoring.service}.dump", restoring.fresh_dsn, await major_version(restoring.fresh_dsn))
    try:
        for restoring in all_restoring:
            await restoring.cut_off()
        # Only now, when the services of before can publish nothing more.
        raised = {one.service: await raise_sequences(one.fresh_dsn, one.service, bus) for one in all_restoring}
        for restoring in all_restoring:
            await restoring.swap()
    finally:
        for restoring in all_restoring:
            await restoring.let_in()
    for one in all_restoring:
        print(
            f"restored {one.name} from {folder / f'{one.service}.dump'}; {raised[one.service]} keys go on behind what "
            f"the bus has; the former is {one.aside}"
        )


def _admin(dsn: str) -> str:
    try:
        return at_database(told("ADMIN_DATABASE_URL"), "postgres")
    except NotTold:
        return at_database(dsn, "postgres")


async def raise_sequences(dsn: str, service: str, bus: Bus) -> int:
    """Let no key number an event again that the bus has already: a copy knows only the numbers of its time.

    How many keys were behind.
    """
    last: dict[tuple[str, str], int] = {}
    topics = sorted({event.topic() for event in EVENTS.values() if event.source() == f"/services/{service}"})
    for topic in topics:
        async for delivery in bus.read(topic, start=0, follow=False):
            try:
                event = Envelope.model_validate_json(delivery.record.value or b"")
            except ValueError:
                continue  # not ours: poison
            at = (topic, event.subject)
            last[at] = max(last.get(at, 0), int(event.sequence))
    rows = [(topic, key, sequence) for (topic, key), sequence in last.items()]
    connection = await asyncpg.connect(plain_dsn(dsn))
    try:
        behind = await connection.fetch(
            """
            INSERT INTO outbox_sequence AS mine (topic, key, last)
            SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
            ON CONFLICT (topic, key) DO UPDATE SET last = excluded.last WHERE mine.last < excluded.last RETURNING 1
            """,
            *map(list, zip(*rows, strict=True)) if rows else ([], [], []),
        )
        return len(behind)
    finally:
        await connection.close()


async def _main(arguments: Sequence[str]) -> int:
    match arguments:
        case ["save", folder]:
            await save(Path(folder), databases())
        case ["list", folder]:
            show(Path(folder))
        case ["restore", folder, wanted] if wanted in CHOICES:
            dsns = _chosen(wanted)
            async with _open_bus() as bus:
                await restore(Path(folder), dsns, bus)
        case ["sequences", wanted] if wanted in CHOICES:
            async with _open_bus() as bus:
                for name, dsn in _chosen(wanted).items():
                    print(f"{name}: {await raise_sequences(dsn, name, bus)} keys go on behind what the bus has")
        case _:
            print((__doc__ or "").split("\n")[2])
            return 2
    return 0


def _chosen(wanted: str) -> dict[str, str]:
    """Service → URL of its database, for one service or all. Raises: BackupFailed."""
    dsns = databases()
    names = SERVICES if wanted == CHOICES[-1] else (wanted,)
    missing = [f"{name.upper()}_DATABASE_URL" for name in names if name not in dsns]
    if missing:
        raise BackupFailed(f"{', '.join(missing)} not set")
    return {name: dsns[name] for name in names}


@contextlib.asynccontextmanager
async def _open_bus() -> AsyncIterator[Bus]:
    settings = ServiceSettings.from_environment()
    url = settings.bus_url
    if not url:
        known = endpoints("BUS_URL")
        url = f"kafka://{known['kafka']}" if known.get("kafka") else known["dsn"]["events"]
    bus = bus_from_url(url, kafka=settings)
    try:
        yield bus
    finally:
        await bus.close()


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(_main(sys.argv[1:])))
    except (*AWAY, BackupFailed, ValueError) as problem:
        sys.exit(f"backup: {' '.join(str(problem).split()) or type(problem).__name__}")

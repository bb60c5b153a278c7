"""The sample consumer as a process of its own, and what it booked."""

import asyncio
import json
import os
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "docs" / "examples" / "consumer.py"
GROUP = "books"


class Books:
    """The database of the sample consumer, seen from outside."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """Rows of a query; none before the tables are there."""
        if not self.path.exists():
            return []
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=10)) as database:
            try:
                return list(database.execute(query))
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return []
                raise

    def handled(self) -> int:
        """How many events it has dealt with."""
        rows = self.rows("SELECT count(*) FROM handled")
        return int(str(rows[0][0])) if rows else 0

    def bookings(self) -> Counter[tuple[object, ...]]:
        """Each booking, with how often it is there."""
        return Counter(self.rows("SELECT transaction_id, talent_id, cents FROM bookings"))


def command(bootstrap: str, books: Books, *options: str) -> list[str]:
    """How to start it. The environment has nothing of ours on its path."""
    return [
        *(sys.executable, "-I", str(PROGRAM), "--bootstrap", bootstrap, "--group", GROUP),
        *("--database", str(books.path), *options),
    ]


class Run:
    """What one run of it said, when it is over."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.told: Counter[str] = Counter()
        self.errors = ""

    async def end(self, seconds: float = 60) -> int:
        """Wait for its end; the exit status."""
        out, err = await asyncio.wait_for(self.process.communicate(), seconds)
        self.errors = err.decode()
        for line in out.splitlines():
            if line.endswith(b"}"):
                batch = json.loads(line)
                self.told.update({name: count for name, count in batch.items() if name not in {"partition", "to"}})
        assert self.process.returncode is not None
        return self.process.returncode


@asynccontextmanager
async def started(bootstrap: str, books: Books, *options: str, **env: str) -> AsyncIterator[Run]:
    """The consumer, running; killed at the end of the block if it still does."""
    clean: Mapping[str, str] = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *command(bootstrap, books, *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=books.path.parent,
        env={**clean, **env},
    )
    try:
        yield Run(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def finished(bootstrap: str, books: Books, *options: str, **env: str) -> Run:
    """A run that reads all there is; ended."""
    async with started(bootstrap, books, "--once", *options, **env) as run:
        await run.end()
    return run


async def wait_for_handled(run: Run, books: Books, count: int, seconds: float = 60) -> None:
    """Until it has dealt with `count` events. Raises: AssertionError."""
    deadline = time.monotonic() + seconds
    while books.handled() < count:
        assert run.process.returncode is None, (await run.end(), run.errors)
        assert time.monotonic() < deadline, f"{books.handled()} of {count}"
        await asyncio.sleep(0.005)

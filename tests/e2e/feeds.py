"""What each member's feed has to hold, told from the log; and readers that go on through whatever happens."""

import asyncio
import contextlib
import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from chassis.decoding import Poison, decode
from events.audience import concerned, shown
from events.registry import EVENTS
from scripts.api import Person
from tests.e2e.network import ROOT
from tests.streams import stream

if TYPE_CHECKING:
    from tests.e2e.invariants import Inspection

EXAMPLE = ROOT / "docs" / "examples" / "stream.mjs"


async def feeds_are_complete(seen: "Inspection") -> None:
    """Each member's feed holds every event of the log that concerns them, once, numbered without a gap, those of one
    subject in the order of the log, and only what they may see."""
    owed: dict[UUID, dict[str, Any]] = defaultdict(dict)
    for deliveries in seen.log.values():
        for delivery in deliveries:
            with contextlib.suppress(Poison):
                message = decode(delivery, EVENTS)
                for member in concerned(message.event):
                    owed[member].setdefault(str(message.envelope.id), shown(message.event))
    rows = await seen.rows("identity", "SELECT member_id, seq, line FROM feed_entries ORDER BY member_id, seq")
    told: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        told[row["member_id"]].append(json.loads(row["line"]))
        assert row["seq"] == len(told[row["member_id"]]), f"the feed of {row['member_id']} has a gap"
    assert told.keys() == owed.keys()
    for member, entries in told.items():
        assert len(entries) == len(owed[member]), f"the feed of {member}: {len(entries)} of {len(owed[member])}"
        for entry in entries:
            assert entry["data"] == owed[member][entry["id"]], entry
        subjects: dict[tuple[str, str], list[int]] = defaultdict(list)
        for entry in entries:
            topic = ".".join(entry["type"].split(".")[:2])
            subjects[topic, entry["subject"]].append(int(entry["sequence"]))
        assert all(found == sorted(found) for found in subjects.values()), f"the feed of {member} is out of order"


@dataclass
class Follower:
    """Somebody who reads their stream, and comes back with the last id whenever it breaks."""

    person: Person
    port: int
    last_id: str | None = None
    ids: list[str] = field(default_factory=list)
    """Of the events of the network, in the order in which they came."""

    ends: list[str] = field(default_factory=list)
    """How streams ended: a code, or the status of a refusal, or empty for a broken line."""

    async def follow(self) -> None:
        """For ever."""
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                await self._once()
            await asyncio.sleep(0.3)

    async def _once(self) -> None:
        async with stream(self.port, await self.person.token(), last_id=self.last_id) as reader:
            if reader.status != 200:
                self.ends.append(str(reader.status))
                return
            try:
                while True:
                    frame = await reader.next(seconds=45)
                    self.last_id = frame.id or self.last_id
                    if "." in frame.event:
                        self.ids.append(frame.data["id"])
                    elif frame.event != "ready":
                        self.ends.append(f"{frame.event} {frame.data['code']}")
            except EOFError:
                if not reader.complete:
                    self.ends.append("")


@contextlib.asynccontextmanager
async def example_client(gateway: str, person: Person) -> AsyncIterator[list[dict[str, Any]]]:
    """The client of the documentation, as its own process, from the oldest event on; what it has printed so far."""
    process = await asyncio.create_subprocess_exec(
        *("node", str(EXAMPLE), gateway, await person.token(), "0"),
        env={**os.environ, "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"},
        stdout=asyncio.subprocess.PIPE,
        limit=2**20,
    )
    printed: list[dict[str, Any]] = []

    async def read() -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            printed.append(json.loads(line))

    reading = asyncio.create_task(read())
    try:
        yield printed
        assert process.returncode is None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await reading

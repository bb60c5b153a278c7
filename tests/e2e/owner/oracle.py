"""What is wrong with an answer: the judge of the owner matrix."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.owner.model import Actor, Answer, Cell, Secret, Send, World

UNSTEADY_HEADERS = frozenset(
    {"x-request-id", "date", "traceparent", "content-length", "ratelimit", "ratelimit-policy", "server"}
)
IN_FLIGHT = 16


@dataclass(slots=True)
class Judge:
    """Sends cells, and keeps every complaint."""

    world: World
    send: Send
    complaints: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    """How many cells of each variation were judged."""

    statuses: Counter[int] = field(default_factory=Counter)
    operations: set[str] = field(default_factory=set)

    async def run(self, cells: Iterable[Cell]) -> list[tuple[Cell, Answer]]:
        """Send all cells, some at a time; each with its answer, in order."""
        asked, gate = list(cells), asyncio.Semaphore(IN_FLIGHT)

        async def one(cell: Cell) -> tuple[Cell, Answer]:
            async with gate:
                return cell, await self.send(cell.sent)

        answered = await asyncio.gather(*(one(cell) for cell in asked))
        for cell, answer in answered:
            self._count(cell, answer)
            self.complaints += wrongs(self.world, cell, answer)
        return answered

    def _count(self, cell: Cell, answer: Answer) -> None:
        self.done[cell.variation.split(" ")[0]] += 1
        self.statuses[answer.status] += 1
        self.operations.add(cell.operation.id)

    def summary(self) -> str:
        """What was done, in one line."""
        kinds = " ".join(f"{name}={count}" for name, count in sorted(self.done.items()))
        statuses = " ".join(f"{status}:{count}" for status, count in sorted(self.statuses.items()))
        who = len(self.world.actors)
        return (
            f"operations={len(self.operations)} actors={who} cells={self.done.total()} ({kinds}) "
            f"answers ({statuses}) secrets={len(self.world.secrets)} complaints={len(self.complaints)}"
        )

    def compare_refusals(self, hidden: Sequence[tuple[Cell, Answer]], unknown: Sequence[tuple[Cell, Answer]]) -> None:
        """Complain of every 404 that tells what is hidden from what does not exist."""
        others = {(cell.operation.id, cell.actor.name): answer for cell, answer in unknown}
        for cell, answer in hidden:
            if cell.expected != {404} or cell.resource is None:
                continue
            nothing = others[cell.operation.id, cell.actor.name]
            if steady(answer) != steady(nothing):
                wrong = f"differs from an unknown id: {steady(answer)} / {steady(nothing)}"
                self.complaints.append(f"{cell.name}: {wrong}")

    def compare_proofs(self, refused: Sequence[tuple[Cell, Answer]]) -> None:
        """Complain when a wrong proof is answered differently from another, as if one were nearly right."""
        first: dict[tuple[str, str], Answer] = {}
        for cell, answer in refused:
            other = first.setdefault((cell.operation.id, cell.actor.name), answer)
            if steady(other) != steady(answer):
                self.complaints.append(f"{cell.name}: tells wrong proofs apart: {steady(other)} / {steady(answer)}")

    def compare_readings(
        self, before: Sequence[tuple[Cell, Answer]], after: Sequence[tuple[Cell, Answer]], why: str
    ) -> None:
        """Complain of every later reading that is not what the same member read of the same thing before."""
        earlier = {_place(cell): answer for cell, answer in before}
        for cell, answer in after:
            was = earlier.get(_place(cell))
            if was is not None and steady(was) != steady(answer):
                self.complaints.append(f"{cell.name}: {why}: {steady(was)} / {steady(answer)}")


def _place(cell: Cell) -> tuple[str, str, str]:
    return cell.operation.id, cell.actor.name, cell.resource.id if cell.resource else ""


def wrongs(world: World, cell: Cell, answer: Answer) -> list[str]:
    """Everything that is wrong with the answer to a cell."""
    found = []
    if answer.status >= 500:
        found.append(f"a fault: {answer.status}")
    if answer.status not in cell.expected:
        found.append(f"{answer.status} instead of {sorted(cell.expected)}: {answer.text[:300]}")
    if answer.status >= 400 and answer.media_type != "application/problem+json":
        found.append(f"the refusal is {answer.media_type}")
    told = world.in_the_open.get(cell.operation.id, frozenset())
    found += [
        f"leaks {secret.value!r}"
        for secret in leaks(world.secrets, cell.actor, cell.sent.text, answer)
        if secret.value not in told
    ]
    if cell.field and answer.status == 422 and not _names(answer, cell.field):
        found.append(f"the 422 does not name {cell.field}: {answer.text[:300]}")
    if cell.empty and answer.status == 200 and json.loads(answer.text)["items"]:
        found.append(f"the page has another's items: {answer.text[:300]}")
    return [f"{cell.name}: {wrong}" for wrong in found]


def leaks(secrets: Iterable[Secret], actor: Actor, sent: str, answer: Answer) -> list[Secret]:
    """The secrets in an answer that the actor may not know, but for what they sent themselves."""
    text = answer.text + "\n" + "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
    return [
        secret
        for secret in secrets
        if actor.member_id not in secret.readers and _holds(text, secret.value) and not _holds(sent, secret.value)
    ]


def _holds(text: str, value: str | int) -> bool:
    if isinstance(value, int):
        return str(value) in text and re.search(rf"(?<!\w){value}(?!\w)", text) is not None
    return value in text


def _names(answer: Answer, field_name: str) -> bool:
    errors = json.loads(answer.text).get("errors") or []
    return any(field_name in map(str, error["loc"]) for error in errors)


def steady(answer: Answer) -> tuple[int, str, Mapping[str, Any]]:
    """What of an answer has to be the same for the same question."""
    headers = {name: value for name, value in answer.headers.items() if name not in UNSTEADY_HEADERS}
    if answer.media_type != "application/problem+json":
        return answer.status, answer.text, headers
    problem = {**json.loads(answer.text), "request_id": "", "instance": ""}
    return answer.status, json.dumps(problem), headers

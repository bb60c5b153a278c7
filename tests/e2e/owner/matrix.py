"""The matrix itself: everybody asks for everything in every way, and nothing may come of it."""

import json
from collections.abc import Callable, Iterator

from tests.e2e.owner import cells
from tests.e2e.owner.model import Answer, Cell, World
from tests.e2e.owner.oracle import Judge
from tests.e2e.owner.rules import Rules
from tests.e2e.owner.surface import Operation

Answered = list[tuple[Cell, Answer]]


async def ask_everybody(judge: Judge, rules: Rules, surface: list[Operation]) -> None:
    """Send all cells; the judge has the complaints then.

    Raises: Untold for what neither the document nor the rules tell.
    """
    world = judge.world

    def every(make: Callable[[Rules, World, Operation], Iterator[Cell]]) -> Iterator[Cell]:
        return (cell for operation in surface for cell in make(rules, world, operation))

    asked = await judge.run(every(cells.plain))
    judge.compare_refusals(asked, await judge.run(every(cells.unknown)))
    read = [(cell, answer) for cell, answer in asked if answer.status == 200 and _stays(rules, cell)]
    _note_cursors(world, await judge.run(every(cells.first_pages)))
    judge.compare_readings(read, await judge.run(every(cells.extras)), "an extra field changes what is read")
    await judge.run(every(cells.references))
    await judge.run(every(cells.flags))
    await judge.run(cells.borrowed_keys(rules, world, {(one.method, one.path): one for one in surface}))
    judge.compare_proofs(await judge.run(cells.credentials(rules, world, {one.id: one for one in surface})))
    judge.compare_readings(read, await judge.run(cell for cell, _ in read), "what is read has changed")


def _stays(rules: Rules, cell: Cell) -> bool:
    return cell.operation.reads and cell.operation.id not in rules.volatile


def _note_cursors(world: World, pages: Answered) -> None:
    """Where the second pages of those begin whose things the others ask for."""
    for cell, answer in pages:
        if answer.status == 200 and cell.actor.owns and (cursor := json.loads(answer.text)["next_cursor"]):
            world.cursors.setdefault(cell.operation.id, (cursor, cell.actor.member_id))

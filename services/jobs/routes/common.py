"""What the endpoints of jobs share: the acting member, and pages of rows."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Depends

from chassis.auth import CallerDep
from chassis.web import Page, PageRequest, ReadModel, page_of
from services.jobs.domain.actors import Actor

Read = TypeVar("Read", bound=ReadModel)


def _actor_of(caller: CallerDep) -> Actor:
    return Actor(member_id=caller.member_id, roles=caller.roles)


ActorDep = Annotated[Actor, Depends(_actor_of)]
"""The member who acts; without a valid token 401."""


def _newest(row: Any) -> Sequence[object]:
    return row.created_at, row.id


def as_page(
    model: type[Read], rows: Sequence[Any], paging: PageRequest, key: Callable[[Any], Sequence[object]] = _newest
) -> Page[Read]:
    """The answer to a list: `rows`, fetched with one more than the limit, cut to a page."""
    items, next_cursor = page_of(rows, paging, key)
    return Page[model](items=[model.model_validate(row) for row in items], next_cursor=next_cursor)  # type: ignore[valid-type]

"""The query string of the search for jobs, and how its pages go on in each order."""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query
from pydantic import StringConstraints

from chassis.errors import BadRequest
from chassis.web import PageRequest
from services.jobs.domain.search import JobQuery, JobSort, plain_words
from services.jobs.schemas.fields import JobKind, QueryCents

_INTEGER = re.compile(r"[0-9]{1,18}", re.ASCII)

SkillsText = Annotated[str, StringConstraints(max_length=1_000)]


def _query_of(
    *,
    q: Annotated[str | None, Query(max_length=200, description='Words; `"a phrase"`, `or`, `-not`')] = None,
    skills: Annotated[
        list[SkillsText] | None, Query(max_length=20, description="All of these; repeated or separated by commas")
    ] = None,
    kind: Annotated[JobKind | None, Query()] = None,
    rate_min_cents: Annotated[QueryCents | None, Query(description="The job pays at least this at its best")] = None,
    rate_max_cents: Annotated[QueryCents | None, Query(description="The job's lowest rate is at most this")] = None,
    sort: Annotated[JobSort, Query(description="`relevance` needs q")] = JobSort.NEWEST,
) -> JobQuery:
    wanted = tuple(part.strip() for text in skills or () for part in text.split(",") if part.strip())
    return JobQuery(
        text=plain_words(q) if q and not q.isspace() else None,
        skills=wanted,
        kind=kind,
        rate_min_cents=rate_min_cents,
        rate_max_cents=rate_max_cents,
        sort=sort,
    )


JobQueryDep = Annotated[JobQuery, Depends(_query_of)]
"""`q skills kind rate_min_cents rate_max_cents sort`."""

_KEYS: dict[JobSort, Callable[[Any], Sequence[object]]] = {
    JobSort.NEWEST: lambda row: (row.opened_at, row.id),
    JobSort.OLDEST: lambda row: (row.opened_at, row.id),
    JobSort.RATE_HIGH: lambda row: (row.rate_max_cents, row.id),
    JobSort.RATE_LOW: lambda row: (row.rate_min_cents, row.id),
    JobSort.RELEVANCE: lambda row: (row.anchor, row.rank, row.id),
}


def key_of(sort: JobSort) -> Callable[[Any], Sequence[object]]:
    """Where a row stands in this order."""
    return _KEYS[sort]


def position_of(paging: PageRequest, sort: JobSort) -> tuple[Any, ...] | None:
    """The page's position in this order.

    Raises: BadRequest `bad_page` when the cursor is not of a list in this order.
    """
    if paging.after is None:
        return None
    if sort in {JobSort.NEWEST, JobSort.OLDEST}:
        return paging.after_time_id()
    if len(paging.after) != (3 if sort is JobSort.RELEVANCE else 2):
        raise _bad_cursor()
    *first, number, job_id = paging.after
    if not _INTEGER.fullmatch(number):
        raise _bad_cursor()
    anchored = PageRequest(limit=paging.limit, after=(*first, job_id)) if first else None
    moment = anchored.after_time_id() if anchored else None
    try:
        return (*(moment or ())[:1], int(number), UUID(job_id))
    except ValueError as error:
        raise _bad_cursor() from error


def _bad_cursor() -> BadRequest:
    return BadRequest("cursor is what next_cursor of the same list gave", code="bad_page")

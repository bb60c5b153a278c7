"""The search for open jobs: conditions and order on the narrow table, whole jobs only for one page."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from chassis.db import Session
from services.jobs.domain.search import RANKED_MATCHES, JobQuery, JobSort, skill_keys
from services.jobs.models import job_search, jobs
from services.jobs.repository.parties import Row, typed

_ENGLISH: sa.ColumnElement[Any] = sa.literal_column("'english'::regconfig")

_ORDERS: dict[JobSort, tuple[sa.Column[Any], bool]] = {
    JobSort.NEWEST: (job_search.c.opened_at, True),
    JobSort.OLDEST: (job_search.c.opened_at, False),
    JobSort.RATE_HIGH: (job_search.c.rate_max_cents, True),
    JobSort.RATE_LOW: (job_search.c.rate_min_cents, False),
}
"""What each order goes by, and whether it falls."""


def _weighed(text: str, weight: str) -> sa.ColumnElement[Any]:
    return sa.func.setweight(sa.func.to_tsvector(_ENGLISH, text), sa.literal_column(f"'{weight}'"))


async def index_job(session: Session, job: Row) -> None:
    """Make an open job found by what it says now."""
    words = _weighed(job.title, "A").op("||")(_weighed(" ".join(job.skills), "B"))
    values = {
        "opened_at": job.opened_at,
        "kind": job.kind,
        "rate_min_cents": job.rate_min_cents,
        "rate_max_cents": job.rate_max_cents,
        "skill_keys": list(skill_keys(job.skills)),
        "tsv": words.op("||")(_weighed(job.description, "C")),
    }
    statement = insert(job_search).values(job_id=job.id, **values)
    await session.execute(statement.on_conflict_do_update(index_elements=["job_id"], set_=values))


async def unindex_job(session: Session, job: Row) -> None:
    """Let no search find the job any more."""
    await session.execute(sa.delete(job_search).where(job_search.c.job_id == job.id))


def _conditions(query: JobQuery) -> list[sa.ColumnElement[bool]]:
    wanted: list[sa.ColumnElement[bool]] = []
    if query.text is not None:
        wanted.append(job_search.c.tsv.bool_op("@@")(sa.func.websearch_to_tsquery(_ENGLISH, query.text)))
    if query.skills:
        wanted.append(job_search.c.skill_keys.contains(list(skill_keys(query.skills))))
    if query.kind is not None:
        wanted.append(job_search.c.kind == query.kind)
    if query.rate_min_cents is not None:
        wanted.append(job_search.c.rate_max_cents >= query.rate_min_cents)
    if query.rate_max_cents is not None:
        wanted.append(job_search.c.rate_min_cents <= query.rate_max_cents)
    return wanted


async def search_jobs(session: Session, query: JobQuery, *, limit: int, after: tuple[Any, ...] | None) -> Sequence[Row]:
    """Up to `limit` open jobs behind the position `after`, which is (value of the order, job id)."""
    column, falling = _ORDERS[query.sort]
    order = (column, job_search.c.job_id)
    statement = sa.select(jobs).join(job_search, job_search.c.job_id == jobs.c.id).where(*_conditions(query))
    if after is not None:
        here, there = sa.tuple_(*order), typed(order, after)
        statement = statement.where(here < there if falling else here > there)
    statement = statement.order_by(*(part.desc() if falling else part.asc() for part in order))
    return (await session.execute(statement.limit(limit))).all()


async def rank_jobs(session: Session, query: JobQuery, *, limit: int, after: tuple[Any, ...] | None) -> Sequence[Row]:
    """Up to `limit` open jobs, most relevant first, among the newest matches; each row has `rank` and `anchor`.

    `after` is (anchor, rank, job id): the anchor keeps jobs that open meanwhile out of the later pages.
    """
    matches = sa.select(job_search.c.job_id, job_search.c.opened_at, job_search.c.tsv).where(*_conditions(query))
    if after is not None:
        matches = matches.where(job_search.c.opened_at <= after[0])
    newest = (
        matches.order_by(job_search.c.opened_at.desc(), job_search.c.job_id.desc()).limit(RANKED_MATCHES).subquery()
    )
    relevance = sa.func.ts_rank_cd(newest.c.tsv, sa.func.websearch_to_tsquery(_ENGLISH, query.text))
    ranked = sa.select(
        newest.c.job_id,
        sa.cast(sa.func.floor(relevance * 1_000_000), sa.BigInteger).label("rank"),
        sa.func.max(newest.c.opened_at).over().label("anchor"),
    ).subquery()
    order = (ranked.c.rank, ranked.c.job_id)
    statement = sa.select(jobs, ranked.c.rank, ranked.c.anchor).join(ranked, ranked.c.job_id == jobs.c.id)
    if after is not None:
        statement = statement.where(sa.tuple_(*order) < typed(order, after[1:]))
    return (await session.execute(statement.order_by(*(part.desc() for part in order)).limit(limit))).all()

"""A small service on the chassis, for the chassis' own tests."""

from typing import Annotated
from uuid import UUID

import sqlalchemy as sa
from fastapi import FastAPI, Query, Request, Response

from chassis.app import Service, create_app
from chassis.auth import AdminDep, CallerDep, MaybeCallerDep, TokenSource
from chassis.bus_memory import MemoryBus
from chassis.clock import Timestamp, utc_now
from chassis.db import Moment, Session, WeiColumn, new_metadata
from chassis.errors import NotFound
from chassis.ids import new_id
from chassis.money import AmountCents, PositiveWei, Wei
from chassis.outbox import publish
from chassis.settings import ServiceSettings
from chassis.tables import attach_chassis_tables
from chassis.web import (
    Page,
    Paging,
    ReadModel,
    SessionDep,
    StrictModel,
    check_if_match,
    created,
    etag_of,
    idempotency_ignored,
    idempotency_required,
    new_router,
    page_of,
    problems,
)
from events.jobs import JobClosed

metadata = new_metadata()
attach_chassis_tables(metadata)
notes = sa.Table(
    "notes",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("owner_id", sa.Uuid, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("amount_wei", WeiColumn, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("checked", sa.Integer, nullable=True),
    # fails at COMMIT, not at the statement: what a late failure looks like
    sa.ForeignKeyConstraint(["checked"], ["numbers.id"], deferrable=True, initially="DEFERRED"),
)
numbers = sa.Table("numbers", metadata, sa.Column("id", sa.Integer, primary_key=True))


class NoteCreate(StrictModel):
    text: str
    amount_cents: AmountCents = 1
    amount_wei: PositiveWei = 1
    fail_at_commit: bool = False


class NoteRead(ReadModel):
    id: UUID
    text: str
    amount_wei: Wei
    created_at: Timestamp


router = new_router("notes")


async def _insert(session: Session, owner_id: UUID, body: NoteCreate) -> sa.Row[tuple[object, ...]]:
    values = {
        "id": new_id(),
        "owner_id": owner_id,
        "text": body.text,
        "amount_wei": body.amount_wei,
        "created_at": utc_now(),
        "checked": 1 if body.fail_at_commit else None,
    }
    row = (await session.execute(sa.insert(notes).values(values).returning(notes))).one()
    publish(session, JobClosed(job_id=row.id, client_id=owner_id, closed_at=row.created_at))
    return row


@router.post("/v1/notes", status_code=201, operation_id="create_note", responses=problems(401))
async def create_note(session: SessionDep, caller: CallerDep, body: NoteCreate, response: Response) -> NoteRead:
    row = await _insert(session, caller.member_id, body)
    created(response, f"/v1/notes/{row.id}")
    return NoteRead.model_validate(row)


@router.post("/v1/payments", status_code=201, operation_id="create_payment")
@idempotency_required
async def create_payment(session: SessionDep, caller: CallerDep, body: NoteCreate) -> NoteRead:
    return NoteRead.model_validate(await _insert(session, caller.member_id, body))


@router.post("/v1/sessions", status_code=201, operation_id="create_session")
@idempotency_ignored
async def create_session(session: SessionDep, caller: MaybeCallerDep, body: NoteCreate) -> NoteRead:
    owner = caller.member_id if caller else new_id()
    return NoteRead.model_validate(await _insert(session, owner, body))


@router.get("/v1/notes/{note_id}", operation_id="read_note", responses=problems(404))
async def read_note(session: SessionDep, note_id: UUID, request: Request, response: Response) -> NoteRead:
    row = (await session.execute(sa.select(notes).where(notes.c.id == note_id))).one_or_none()
    if row is None:
        raise NotFound
    etag = etag_of(row.id, row.text)
    check_if_match(request, etag)
    response.headers["ETag"] = etag
    return NoteRead.model_validate(row)


@router.post("/v1/notes/{note_id}/blank", operation_id="blank_note", responses=problems(401, 404))
async def blank_note(session: SessionDep, note_id: UUID, caller: CallerDep) -> NoteRead:
    mine = sa.update(notes).where(notes.c.id == note_id, notes.c.owner_id == caller.member_id)
    row = (await session.execute(mine.values(text="").returning(notes))).one_or_none()
    if row is None:
        raise NotFound
    return NoteRead.model_validate(row)


@router.get("/v1/notes", operation_id="list_notes", responses=problems())
async def list_notes(session: SessionDep, paging: Paging, q: Annotated[str | None, Query()] = None) -> Page[NoteRead]:
    statement = sa.select(notes).order_by(notes.c.id).limit(paging.limit + 1)
    if after := paging.after_id():
        statement = statement.where(notes.c.id > after)
    if q is not None:
        statement = statement.where(notes.c.text == q)
    rows, cursor = page_of((await session.execute(statement)).all(), paging, key=lambda row: (row.id,))
    return Page(items=[NoteRead.model_validate(row) for row in rows], next_cursor=cursor)


@router.get("/v1/faults", operation_id="fault")
async def fault() -> None:
    raise RuntimeError("a secret that must not leave")


@router.get("/v1/admin", operation_id="admin")
async def admin(caller: AdminDep) -> dict[str, str]:
    return {"id": str(caller.member_id)}


internal = new_router("internal")


@internal.get("/secret", operation_id="secret")
async def secret() -> dict[str, str]:
    return {"answer": "42"}


def sample_app(dsn: str, source: TokenSource) -> FastAPI:
    service = Service("sample", ServiceSettings, metadata, routers=[router], internal_routers=[internal])
    settings = ServiceSettings(database_url=dsn, environment="test", internal_secret="s" * 40, log_level="CRITICAL")
    return create_app(service, settings=settings, token_source=source, bus=MemoryBus())

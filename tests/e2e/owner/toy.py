"""A small API with everything the owner matrix looks for, and a switch for each fault it has to find."""

from typing import Annotated, Any

import httpx
from fastapi import Body, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict

from tests.e2e.owner.model import Actor, Answer, Resource, Secret, Sent, World
from tests.e2e.owner.rules import Rules

ADA, EVE = "0192f3a4-5b6c-7d8e-9f00-00000000ada0", "0192f3a4-5b6c-7d8e-9f00-00000000e4e0"
NOTE, SECOND, EVES = (f"0192f3a4-5b6c-7d8e-9f00-{number:012d}" for number in (1, 2, 3))
SECRET = "zqprivate"

Credentials = Annotated[
    HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False, scheme_name="bearer"))
]


class NoteCreate(BaseModel):
    """A note to write."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"text": "Hello."}]})

    text: str


class Lenient(NoteCreate):
    """The same, believing everything."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [{"text": "Hello."}]})


class Toy:
    """Notes, which are their owner's alone. `faults` are what is wrong with it."""

    def __init__(self, *faults: str) -> None:
        self.faults = faults
        self.notes = {
            NOTE: {"id": NOTE, "owner": ADA, "text": SECRET, "status": "new"},
            SECOND: {"id": SECOND, "owner": ADA, "text": SECRET, "status": "new"},
            EVES: {"id": EVES, "owner": EVE, "text": "eve", "status": "new"},
        }
        self.kept: dict[str, Any] = {}
        self.app = FastAPI()
        self.app.add_exception_handler(RequestValidationError, _invalid)
        self.app.add_exception_handler(HTTPException, self._refused)
        self._serve()

    def has(self, fault: str) -> bool:
        return fault in self.faults

    async def send(self, sent: Sent) -> Answer:
        """The transport of the matrix."""
        headers = {"authorization": f"Bearer {sent.token}"} if sent.token else {}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://toy") as client:
            headers["idempotency-key"] = sent.key
            got = await client.request(sent.method, sent.target, json=sent.body, headers=headers)
        media_type = got.headers.get("content-type", "").partition(";")[0]
        return Answer(got.status_code, media_type, dict(got.headers), got.text)

    def caller(self, credentials: Credentials) -> str:
        """Dependency: who asks; a token is the member's id."""
        if credentials is not None:
            return credentials.credentials
        if self.has("lets anybody in"):
            return EVE
        raise HTTPException(401)

    def _mine(self, note_id: str, caller: str) -> dict[str, Any]:
        note = self.notes.get(note_id)
        if note is None:
            if self.has("breaks on what is unknown"):
                raise RuntimeError("no such note")
            raise HTTPException(404, "Not found")
        if note["owner"] != caller:
            if self.has("says that it exists"):
                raise HTTPException(404, "Not yours")
            raise HTTPException(403 if self.has("403 for what is hidden") else 404, "Not found")
        return note

    def _serve(self) -> None:
        app, Caller = self.app, Annotated[str, Depends(self.caller)]  # noqa: N806 - a type
        body_type = Lenient if self.has("believes an extra field") else NoteCreate

        @app.get("/v1/notes/{note_id}", operation_id="get_note")
        async def get_note(note_id: str, who: Caller) -> Any:
            if self.has("shows it to anybody") and note_id in self.notes:
                return self.notes[note_id]
            return self._mine(note_id, who)

        @app.get("/v1/notes", operation_id="list_notes")
        async def list_notes(
            *,
            request: Request,
            response: Response,
            who: Caller,
            limit: Annotated[int, Query()] = 20,
            cursor: Annotated[str | None, Query()] = None,
            note_id: Annotated[str | None, Query()] = None,
        ) -> Any:
            if self.has("leaks in a header"):
                response.headers["x-debug"] = SECRET
            if self.has("believes ?member_id"):
                who = ADA if "member_id" in request.query_params else who
            if cursor is not None and self.has("believes a cursor"):
                who = ADA
            mine = [one for one in self.notes.values() if one["owner"] == who or self.has("lists everything")]
            if note_id is not None:
                everybody = self.notes.values() if self.has("believes a reference") else mine
                mine = [one for one in everybody if one["id"] == note_id]
            return {"items": mine[:limit], "next_cursor": mine[limit - 1]["id"] if len(mine) > limit else None}

        @app.post("/v1/notes/{note_id}/copy", operation_id="copy_note", status_code=201)
        async def copy_note(
            note_id: str,
            who: Caller,
            body: Annotated[body_type, Body()],
            request: Request,  # type: ignore[valid-type]
        ) -> Any:
            key = request.headers["idempotency-key"]
            if self.has("one key for all") and key in self.kept:
                return self.kept[key]
            if self.has("does it first") and note_id in self.notes:
                self.notes[note_id]["status"] = "copied"
            self.kept[key] = self._mine(note_id, who)
            return {**self.kept[key], **body.model_dump()}

        @app.post("/v1/proofs", operation_id="prove", status_code=201)
        async def prove(body: NoteCreate) -> Any:
            known = body.text == SECRET and self.has("knows who it is")
            raise HTTPException(401, "Wrong password" if known else "Wrong name or password")

    async def _refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        media_type = "text/plain" if self.has("refuses in plain text") else "application/problem+json"
        return _problem(error.status_code, str(error.detail), media_type=media_type)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _problem(422, "Invalid", errors=[{"loc": list(one["loc"])} for one in error.errors()])


def _problem(status: int, detail: str, *, media_type: str = "application/problem+json", **more: Any) -> Response:
    body = {"status": status, "detail": detail, "instance": "", "request_id": "", **more}
    return JSONResponse(body, status, media_type=media_type)


RULES = Rules(
    changes={"copy_note": ("owner",), "prove": ("proof",)},
    unproven={"prove": 401},
    references={("list_notes", "note_id"): frozenset({200})},
)


async def world(toy: Toy) -> World:
    """Ada, whose notes are asked for, and Eve."""
    mine = {"owner": ADA}
    resources = [Resource("note_id", one, mine, frozenset({ADA}), "new") for one in (NOTE, SECOND)]
    first = Sent("POST", f"/v1/notes/{NOTE}/copy", {"text": "Hello."}, ADA, "a-key")
    assert (await toy.send(first)).status == 201
    return World(
        actors=[Actor("anonymous"), Actor("Ada", ADA, token=ADA, owns=True), Actor("Eve", EVE, token=EVE)],
        resources={"note_id": resources},
        secrets=[Secret(SECRET, frozenset({ADA}))],
        references={"note_id": (NOTE, frozenset({ADA}))},
        posted=[(ADA, first)],
        credentials=[("prove", {"text": SECRET}, "nobody"), ("prove", {"text": "nobody"}, "nobody")],
    )

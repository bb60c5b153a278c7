"""One document from several services' applications."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Security
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field

from chassis.openapi import describe
from chassis.problems import problems
from gateway.merge import merge, to_bytes
from gateway.table import RouteTable, operations_of
from scripts import openapi

ROOT = Path(__file__).resolve().parent.parent.parent


def application(title: str, *routers: APIRouter) -> dict[str, Any]:
    app = FastAPI(title=title, openapi_tags=[{"name": "things", "description": "Things."}])
    for router in routers:
        app.include_router(router)
    describe(app)
    return app.openapi()


UNCALLED = "only this application's document is read"


def jobs() -> dict[str, Any]:
    router = APIRouter(tags=["things"])

    class Detail(BaseModel):
        text: str

    class Thing(BaseModel):
        detail: Detail
        note: str | None = Field(examples=[None])

    class Create(BaseModel):
        name: str

    @router.post("/v1/things", operation_id="create_thing", responses=problems(409))
    async def create(body: Create, _: object = Security(HTTPBearer(scheme_name="bearer"))) -> Thing:
        raise AssertionError(UNCALLED)

    @router.get("/v1/things/{thing_id}", operation_id="get_thing", summary="A thing", responses=problems(404))
    async def get(thing_id: str) -> Thing:
        raise AssertionError(UNCALLED)

    @router.get("/internal/things", operation_id="internal_things")
    async def internal() -> None:
        raise AssertionError(UNCALLED)

    return application("jobs", router)


def identity(*, operation_id: str = "create_session", path: str = "/v1/sessions") -> dict[str, Any]:
    router = APIRouter(tags=["sessions"])

    class Detail(BaseModel):
        number: int

    class Thing(BaseModel):
        detail: Detail
        note: str | None

    class Create(BaseModel):
        name: str

    @router.post(path, operation_id=operation_id, responses=problems(409))
    async def create(body: Create) -> Thing:
        raise AssertionError(UNCALLED)

    return application("identity", router)


def test_every_operation_names_its_service_its_security_and_its_errors() -> None:
    merged = merge({"identity": identity(), "jobs": jobs()})
    assert merged["openapi"] == "3.1.0"
    assert list(merged["paths"]) == ["/v1/sessions", "/v1/things", "/v1/things/{thing_id}"]
    login, create = (merged["paths"][path]["post"] for path in ("/v1/sessions", "/v1/things"))
    assert (login["x-service"], login["security"]) == ("identity", [])
    assert (create["x-service"], create["security"]) == ("jobs", [{"bearer": []}])
    assert "401" in create["responses"]
    assert "401" not in login["responses"]
    for item in merged["paths"].values():
        for operation in item.values():
            for status, response in operation["responses"].items():
                if status[0] in "45":
                    name = response.get("$ref", "").rpartition("/")[2]
                    found = merged["components"]["responses"][name] if name else response
                    assert list(found["content"]) == ["application/problem+json"], (operation["operationId"], status)
    assert {tag["name"] for tag in merged["tags"]} == {"sessions", "things"}
    assert all(tag["description"] for tag in merged["tags"])


def test_components_that_differ_are_separated_and_equal_ones_shared() -> None:
    merged = merge({"identity": identity(), "jobs": jobs()})
    schemas = merged["components"]["schemas"]
    assert {"JobsDetail", "IdentityDetail", "JobsThing", "IdentityThing", "Problem", "Create"} <= set(schemas)
    assert not {"Detail", "Thing", "JobsProblem", "JobsCreate"} & set(schemas)
    assert schemas["JobsThing"]["properties"]["detail"] == {"$ref": "#/components/schemas/JobsDetail"}
    text = json.dumps(merged)
    for reference in {part.split('"')[0] for part in text.split('"$ref": "#/components/schemas/')[1:]}:
        assert reference in schemas


def test_the_same_input_gives_the_same_bytes() -> None:
    assert to_bytes(merge({"jobs": jobs(), "identity": identity()})) == to_bytes(
        merge({"jobs": jobs(), "identity": identity()})
    )


def test_two_claims_are_an_error() -> None:
    with pytest.raises(ValueError, match="already the id of"):
        merge({"identity": identity(operation_id="get_thing"), "jobs": jobs()})
    with pytest.raises(ValueError, match="belongs to identity already"):
        merge({"identity": identity(path="/v1/things"), "jobs": jobs()})
    with pytest.raises(ValueError, match="snake_case"):
        merge({"identity": identity(operation_id="createSession")})
    other = jobs()
    other["components"]["securitySchemes"]["bearer"]["description"] = "another"
    third = {**jobs(), "paths": {}}
    with pytest.raises(ValueError, match="securitySchemes bearer differently"):
        merge({"jobs": other, "rewards": third})


def test_the_table_is_built_from_the_merged_document() -> None:
    table = RouteTable(operations_of(merge({"identity": identity(), "jobs": jobs()})))
    assert table.find(b"/internal/things") is None
    operations = table.find(b"/v1/things/1")
    assert operations is not None
    assert operations["GET"].service == "jobs"


def test_the_committed_document_is_what_the_services_say() -> None:
    document = json.loads(openapi.GOLDEN.read_bytes())
    assert {operation.service for operation in operations_of(document)} == set(openapi.SERVICES)
    done = subprocess.run(
        [sys.executable, "-m", "scripts.openapi", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stale_document_and_a_service_that_cannot_be_imported_are_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = openapi.ROOT / "gateway" / "openapi.json"
    monkeypatch.setattr(openapi, "GOLDEN", openapi.ROOT / "gateway" / "settings.py")
    assert openapi.main(["--check"]) == 1
    assert "is stale; run `make openapi`" in capsys.readouterr().err
    monkeypatch.setattr(openapi, "SERVICES", ("nothing",))
    monkeypatch.setattr(openapi, "build_document", lambda: openapi.merge({"x": openapi.document_of("nothing")}))
    assert openapi.main([]) == 1
    error = capsys.readouterr().err
    assert error.startswith("openapi: services/nothing: ModuleNotFoundError")
    assert error.count("\n") == 1
    assert stale.exists()

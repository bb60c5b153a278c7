"""The HTTP contract: what was released stays, and the comparison that says so sees what it must."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from scripts.openapi import GOLDEN, RELEASED
from scripts.openapi_compat import breaking_changes

Document = dict[str, Any]


def test_the_current_document_breaks_nothing_that_was_released() -> None:
    assert breaking_changes(json.loads(RELEASED.read_bytes()), json.loads(GOLDEN.read_bytes())) == []


def schemas(document: Document) -> Document:
    found: Document = document["components"]["schemas"]
    return found


def job(document: Document) -> Document:
    found: Document = document["paths"]["/v1/jobs/{job_id}"]["get"]
    return found


def create(document: Document) -> Document:
    found: Document = document["paths"]["/v1/jobs"]["post"]
    return found


def add_path(document: Document) -> None:
    document["paths"]["/v1/new"] = {"get": {"operationId": "new", "responses": {"200": {"description": "ok"}}}}


def add_method(document: Document) -> None:
    document["paths"]["/v1/jobs/{job_id}"]["delete"] = {"operationId": "drop_job", "responses": {}}


def add_answer_field(document: Document) -> None:
    schemas(document)["JobRead"]["properties"]["remote"] = {"type": "boolean"}
    schemas(document)["JobRead"]["required"].append("remote")


def add_optional_request_field(document: Document) -> None:
    schemas(document)["JobCreate"]["properties"]["remote"] = {"type": "boolean"}


def add_optional_parameter(document: Document) -> None:
    job(document).setdefault("parameters", []).append({"name": "lang", "in": "query", "schema": {"type": "string"}})


def add_error(document: Document) -> None:
    job(document)["responses"]["410"] = {"description": "Gone"}


def rename_a_schema(document: Document) -> None:
    text = json.dumps(document).replace("#/components/schemas/JobRead", "#/components/schemas/JobView")
    renamed = json.loads(text)
    renamed["components"]["schemas"]["JobView"] = renamed["components"]["schemas"].pop("JobRead")
    document.clear()
    document.update(renamed)


@pytest.mark.parametrize(
    "change",
    [
        add_path,
        add_method,
        add_answer_field,
        add_optional_request_field,
        add_optional_parameter,
        add_error,
        rename_a_schema,
    ],
)
def test_an_addition_passes(change: Callable[[Document], None]) -> None:
    old = json.loads(GOLDEN.read_bytes())
    new = copy.deepcopy(old)
    change(new)
    assert new != old
    assert breaking_changes(old, new) == []


BREAKING: dict[str, Callable[[Document], Any]] = {
    "GET /v1/jobs/{job_id} is gone": lambda d: d["paths"].pop("/v1/jobs/{job_id}"),
    "POST /v1/jobs is gone": lambda d: d["paths"]["/v1/jobs"].pop("post"),
    "operation id get_job became fetch_job": lambda d: job(d).update(operationId="fetch_job"),
    "needs a token now": lambda d: job(d).update(security=[{"bearer": []}]),
    "no longer answers 200": lambda d: job(d)["responses"].update({"202": job(d)["responses"].pop("200")}),
    "parameter job_id is gone": lambda d: job(d).update(parameters=[]),
    "parameter lang is required now": lambda d: job(d)["parameters"].append(
        {"name": "lang", "in": "query", "required": True, "schema": {"type": "string"}}
    ),
    ".title is gone": lambda d: schemas(d)["JobRead"]["properties"].pop("title"),
    ".title may be missing now": lambda d: schemas(d)["JobRead"]["required"].remove("title"),
    ".title: string became integer": lambda d: schemas(d)["JobRead"]["properties"]["title"].update(type="integer"),
    ".created_at: string date-time became string": lambda d: schemas(d)["JobRead"]["properties"]["created_at"].pop(
        "format"
    ),
    ".remote is required now": lambda d: (
        schemas(d)["JobCreate"]["properties"].update(remote={"type": "boolean"}),
        schemas(d)["JobCreate"]["required"].append("remote"),
    ),
    "takes fewer values now": lambda d: schemas(d)["JobCreate"]["properties"]["kind"].update(enum=["fixed"]),
    "may answer other values now": lambda d: schemas(d)["JobRead"]["properties"]["kind"].update(
        enum=["fixed", "hourly", "other"]
    ),
}


@pytest.mark.parametrize("expected", BREAKING)
def test_a_breaking_change_is_named(expected: str) -> None:
    old = json.loads(GOLDEN.read_bytes())
    new = copy.deepcopy(old)
    BREAKING[expected](new)
    found = breaking_changes(old, new)
    assert any(expected in line for line in found), found


def test_recursive_schemas_end() -> None:
    node = {
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}}},
    }
    answer = {"description": "ok", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Node"}}}}
    old = {
        "paths": {"/v1/tree": {"get": {"operationId": "tree", "responses": {"200": answer}}}},
        "components": {"schemas": {"Node": node}},
    }
    new = copy.deepcopy(old)
    assert breaking_changes(old, new) == []
    new["components"]["schemas"]["Node"]["properties"]["children"]["type"] = "object"  # type: ignore[index]
    assert len(breaking_changes(old, new)) == 1

"""Every answer of the document has an example, and every example is what the document says."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from gateway.merge import merge
from scripts.openapi import EXAMPLES, GOLDEN

DOCUMENT: dict[str, Any] = json.loads(GOLDEN.read_bytes())
RECORDED: dict[str, dict[str, Any]] = json.loads(EXAMPLES.read_bytes())
NOBODY_CAN_YET = {"create_onchain_vote 202"}
"""What no running network can answer today: the Governor has no proposal to vote on."""


def contents() -> Iterator[tuple[str, dict[str, Any]]]:
    """What each good answer carries, by operation id and status."""
    for item in DOCUMENT["paths"].values():
        for operation in item.values():
            for status, answer in operation["responses"].items():
                for content in answer.get("content", {}).values() if status[0] == "2" else ():
                    yield f"{operation['operationId']} {status}", content


CONTENTS = dict(contents())


def faults(content: dict[str, Any]) -> list[str]:
    """What an example does that its schema forbids."""
    schema = {**content["schema"], "components": DOCUMENT["components"]}
    found = Draft202012Validator(schema, format_checker=FormatChecker()).iter_errors(content["example"])
    return [f"{error.json_path}: {error.message}" for error in found]


def bodies() -> Iterator[tuple[str, dict[str, Any]]]:
    """The JSON bodies that operations take, by operation id."""
    for item in DOCUMENT["paths"].values():
        for operation in item.values():
            if "requestBody" in operation:
                yield operation["operationId"], operation["requestBody"]["content"]["application/json"]["schema"]


def test_every_answer_has_an_example() -> None:
    assert len(CONTENTS) > 70
    assert {name for name, content in CONTENTS.items() if "example" not in content} == NOBODY_CAN_YET


@pytest.mark.parametrize("name", sorted(set(CONTENTS) - NOBODY_CAN_YET))
def test_an_example_is_what_its_schema_says(name: str) -> None:
    assert faults(CONTENTS[name]) == []


@pytest.mark.parametrize("field", ["id", "member_id", "expires_in"])
def test_a_fault_shows(field: str) -> None:
    content = copy.deepcopy(CONTENTS["create_session 201"])
    content["example"][field] = "nonsense"
    assert len(faults(content)) == 1
    del content["example"][field]
    assert len(faults(content)) == 1


def test_no_example_is_of_an_answer_that_is_not_there() -> None:
    known = {f"{operation_id} {status}" for operation_id, answers in RECORDED.items() for status in answers}
    assert known <= CONTENTS.keys()


def test_every_body_has_an_example_that_its_schema_allows() -> None:
    found = dict(bodies())
    assert len(found) > 20
    for operation_id, schema in found.items():
        variants = [variant for variant in schema.get("anyOf", [schema]) if "$ref" in variant]
        for variant in variants:
            named = DOCUMENT["components"]["schemas"][variant["$ref"].rpartition("/")[2]]
            assert named["examples"], operation_id
            for example in named["examples"]:
                assert faults({"schema": variant, "example": example}) == [], operation_id


def test_pages_show_something() -> None:
    pages = {
        name: content["example"]["items"] for name, content in CONTENTS.items() if "Page_" in str(content["schema"])
    }
    assert len(pages) > 10
    assert [name for name, items in pages.items() if not items] == []


def test_what_is_not_in_the_documents_is_left_out() -> None:
    answer = {"description": "It is so.", "content": {"application/json": {"schema": {"type": "object"}}}}
    documents = {
        "jobs": {"paths": {"/v1/things": {"get": {"operationId": "list_things", "responses": {"200": answer}}}}}
    }
    merged = merge(documents, examples={"list_things": {"200": {"a": 1}, "201": {}}, "unknown": {"200": {}}})
    answers = merged["paths"]["/v1/things"]["get"]["responses"]
    assert answers["200"]["content"]["application/json"]["example"] == {"a": 1}
    assert "201" not in answers

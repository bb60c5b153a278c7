"""That the owner matrix can fail: a small API, right at first, then with one fault after the other."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from tests.e2e.network import ROOT
from tests.e2e.owner.matrix import ask_everybody
from tests.e2e.owner.model import Actor, Answer, Secret
from tests.e2e.owner.oracle import Judge, leaks
from tests.e2e.owner.rules import NETWORK, Rules, Untold
from tests.e2e.owner.state import changes
from tests.e2e.owner.surface import operations
from tests.e2e.owner.toy import RULES, Toy, world

pytestmark = pytest.mark.unit


def document_of(toy: Toy) -> dict[str, Any]:
    return toy.app.openapi()


async def complaints_of(toy: Toy, rules: Rules = RULES, document: dict[str, Any] | None = None) -> list[str]:
    judge = Judge(await world(toy), toy.send)
    await ask_everybody(judge, rules, operations(document or document_of(toy)))
    assert judge.done.total() > 50
    return judge.complaints


async def test_nothing_is_wrong_with_what_is_right() -> None:
    assert await complaints_of(Toy()) == []


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("shows it to anybody", "get_note by Eve on note_id(new) [plain]: 200 instead of [404]"),
        ("shows it to anybody", "get_note by Eve on note_id(new) [plain]: leaks 'zqprivate'"),
        ("leaks in a header", "list_notes by Eve [plain]: leaks 'zqprivate'"),
        ("lists everything", "list_notes by Eve [plain]: leaks 'zqprivate'"),
        ("lets anybody in", "list_notes by anonymous [plain]: 200 instead of [401]"),
        ("403 for what is hidden", "copy_note by Eve on note_id(new) [plain]: 403 instead of [404]"),
        ("says that it exists", "copy_note by Eve on note_id(new) [plain]: differs from an unknown id"),
        ("breaks on what is unknown", "get_note by Eve [unknown id]: a fault: 500"),
        ("refuses in plain text", "the refusal is text/plain"),
        ("believes an extra field", "copy_note by Ada on note_id(new) [extra is_admin]: 201 instead of [422]"),
        ("believes ?member_id", "list_notes by Eve [extra query]: leaks 'zqprivate'"),
        ("believes ?member_id", "list_notes by Eve [extra query]: an extra field changes what is read"),
        ("believes a cursor", "list_notes by Eve [another's cursor]: leaks 'zqprivate'"),
        ("believes a reference", "list_notes by Eve [another's note_id]: the page has another's items"),
        ("one key for all", "copy_note by Eve on note_id(new) [another's key]: 201 instead of [404]"),
        ("knows who it is", "prove by Eve [another's proof]: tells wrong proofs apart"),
        ("does it first", "get_note by Ada on note_id(new) [plain]: what is read has changed"),
    ],
)
async def test_each_fault_is_found(fault: str, complaint: str) -> None:
    found = await complaints_of(Toy(fault))
    assert any(complaint in one for one in found), "\n".join(found[:20])


async def test_what_the_rules_do_not_tell_fails() -> None:
    with pytest.raises(Untold, match="copy_note changes something"):
        await complaints_of(Toy(), replace(RULES, changes={}))
    with pytest.raises(Untold, match="list_notes takes note_id"):
        await complaints_of(Toy(), replace(RULES, references={}))


def with_parameter(document: dict[str, Any], path: str, name: str, where: str) -> dict[str, Any]:
    extra = {"name": name, "in": where, "required": True, "schema": {"type": "string"}}
    document["paths"][path]["get"]["parameters"].append(extra)
    return document


@pytest.mark.parametrize(
    ("path", "name", "where", "says"),
    [
        ("/v1/notes", "tag_id", "path", "takes tag_id: the world of the owner matrix has none"),
        ("/v1/notes/{note_id}", "tag_id", "path", "more than one id"),
        ("/v1/notes", "filter", "query", r"needs \?filter="),
        ("/v1/notes", "account_id", "query", "needs|takes account_id"),
    ],
)
async def test_what_cannot_be_filled_fails(path: str, name: str, where: str, says: str) -> None:
    toy = Toy()
    with pytest.raises(Untold, match=says):
        await complaints_of(toy, document=with_parameter(document_of(toy), path, name, where))


async def test_a_body_without_an_example_and_one_that_sets_what_is_hostile_fail() -> None:
    toy = Toy()
    document = document_of(toy)
    schema = document["components"]["schemas"]["NoteCreate"]
    schema["properties"]["is_admin"] = {"type": "boolean"}
    with pytest.raises(Untold, match="copy_note takes is_admin in its body"):
        await complaints_of(toy, document=document)
    del schema["examples"]
    with pytest.raises(Untold, match="the body of copy_note has no example"):
        await complaints_of(toy, document=document)


def test_rows_that_go_change_or_come_are_told() -> None:
    before = {"jobs.bids": Counter(["a", "b"]), "jobs.jobs": Counter(["c"])}
    assert changes(before, before) == []
    assert changes(before, {**before, "jobs.bids": Counter(["a", "x"])}) == ["jobs.bids: 1 rows are gone or changed"]
    more = {**before, "jobs.jobs": Counter(["c", "d"])}
    assert changes(before, more) == ["jobs.jobs: 1 rows are new"]
    assert changes(before, more, frozenset({"jobs.jobs"})) == []


@pytest.mark.parametrize(("text", "found"), [('{"a":17}', 1), ('{"a":170}', 0), ('{"a":"x17"}', 0), ('{"a":17.5}', 1)])
def test_a_number_is_found_as_a_number(text: str, found: int) -> None:
    secret = Secret(17, frozenset({"ada"}))
    answer = Answer(200, "application/json", {}, text)
    assert len(leaks([secret], Actor("Eve", "eve"), "GET /", answer)) == found
    assert not leaks([secret], Actor("Ada", "ada"), "GET /", answer)
    assert not leaks([secret], Actor("Eve", "eve"), "GET /?a=17", answer), "who sent it knows it"


def test_every_rule_of_the_network_is_about_an_operation() -> None:
    known = {one.id for one in operations(json.loads((ROOT / "gateway" / "openapi.json").read_text()))}
    named = {
        *NETWORK.changes,
        *NETWORK.unproven,
        *NETWORK.public_reads,
        *NETWORK.token_ignored,
        *NETWORK.seen_when,
        *NETWORK.maybe_missing,
        *NETWORK.volatile,
        *NETWORK.one_page,
        *(operation for operation, _ in (*NETWORK.references, *NETWORK.known_fields, *NETWORK.bodies)),
    }
    assert named <= known, f"no operations: {named - known}"

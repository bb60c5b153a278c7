"""The route table."""

import json

import pytest

from gateway.app import DOCUMENT
from gateway.table import Operation, RouteTable, allowed, operations_of


def route(method: str, path: str, service: str = "jobs") -> Operation:
    return Operation(service, method, path, needs_token=False, ignores_token=False)


TABLE = RouteTable(
    [
        route("GET", "/v1/a/{id}"),
        route("POST", "/v1/a/{id}", "rewards"),
        route("GET", "/v1/a/me"),
        route("GET", "/v1/a/{id}/b/{other}"),
        route("GET", "/v1/a/me/c"),
        route("GET", "/.well-known/jwks.json"),
    ]
)


def found(path: str, method: str = "GET") -> str | None:
    operations = TABLE.find(path.encode())
    return operations[method].path if operations and method in operations else None


def test_a_literal_segment_goes_before_a_parameter_and_falls_back_to_it() -> None:
    assert found("/v1/a/1") == "/v1/a/{id}"
    assert found("/v1/a/me") == "/v1/a/me"
    assert found("/v1/a/me/c") == "/v1/a/me/c"
    assert found("/v1/a/me/b/2") == "/v1/a/{id}/b/{other}"
    assert found("/v1/a/1/c") is None
    assert found("/.well-known/jwks.json") == "/.well-known/jwks.json"


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/a", "/v1/a/", "/v1/a/1/", "/v1/a/1/b", "v1/a/1", "/v1/a/1/b//"])
def test_other_paths_are_unknown(path: str) -> None:
    assert TABLE.find(path.encode()) is None


@pytest.mark.parametrize(
    ("segment", "known"),
    [
        ("0192f3a4-7c1e-7000-8000-000000000000", True), ("0xAbC", True), ("a:b@c", True), ("a%20b", True),
        ("%C3%A4", True), ("%7B%7D", True), ("..a", True), ("...", True), (".", False), ("..", False),
        ("%2e", False), ("%2E%2e", False), (".%2e", False), ("%2f", False), ("a%2Fb", False), ("%5c", False),
        ("%00", False), ("%0a", False), ("%7f", False), ("%41", False), ("%7E", False), ("%", False), ("%2", False),
        ("%g0", False), ("\\", False), ("a b", False), ("\u00e4", False), ("%252e", True),
    ],
)  # fmt: skip
def test_a_parameter_is_one_segment_for_every_reader(segment: str, known: bool) -> None:
    assert (TABLE.find(f"/v1/a/{segment}".encode()) is not None) == known


def test_each_method_has_its_service_and_get_answers_head() -> None:
    operations = TABLE.find(b"/v1/a/1")
    assert operations is not None
    assert {method: operation.service for method, operation in operations.items()} == {"GET": "jobs", "POST": "rewards"}
    assert allowed(operations) == "GET, HEAD, POST"


def test_internal_paths_and_doubles_cannot_be_routed() -> None:
    with pytest.raises(ValueError, match="internal"):
        RouteTable([route("GET", "/internal/x")])
    with pytest.raises(ValueError, match="two operations"):
        RouteTable([route("GET", "/v1/a"), route("GET", "/v1/a", "rewards")])


def test_operations_come_from_the_document() -> None:
    secured = [{"bearer": []}]
    paths = {
        "/v1/sessions": {"post": {"x-service": "identity", "security": []}},
        "/v1/sessions/current": {"delete": {"x-service": "identity", "security": secured}},
        "/v1/jobs": {"get": {"x-service": "jobs", "security": []}, "parameters": []},
        "/v1/wallet-challenges": {"post": {"x-service": "identity", "security": [{}, *secured]}},
    }
    login, logout, search, challenge = operations_of({"paths": paths})
    assert (login.needs_token, login.ignores_token) == (False, True)
    assert (logout.needs_token, logout.ignores_token) == (True, False)
    assert (search.needs_token, search.ignores_token, search.service) == (False, False, "jobs")
    assert (challenge.needs_token, challenge.ignores_token) == (False, False)
    with pytest.raises(ValueError, match="names no service"):
        operations_of({"paths": {"/v1/x": {"get": {}}}})


def test_what_the_network_promises_to_anyone_needs_no_token() -> None:
    open_to_all = {
        f"{operation.method} {operation.path}"
        for operation in operations_of(json.loads(DOCUMENT.read_bytes()))
        if not operation.needs_token
    }
    assert open_to_all == {
        "POST /v1/members", "GET /v1/members/{member_id}", "POST /v1/sessions", "POST /v1/sessions/refresh",
        "POST /v1/sessions/wallet", "POST /v1/wallet-challenges", "GET /v1/wallet-challenges/{challenge_id}",
        "GET /.well-known/jwks.json", "GET /v1/jobs", "GET /v1/jobs/{job_id}", "GET /v1/token", "GET /v1/audit/supply",
        "GET /v1/audit/epochs", "GET /v1/audit/epochs/{epoch_number}",
        "GET /v1/rewards/{reward_id}/proof", "GET /v1/proposals", "GET /v1/proposals/{proposal_id}",
        "GET /v1/proposals/{proposal_id}/ballot", "GET /v1/proposals/{proposal_id}/results",
        "GET /v1/proposals/{proposal_id}/votes", "POST /v1/proposals/{proposal_id}/votes",
        "POST /v1/proposals/{proposal_id}/onchain-votes", "GET /v1/parameters", "GET /v1/parameters/history",
        "GET /v1/voting-power/{address}", "GET /v1/delegations/typed-data", "POST /v1/delegations",
    }  # fmt: skip

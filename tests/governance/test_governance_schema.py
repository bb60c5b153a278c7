"""The first parameters in the database, and what the service tells of itself."""

from typing import Any

from events.governance import GENESIS_PARAMETERS
from services.governance.app import build
from tests.governance.conftest import Running


async def test_version_0_in_the_database_is_the_genesis_set(service: Running) -> None:
    shown = (await service.client.get("/v1/parameters")).json()
    assert {item["name"]: int(item["value"]) for item in shown["items"]} == GENESIS_PARAMETERS
    assert shown["effective_at"] == "1970-01-01T00:00:00Z"


def operations() -> dict[str, dict[str, Any]]:
    paths = build().openapi()["paths"]
    return {f"{method.upper()} {path}": about for path, found in paths.items() for method, about in found.items()}


def test_every_call_of_the_interface_is_there() -> None:
    found = operations()
    assert set(found) == {
        "POST /v1/proposals",
        "GET /v1/proposals",
        "GET /v1/proposals/{proposal_id}",
        "GET /v1/proposals/{proposal_id}/ballot",
        "POST /v1/proposals/{proposal_id}/votes",
        "GET /v1/proposals/{proposal_id}/votes",
        "GET /v1/proposals/{proposal_id}/results",
        "POST /v1/proposals/{proposal_id}/onchain-votes",
        "GET /v1/parameters",
        "GET /v1/parameters/history",
        "GET /v1/voting-power/{address}",
        "GET /v1/delegations/typed-data",
        "POST /v1/delegations",
    }
    assert [name for name, about in found.items() if about.get("security")] == ["POST /v1/proposals"]

"""What any endpoint answers to requests that are not well-formed, and what the service says of itself."""

import pytest

from services.identity.app import build
from tests.identity.world import World, refused

BODIES = ["/v1/members", "/v1/sessions", "/v1/sessions/refresh", "/v1/sessions/wallet", "/v1/wallet-challenges"]
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("path", BODIES)
async def test_bodies_that_are_none(world: World, path: str) -> None:
    for raw in (
        b"{",
        b'{"email": NaN}',
        b'{"email": "a", "email": "b"}',
        b'"\xff"',
        b"[" * 5_000,
        b'{"email":"\\u0000"}',
    ):
        refused(await world.http.post(path, content=raw, headers=JSON), 400, "malformed_json")
    for raw in (b"null", b"[]", b"1", b"{}"):
        refused(await world.http.post(path, content=raw, headers=JSON), 422, "invalid_fields")
    text = await world.http.post(path, content=b"{}", headers={"Content-Type": "text/plain"})
    refused(text, 415, "unsupported_media_type")
    refused(await world.http.post(path, content=b" " * 300_000, headers=JSON), 413, "payload_too_large")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/v1/members", "POST"),
        ("POST", "/v1/members/me/payout-wallet", "GET, PUT"),
        ("PUT", "/v1/sessions/current", "GET, DELETE"),
        ("DELETE", "/v1/members/me/wallets", "GET, POST"),
    ],
)
async def test_methods_that_are_not_served(world: World, method: str, path: str, allow: str) -> None:
    answer = await world.http.request(method, path)
    refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allow


async def test_unknown_paths(world: World) -> None:
    for path in ("/v1/nothing", "/v1/members/", "//v1/members", "/v1/members/%00", "/v1/members/me/"):
        refused(await world.http.get(path), 404, "not_found")


@pytest.mark.unit
def test_every_operation_is_described() -> None:
    document = build().openapi()
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations) == 22
    assert all(operation["summary"] and operation["tags"] for operation in operations)
    assert not any(path.startswith("/internal") for path in document["paths"])
    unsecured = {operation["operationId"] for operation in operations if "security" not in operation}
    assert unsecured == {
        "register_member",
        "get_member",
        "create_session",
        "refresh_session",
        "create_wallet_session",
        "get_jwks",
    }

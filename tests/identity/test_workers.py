"""Background work: keys rotate, the first administrator exists, old things are forgotten."""

from datetime import timedelta

import pytest

from chassis.auth import jwt_header
from chassis.clock import utc_now
from chassis.testing import eventually
from services.identity.workers import ensure_admin, forget_old, rotate_keys
from tests.identity.conftest import ClientFor
from tests.identity.world import ADMIN_EMAIL, PASSWORD, World, identity_app, new_wallet


async def published(world: World) -> list[str]:
    return [key["kid"] for key in (await world.http.get("/.well-known/jwks.json")).json()["keys"]]


async def signing_kid(world: World) -> str:
    session = await world.log_in(ADMIN_EMAIL)
    return str(jwt_header(session["access_token"])["kid"])


async def pass_time(world: World, days: int) -> None:
    await world.fetch(f"UPDATE signing_keys SET signs_from = signs_from - interval '{days} days'")


async def test_keys_rotate(world: World) -> None:
    first = await published(world)
    assert await signing_kid(world) == first[0]
    await pass_time(world, 30)
    assert await signing_kid(world) == first[1]
    assert set(await published(world)) == set(first)
    await rotate_keys(world.context)
    second = await published(world)
    assert second[:2] == first
    assert len(second) == 3
    await world.fetch("UPDATE signing_keys SET signs_from = signs_from - interval '21 minutes'")
    await rotate_keys(world.context)
    assert await published(world) == second[1:]
    assert await signing_kid(world) == first[1]


async def test_an_old_token_outlives_the_rotation(world: World) -> None:
    person = await world.person()
    await pass_time(world, 30)
    await rotate_keys(world.context)
    assert (await world.http.get("/v1/members/me", headers=person.auth)).status_code == 200


async def test_two_processes_start_at_once_with_the_same_keys(identity_dsn: str, client_for: ClientFor) -> None:
    async with (
        client_for(identity_app(identity_dsn)) as one,
        client_for(identity_app(identity_dsn)) as other,
    ):
        keys = [(await http.get("/.well-known/jwks.json")).json() for http in (one, other)]
        assert keys[0] == keys[1]
        body = {"email": ADMIN_EMAIL, "password": PASSWORD}
        session = (await one.post("/v1/sessions", json=body)).json()
        headers = {"Authorization": f"Bearer {session['access_token']}"}
        assert (await other.get("/v1/members/me", headers=headers)).json()["roles"] == ["admin"]


async def test_another_key_secret_is_refused_at_start(world: World, client_for: ClientFor) -> None:
    app = identity_app(world.dsn, key_secret="another secret of more than thirty-two characters")
    with pytest.raises(ValueError, match="IDENTITY_KEY_SECRET"):
        async with client_for(app):
            pass


async def test_a_short_key_secret_is_refused_at_start(identity_dsn: str, client_for: ClientFor) -> None:
    with pytest.raises(ValueError, match="at least 32 characters"):
        async with client_for(identity_app(identity_dsn, key_secret="short")):
            pass


async def test_the_first_administrator(world: World) -> None:
    admin = await world.admin()
    assert admin.member["roles"] == ["admin"]
    assert [kind for kind, _ in await world.events(admin.id)] == ["identity.member.registered.v1"]
    await ensure_admin(world.context)
    assert len(await world.fetch("SELECT 1 FROM members")) == 1


async def test_no_administrator_unless_asked_for(identity_dsn: str, client_for: ClientFor) -> None:
    app = identity_app(identity_dsn, admin_email="", admin_password="")
    async with client_for(app) as http:
        assert await World(app, http, identity_dsn).fetch("SELECT 1 FROM members") == []


async def test_a_weak_administrators_password_is_refused_at_start(identity_dsn: str, client_for: ClientFor) -> None:
    with pytest.raises(ValueError, match="IDENTITY_ADMIN_PASSWORD"):
        async with client_for(identity_app(identity_dsn, admin_password="short")):
            pass


async def test_forgetting(world: World) -> None:
    person, other, admin = await world.person(), await world.person(), await world.admin()
    await world.signed("link", new_wallet(), person)
    assert (await world.http.delete("/v1/sessions/current", headers=person.auth)).status_code == 204
    await world.http.post(f"/v1/members/{other.id}/suspend", headers=admin.auth)
    await forget_old(world.context)
    assert len(await world.fetch("SELECT 1 FROM revocations")) == 3
    old = utc_now() - timedelta(minutes=21)
    await world.fetch("UPDATE revocations SET at = $1", old)
    await world.fetch("UPDATE sessions SET expires_at = now() - interval '2 days' WHERE ended_at IS NOT NULL")
    await world.fetch("UPDATE wallet_challenges SET expires_at = now() - interval '2 days'")
    await forget_old(world.context)
    assert [row["kind"] for row in await world.fetch("SELECT kind FROM revocations")] == ["member"]
    assert len(await world.fetch("SELECT 1 FROM sessions")) == 1
    assert len(await world.fetch("SELECT 1 FROM refresh_tokens")) == 1
    assert await world.fetch("SELECT 1 FROM wallet_challenges") == []


async def test_the_whole_service_publishes(identity_dsn: str, client_for: ClientFor) -> None:
    app = identity_app(identity_dsn, role="all")
    async with client_for(app) as http:
        world = World(app, http, identity_dsn)
        await world.context.bus.create_topics(["identity.member", "identity.referral"])
        await world.register()

        async def sent() -> bool:
            return await world.fetch("SELECT 1 FROM outbox") == []

        await eventually(sent)
        ready = await http.get("/readyz")
        assert ready.json()["checks"]["database"] == "ok"

"""Registration, profiles, roles, suspension, referrals."""

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from chassis.ids import new_id
from chassis.testing import eventually
from services.identity.service.members import suspend_member
from tests.identity.world import PASSWORD, World, refused


async def test_registering(world: World) -> None:
    body = world.body(email="Ada@Example.com", display_name="  Ada ", roles=["connector", "client", "client"])
    answer = await world.http.post("/v1/members", json=body)
    assert answer.status_code == 201
    member = answer.json()
    assert answer.headers["location"] == f"/v1/members/{member['id']}"
    assert set(member) == {
        "id", "status", "email", "display_name", "roles", "referral_code", "referred_by", "created_at",
    }  # fmt: skip
    assert UUID(member["id"]).version == 7
    assert member["email"] == "Ada@example.com"
    assert (member["display_name"], member["roles"]) == ("Ada", ["client", "connector"])
    assert (member["status"], member["referred_by"]) == ("active", None)
    assert member["created_at"].endswith("Z")
    assert "password" not in answer.text
    assert await world.events(member["id"]) == [
        (
            "identity.member.registered.v1",
            {
                "member_id": member["id"],
                "roles": ["client", "connector"],
                "connector_id": None,
                "registered_at": member["created_at"],
            },
        )
    ]


async def test_being_referred(world: World) -> None:
    connector = await world.person(roles=["connector"])
    code = connector.member["referral_code"].lower()
    referred = [await world.register(referral_code=code) for _ in range(3)]
    assert {member["referred_by"] for member in referred} == {connector.id}
    registered, attributed = await world.events(referred[0]["id"])
    assert registered[1]["connector_id"] == connector.id
    assert attributed == (
        "identity.referral.attributed.v1",
        {
            "member_id": referred[0]["id"],
            "connector_id": connector.id,
            "attributed_at": referred[0]["created_at"],
        },
    )
    first = (await world.http.get("/v1/referrals?limit=2", headers=connector.auth)).json()
    second = (
        await world.http.get(f"/v1/referrals?limit=2&cursor={first['next_cursor']}", headers=connector.auth)
    ).json()
    items = first["items"] + second["items"]
    assert [item["referred_member_id"] for item in items] == [member["id"] for member in referred]
    assert [item["attributed_at"] for item in items] == [member["created_at"] for member in referred]
    assert all(set(item) >= {"id", "status", "created_at"} for item in items)
    assert second["next_cursor"] is None


async def test_referrals_are_ones_own(world: World) -> None:
    connector, other = await world.person(), await world.person()
    await world.register(referral_code=connector.member["referral_code"])
    assert (await world.http.get("/v1/referrals", headers=other.auth)).json() == {"items": [], "next_cursor": None}
    refused(await world.http.get("/v1/referrals"), 401, "unauthorized")
    refused(await world.http.get("/v1/referrals?limit=0", headers=other.auth), 400, "bad_page")
    refused(await world.http.get("/v1/referrals?limit=101", headers=other.auth), 400, "bad_page")
    refused(await world.http.get("/v1/referrals?cursor=nonsense", headers=other.auth), 400, "bad_page")
    refused(await world.http.get("/v1/referrals?cursor=WyJ4Il0", headers=other.auth), 400, "bad_page")


async def test_attribution_cannot_be_changed_even_by_sql(world: World) -> None:
    connector = await world.person()
    await world.register(referral_code=connector.member["referral_code"])
    for statement in ("UPDATE referrals SET attributed_at = now()", "DELETE FROM referrals"):
        with pytest.raises(Exception, match="attribution is set once"):
            await world.fetch(statement)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "no address"),
        ("email", "a\u202eb@"),
        ("email", 5),
        ("email", None),
        ("email", "x" * 400 + "@example.com"),
        ("password", "eleven char"),
        ("password", "x" * 129),
        ("password", 123456789012),
        ("display_name", ""),
        ("display_name", "   "),
        ("display_name", "a\u0007b"),
        ("display_name", "x" * 81),
        ("display_name", None),
        ("roles", ["screener"]),
        ("roles", ["admin"]),
        ("roles", ["talent", "wizard"]),
        ("roles", "talent"),
        ("roles", None),
        ("roles", ["talent"] * 11),
        ("referral_code", 7),
        ("unknown", True),
        ("referred_by", "0192f3a4-5b6c-7d8e-9f00-112233445566"),
    ],
)
async def test_wrong_fields(world: World, field: str, value: Any) -> None:
    answer = await world.http.post("/v1/members", json=world.body(**{field: value}))
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert any(field in error["loc"] for error in problem["errors"])
    assert all(set(error) == {"loc", "msg", "type"} for error in problem["errors"])
    assert await world.fetch("SELECT 1 FROM members") == [(1,)]


async def test_missing_fields(world: World) -> None:
    for field in ("email", "password", "display_name", "roles"):
        body = world.body()
        del body[field]
        assert (await world.http.post("/v1/members", json=body)).status_code == 422


@pytest.mark.parametrize("code", ["NOPE", "", "2222222222", "x" * 64, "ABCDE FGHJ", "日本語日本語日本語日"])
async def test_unknown_referral_codes(world: World, code: str) -> None:
    refused(await world.http.post("/v1/members", json=world.body(referral_code=code)), 422, "unknown_referral_code")
    assert len(await world.fetch("SELECT 1 FROM members")) == 1


async def test_a_suspended_member_refers_nobody(world: World) -> None:
    connector, admin = await world.person(), await world.admin()
    await world.http.post(f"/v1/members/{connector.id}/suspend", headers=admin.auth)
    body = world.body(referral_code=connector.member["referral_code"])
    refused(await world.http.post("/v1/members", json=body), 422, "unknown_referral_code")


@pytest.mark.parametrize("email", ["ada+two@example.com", "ADA+x@EXAMPLE.COM", "ada@example.com"])
async def test_referring_oneself(world: World, email: str) -> None:
    member = await world.register(email="Ada+one@example.com")
    body = world.body(email=email, referral_code=member["referral_code"])
    refused(await world.http.post("/v1/members", json=body), 422, "self_referral")


async def test_taken_addresses(world: World) -> None:
    await world.register(email="Straße@example.com")
    for email in ("straße@example.com", "STRASSE@EXAMPLE.COM", "Straße@example.com"):
        refused(await world.http.post("/v1/members", json=world.body(email=email)), 409, "email_taken")
    await world.register(email="straße+tag@example.com")


async def test_two_registrations_race_for_one_address(world: World) -> None:
    emails = ["race@example.com", "RACE@example.com"] * 4
    answers = await asyncio.gather(*(world.http.post("/v1/members", json=world.body(email=email)) for email in emails))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"email_taken"}
    assert len(await world.fetch("SELECT 1 FROM members WHERE email_folded = 'race@example.com'")) == 1
    registered = await world.fetch("SELECT 1 FROM outbox WHERE type = 'identity.member.registered.v1'")
    assert len(registered) == 2  # the administrator and one more


async def test_a_taken_referral_code_is_drawn_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await world.register()
    codes = iter([first["referral_code"], first["referral_code"], "23456789AB"])
    monkeypatch.setattr("services.identity.service.members.new_referral_code", lambda: next(codes))
    assert (await world.register())["referral_code"] == "23456789AB"


async def test_reading_and_changing_oneself(world: World) -> None:
    person = await world.person()
    read = await world.http.get("/v1/members/me", headers=person.auth)
    assert (read.status_code, read.json()) == (200, person.member)
    etag = read.headers["etag"]
    changed = await world.http.patch(
        "/v1/members/me", json={"display_name": "New"}, headers={**person.auth, "If-Match": etag}
    )
    assert (changed.status_code, changed.json()) == (200, person.member | {"display_name": "New"})
    assert changed.headers["etag"] != etag
    stale = await world.http.patch(
        "/v1/members/me", json={"display_name": "Old"}, headers={**person.auth, "If-Match": etag}
    )
    refused(stale, 412, "precondition_failed")
    same = await world.http.patch("/v1/members/me", json={}, headers=person.auth)
    assert (same.json()["display_name"], same.headers["etag"]) == ("New", changed.headers["etag"])
    again = await world.http.get("/v1/members/me", headers=person.auth)
    assert again.headers["etag"] == changed.headers["etag"]


@pytest.mark.parametrize(
    "body",
    [{"display_name": ""}, {"display_name": None}, {"display_name": "a\tb"}, {"email": "x@example.com"}, {"roles": []}],
)
async def test_wrong_changes(world: World, body: dict[str, Any]) -> None:
    person = await world.person()
    assert (await world.http.patch("/v1/members/me", json=body, headers=person.auth)).status_code == 422
    assert (await world.http.get("/v1/members/me", headers=person.auth)).json() == person.member


async def test_nobody_is_me_without_a_token(world: World) -> None:
    refused(await world.http.get("/v1/members/me"), 401, "unauthorized")
    refused(await world.http.patch("/v1/members/me", json={}), 401, "unauthorized")
    refused(await world.http.get("/v1/members/me", headers={"Authorization": "Bearer x"}), 401, "token_invalid")


async def test_public_profiles(world: World) -> None:
    member = await world.register()
    answer = await world.http.get(f"/v1/members/{member['id']}")
    assert answer.json() == {name: member[name] for name in ("id", "status", "display_name", "roles", "created_at")}
    refused(await world.http.get(f"/v1/members/{new_id()}"), 404, "not_found")
    refused(await world.http.get("/v1/members/nobody"), 404, "not_found")


async def test_an_admin_sets_roles(world: World) -> None:
    person, admin = await world.person(), await world.admin()
    path = f"/v1/members/{person.id}/roles"
    answer = await world.http.put(path, json={"roles": ["screener", "admin", "talent"]}, headers=admin.auth)
    assert (answer.status_code, answer.json()["roles"]) == (200, ["talent", "screener", "admin"])
    again = await world.http.put(path, json={"roles": ["admin", "talent", "screener"]}, headers=admin.auth)
    assert again.json() == answer.json()
    changes = [data for kind, data in await world.events(person.id) if kind == "identity.member.roles_changed.v1"]
    assert [change["roles"] for change in changes] == [["talent", "screener", "admin"]]
    fresh = await world.log_in(person.member["email"])
    other = await world.person()
    headers = {"Authorization": f"Bearer {fresh['access_token']}"}
    assert (await world.http.put(f"/v1/members/{other.id}/roles", json={"roles": []}, headers=headers)).json()[
        "roles"
    ] == []


async def test_who_may_not_set_roles(world: World) -> None:
    person, admin = await world.person(), await world.admin()
    path, body = f"/v1/members/{person.id}/roles", {"roles": ["admin"]}
    refused(await world.http.put(path, json=body), 401, "unauthorized")
    refused(await world.http.put(path, json=body, headers=person.auth), 403, "admin_only")
    refused(await world.http.put(f"/v1/members/{new_id()}/roles", json=body, headers=admin.auth), 404, "not_found")
    refused(await world.http.put("/v1/members/x/roles", json=body, headers=admin.auth), 404, "not_found")
    refused(await world.http.put(path, json={"roles": ["king"]}, headers=admin.auth), 422, "invalid_fields")
    own = f"/v1/members/{admin.id}/roles"
    refused(await world.http.put(own, json={"roles": ["client"]}, headers=admin.auth), 409, "own_admin_role")


async def test_suspending(world: World) -> None:
    person, admin = await world.person(), await world.admin()
    path = f"/v1/members/{person.id}/suspend"
    answer = await world.http.post(path, headers=admin.auth)
    assert (answer.status_code, answer.json()["status"]) == (200, "suspended")
    refused(await world.http.post(path, headers=admin.auth), 409, "invalid_state")

    async def stopped() -> bool:
        return (await world.http.get("/v1/members/me", headers=person.auth)).status_code == 401

    await eventually(stopped, seconds=5)
    body = {"email": person.member["email"], "password": PASSWORD}
    refused(await world.http.post("/v1/sessions", json=body), 403, "member_suspended")
    refused(
        await world.http.post("/v1/sessions", json=body | {"password": "wrong horse battery"}),
        401,
        "credentials_invalid",
    )
    token = {"refresh_token": person.session["refresh_token"]}
    refused(await world.http.post("/v1/sessions/refresh", json=token), 401, "refresh_token_invalid")
    kinds = [kind for kind, _ in await world.events(person.id)]
    assert sorted(kinds[1:]) == ["identity.member.suspended.v1", "identity.session.ended.v1"]
    assert (await world.http.get(f"/v1/members/{person.id}")).json()["status"] == "suspended"


async def test_reinstating(world: World) -> None:
    person, admin = await world.person(), await world.admin()
    path = f"/v1/members/{person.id}"
    refused(await world.http.post(f"{path}/reinstate", headers=admin.auth), 409, "invalid_state")
    await world.http.post(f"{path}/suspend", headers=admin.auth)
    answer = await world.http.post(f"{path}/reinstate", headers=admin.auth)
    assert (answer.status_code, answer.json()["status"]) == (200, "active")
    session = await world.log_in(person.member["email"])
    headers = {"Authorization": f"Bearer {session['access_token']}"}

    async def works() -> bool:
        return (await world.http.get("/v1/members/me", headers=headers)).status_code == 200

    await eventually(works, seconds=5)
    token = {"refresh_token": person.session["refresh_token"]}
    refused(await world.http.post("/v1/sessions/refresh", json=token), 401, "refresh_token_invalid")


@pytest.mark.parametrize("action", ["suspend", "reinstate"])
async def test_who_may_not_suspend(world: World, action: str) -> None:
    person, admin = await world.person(), await world.admin()
    path = f"/v1/members/{person.id}/{action}"
    refused(await world.http.post(path), 401, "unauthorized")
    refused(await world.http.post(path, headers=person.auth), 403, "admin_only")
    refused(await world.http.post(f"/v1/members/{new_id()}/{action}", headers=admin.auth), 404, "not_found")
    if action == "suspend":
        own = await world.http.post(f"/v1/members/{admin.id}/suspend", headers=admin.auth)
        refused(own, 409, "own_admin_role")


async def test_suspensions_race(world: World) -> None:
    person, admin = await world.person(), await world.admin()
    path = f"/v1/members/{person.id}/suspend"
    log_ins = [
        world.http.post("/v1/sessions", json={"email": person.member["email"], "password": PASSWORD}) for _ in range(4)
    ]
    answers = await asyncio.gather(*log_ins, *(world.http.post(path, headers=admin.auth) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers[4:]) == [200, 409, 409]
    assert {answer.status_code for answer in answers[:4]} <= {201, 403}
    open_sessions = await world.fetch(
        "SELECT 1 FROM sessions WHERE member_id = $1 AND ended_at IS NULL", UUID(person.id)
    )
    assert open_sessions == []


async def test_a_log_in_waits_for_a_suspension_under_way(world: World) -> None:
    person, admin = await world.person(), await world.admin()
    body = {"email": person.member["email"], "password": PASSWORD}
    async with world.context.database.unit_of_work() as slow:
        await suspend_member(slow, member_id=UUID(person.id), by=UUID(admin.id))
        log_in = asyncio.create_task(world.http.post("/v1/sessions", json=body))
        refresh = asyncio.create_task(
            world.http.post("/v1/sessions/refresh", json={"refresh_token": person.session["refresh_token"]})
        )
        await asyncio.wait([log_in, refresh], timeout=1)
        assert not log_in.done()
        assert not refresh.done()
    refused(await log_in, 403, "member_suspended")
    refused(await refresh, 401, "refresh_token_invalid")


async def test_an_idempotency_key_repeats_an_admins_answer(world: World) -> None:
    person, admin = await world.person(), await world.admin()
    headers = {**admin.auth, "Idempotency-Key": "suspend-1"}
    first = await world.http.post(f"/v1/members/{person.id}/suspend", headers=headers)
    second = await world.http.post(f"/v1/members/{person.id}/suspend", headers=headers)
    assert (second.status_code, second.content) == (first.status_code, first.content) == (200, first.content)
    assert datetime.fromisoformat(first.json()["created_at"]).tzinfo is not None

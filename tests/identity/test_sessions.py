"""Logging in, refreshing, logging out, and the keys behind it."""

import asyncio
import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from chassis.testing import TokenMint, eventually
from tests.identity.conftest import ClientFor
from tests.identity.world import PASSWORD, World, identity_app, new_wallet, refused, sign


async def keys_of(world: World) -> KeySet:
    return KeySet.import_key_set((await world.http.get("/.well-known/jwks.json")).json())


async def test_logging_in(world: World) -> None:
    member = await world.register(email="Ada@example.com", roles=["client", "talent"])
    answer = await world.http.post("/v1/sessions", json={"email": "ADA@EXAMPLE.com", "password": PASSWORD})
    assert answer.status_code == 201
    session = answer.json()
    assert answer.headers["location"] == "/v1/sessions/current"
    assert answer.headers["cache-control"] == "no-store"
    assert (session["token_type"], session["expires_in"], session["status"]) == ("Bearer", 900, "active")
    token = jwt.decode(session["access_token"], await keys_of(world), algorithms=["ES256"])
    assert token.header["typ"] == "at+jwt"
    claims = token.claims
    assert set(claims) == {"iss", "aud", "sub", "sid", "iat", "exp", "jti", "roles"}
    assert (claims["iss"], claims["aud"]) == ("btrst-network", "btrst-api")
    assert (claims["sub"], claims["sid"]) == (member["id"], session["id"])
    assert claims["exp"] - claims["iat"] == 900
    assert abs(claims["iat"] - time.time()) < 60
    assert claims["roles"] == ["client", "talent"]
    headers = {"Authorization": f"Bearer {session['access_token']}"}
    current = (await world.http.get("/v1/sessions/current", headers=headers)).json()
    assert current == {name: session[name] for name in ("id", "status", "member_id", "created_at", "expires_at")}


@pytest.mark.parametrize(
    "body",
    [
        {"email": "nobody@example.com", "password": PASSWORD},
        {"email": "ada@example.com", "password": "wrong horse battery"},
        {"email": "ada@example.com", "password": "x"},
        {"email": "ada@example.com", "password": PASSWORD + " "},
        {"email": "ada+tag@example.com", "password": PASSWORD},
        {"email": "no address", "password": PASSWORD},
        {"email": "a\u0001@example.com", "password": PASSWORD},
    ],
)
async def test_wrong_credentials_all_look_the_same(world: World, body: dict[str, Any]) -> None:
    await world.register(email="ada@example.com")
    answer = await world.http.post("/v1/sessions", json=body)
    refused(answer, 401, "credentials_invalid")
    assert answer.json()["detail"] == "E-mail address or password is wrong"
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"email": "ada@example.com"}, 422),
        ({"email": "ada@example.com", "password": ""}, 422),
        ({"email": "ada@example.com", "password": "x" * 129}, 422),
        ({"email": "ada@example.com", "password": PASSWORD, "more": 1}, 422),
        ({"email": ["ada@example.com"], "password": PASSWORD}, 422),
        ([], 422),
    ],
)
async def test_malformed_log_ins(world: World, body: Any, status: int) -> None:
    assert (await world.http.post("/v1/sessions", json=body)).status_code == status


async def test_passwords_are_taken_to_the_byte(world: World) -> None:
    password = "  twelve or more "
    member = await world.register(password=password)
    await world.log_in(member["email"], password)
    answer = await world.http.post("/v1/sessions", json={"email": member["email"], "password": password.strip()})
    refused(answer, 401, "credentials_invalid")


async def test_too_many_log_ins(identity_dsn: str, client_for: ClientFor) -> None:
    app = identity_app(identity_dsn, login_rate_limit=2)
    body = {"email": "nobody@example.com", "password": PASSWORD}
    async with client_for(app) as http:
        bursts = await asyncio.gather(*(http.post("/v1/sessions", json=body) for _ in range(12)))
        limited = [answer for answer in bursts if answer.status_code == 429]
        assert len(limited) >= 6
        refused(limited[0], 429, "rate_limited")
        assert int(limited[0].headers["retry-after"]) >= 1
        assert limited[0].headers["ratelimit-policy"] == '"log-ins";q=2;w=1'
        assert limited[0].headers["ratelimit"].startswith('"log-ins";r=0')
        elsewhere = await http.post("/v1/sessions", json=body, headers={"X-Forwarded-For": "10.0.0.1, 203.0.113.9"})
        refused(elsewhere, 401, "credentials_invalid")
        wallet = await asyncio.gather(
            *(http.post("/v1/sessions/wallet", json={"message": "x", "signature": "0x"}) for _ in range(12))
        )
        assert 429 in {answer.status_code for answer in wallet}


async def test_only_trusted_proxies_name_the_caller(identity_dsn: str, client_for: ClientFor) -> None:
    app = identity_app(identity_dsn, login_rate_limit=1, trusted_proxies="192.0.2.1")
    body = {"email": "nobody@example.com", "password": PASSWORD}
    async with client_for(app) as http:
        answers = await asyncio.gather(
            *(
                http.post("/v1/sessions", json=body, headers={"X-Forwarded-For": f"203.0.113.{number}"})
                for number in range(6)
            )
        )
    assert 429 in {answer.status_code for answer in answers}


async def test_refreshing(world: World) -> None:
    person, admin = await world.person(), await world.admin()
    await world.http.put(f"/v1/members/{person.id}/roles", json={"roles": ["screener"]}, headers=admin.auth)
    answer = await world.http.post("/v1/sessions/refresh", json={"refresh_token": person.session["refresh_token"]})
    assert answer.status_code == 201
    session = answer.json()
    assert session["id"] == person.session["id"]
    assert session["refresh_token"] != person.session["refresh_token"]
    assert session["expires_at"] == person.session["expires_at"]
    claims = jwt.decode(session["access_token"], await keys_of(world), algorithms=["ES256"]).claims
    assert claims["roles"] == ["screener"]
    assert claims["jti"] != jwt.decode(person.session["access_token"], await keys_of(world)).claims["jti"]
    stored = await world.fetch("SELECT token_hash FROM refresh_tokens")
    assert session["refresh_token"].encode() not in {bytes(row["token_hash"]) for row in stored}


async def test_using_a_refresh_token_twice_ends_the_session(world: World) -> None:
    person = await world.person()
    first = {"refresh_token": person.session["refresh_token"]}
    second = (await world.http.post("/v1/sessions/refresh", json=first)).json()
    refused(await world.http.post("/v1/sessions/refresh", json=first), 401, "refresh_token_invalid")
    stolen = {"refresh_token": second["refresh_token"]}
    refused(await world.http.post("/v1/sessions/refresh", json=stolen), 401, "refresh_token_invalid")

    async def stopped() -> bool:
        headers = {"Authorization": f"Bearer {second['access_token']}"}
        return (await world.http.get("/v1/members/me", headers=headers)).status_code == 401

    await eventually(stopped, seconds=5)
    assert [data["sid"] for kind, data in await world.events(person.id) if kind == "identity.session.ended.v1"] == [
        person.session["id"]
    ]


async def test_refreshes_race(world: World) -> None:
    person = await world.person()
    body = {"refresh_token": person.session["refresh_token"]}
    answers = await asyncio.gather(*(world.http.post("/v1/sessions/refresh", json=body) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201] + [401] * 5
    won = next(answer.json() for answer in answers if answer.status_code == 201)
    refused(
        await world.http.post("/v1/sessions/refresh", json={"refresh_token": won["refresh_token"]}),
        401,
        "refresh_token_invalid",
    )
    ended = [kind for kind, _ in await world.events(person.id) if kind == "identity.session.ended.v1"]
    assert len(ended) == 1


async def test_another_session_lives_on(world: World) -> None:
    person = await world.person()
    other = await world.log_in(person.member["email"])
    assert (await world.http.delete("/v1/sessions/current", headers=person.auth)).status_code == 204
    body = {"refresh_token": other["refresh_token"]}
    assert (await world.http.post("/v1/sessions/refresh", json=body)).status_code == 201


@pytest.mark.parametrize("token", ["x", "\u00e9" * 40, "x" * 512])
async def test_unknown_refresh_tokens(world: World, token: str) -> None:
    refused(await world.http.post("/v1/sessions/refresh", json={"refresh_token": token}), 401, "refresh_token_invalid")


async def test_an_expired_session_is_not_refreshed(world: World) -> None:
    person = await world.person()
    await world.fetch("UPDATE sessions SET expires_at = now() - interval '1 second'")
    body = {"refresh_token": person.session["refresh_token"]}
    refused(await world.http.post("/v1/sessions/refresh", json=body), 401, "refresh_token_invalid")


async def test_logging_out(world: World) -> None:
    person = await world.person()
    answer = await world.http.delete("/v1/sessions/current", headers=person.auth)
    assert (answer.status_code, answer.content) == (204, b"")
    begin = time.monotonic()

    async def stopped() -> bool:
        answer = await world.http.get("/v1/members/me", headers=person.auth)
        return answer.status_code == 401 and answer.json()["code"] == "session_ended"

    await eventually(stopped, seconds=5)
    assert time.monotonic() - begin < 5
    body = {"refresh_token": person.session["refresh_token"]}
    refused(await world.http.post("/v1/sessions/refresh", json=body), 401, "refresh_token_invalid")
    ended = [data for kind, data in await world.events(person.id) if kind == "identity.session.ended.v1"]
    assert [(data["sid"], data["member_id"]) for data in ended] == [(person.session["id"], person.id)]
    refused(await world.http.delete("/v1/sessions/current"), 401, "unauthorized")


async def test_logging_out_twice_at_once_ends_it_once(world: World) -> None:
    person = await world.person()
    answers = await asyncio.gather(*(world.http.delete("/v1/sessions/current", headers=person.auth) for _ in range(4)))
    assert {answer.status_code for answer in answers} <= {204, 401}
    assert len(await world.fetch("SELECT 1 FROM revocations")) == 1


async def test_logging_in_with_a_wallet(world: World) -> None:
    person, account = await world.person(), new_wallet()
    await world.link(person, account)
    body = await world.signed("sign_in", account)
    answer = await world.http.post("/v1/sessions/wallet", json=body)
    assert answer.status_code == 201
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert (await world.http.get("/v1/members/me", headers=headers)).json() == person.member
    refused(await world.http.post("/v1/sessions/wallet", json=body), 401, "challenge_invalid")


async def test_one_challenge_opens_one_session(world: World) -> None:
    person, account = await world.person(), new_wallet()
    await world.link(person, account)
    body = await world.signed("sign_in", account)
    answers = await asyncio.gather(*(world.http.post("/v1/sessions/wallet", json=body) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201] + [401] * 5
    assert {answer.json()["code"] for answer in answers if answer.status_code == 401} == {"challenge_invalid"}


async def test_wrong_wallet_log_ins(world: World) -> None:
    person, account, stranger = await world.person(), new_wallet(), new_wallet()
    await world.link(person, account)
    unknown = await world.signed("sign_in", stranger)
    refused(await world.http.post("/v1/sessions/wallet", json=unknown), 401, "wallet_unknown")
    mine = await world.challenge("sign_in", account.address)
    forged = {"message": mine["message"], "signature": sign(stranger, mine["message"])}
    refused(await world.http.post("/v1/sessions/wallet", json=forged), 401, "challenge_invalid")
    other_purpose = await world.signed("link", account, person)
    refused(await world.http.post("/v1/sessions/wallet", json=other_purpose), 401, "challenge_invalid")
    changed = mine["message"].replace("Chain ID: 31337", "Chain ID: 1")
    body = {"message": changed, "signature": sign(account, changed)}
    refused(await world.http.post("/v1/sessions/wallet", json=body), 401, "challenge_invalid")


async def test_a_suspended_member_cannot_log_in_with_a_wallet(world: World) -> None:
    person, account, admin = await world.person(), new_wallet(), await world.admin()
    await world.link(person, account)
    await world.http.post(f"/v1/members/{person.id}/suspend", headers=admin.auth)
    body = await world.signed("sign_in", account)
    refused(await world.http.post("/v1/sessions/wallet", json=body), 403, "member_suspended")


async def test_the_published_keys(world: World) -> None:
    answer = await world.http.get("/.well-known/jwks.json")
    assert answer.headers["cache-control"] == "public, max-age=300"
    keys = answer.json()["keys"]
    assert len(keys) == 2
    assert all(set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"} for key in keys)
    assert {key.thumbprint() for key in KeySet.import_key_set(answer.json()).keys} == {key["kid"] for key in keys}
    stored = await world.fetch("SELECT kid, sealed, public::text FROM signing_keys")
    assert all('"d"' not in row["sealed"] + row["public"] for row in stored)


async def test_tokens_of_other_keys_are_refused(world: World) -> None:
    person = await world.person()
    forged = TokenMint().headers(person.member["id"], "admin")
    refused(await world.http.get("/v1/members/me", headers=forged), 401, "token_invalid")


async def test_idempotency_keys_mean_nothing_for_sessions(world: World) -> None:
    member = await world.register()
    body = {"email": member["email"], "password": PASSWORD}
    headers = {"Idempotency-Key": "same"}
    answers = [await world.http.post("/v1/sessions", json=body, headers=headers) for _ in range(2)]
    assert answers[0].json()["id"] != answers[1].json()["id"]


async def test_how_many_may_wait_for_a_thread(identity_dsn: str, client_for: ClientFor) -> None:
    app = identity_app(identity_dsn, hashing_threads=1, hashing_backlog=2)
    body = {"email": "nobody@example.com", "password": PASSWORD}
    async with client_for(app) as http:
        answers = await asyncio.gather(*(http.post("/v1/sessions", json=body) for _ in range(10)))
        assert {answer.status_code for answer in answers} == {401, 429}
        limited = next(answer for answer in answers if answer.status_code == 429)
        assert limited.headers["retry-after"] == "1"
        refused(await http.post("/v1/sessions", json=body), 401, "credentials_invalid")

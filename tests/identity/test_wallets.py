"""Challenges, linking wallets, choosing which one is paid."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from chassis.ids import new_id
from chassis.signatures import SiweMessage
from tests.identity.conftest import ClientFor
from tests.identity.world import World, identity_app, new_wallet, refused, sign


async def test_asking_for_a_challenge(world: World) -> None:
    account = new_wallet()
    answer = await world.http.post(
        "/v1/wallet-challenges", json={"address": account.address.lower(), "purpose": "sign_in"}
    )
    assert answer.status_code == 201
    challenge = answer.json()
    message = SiweMessage.parse(challenge["message"])
    assert (message.domain, message.uri) == ("127.0.0.1:8080", "http://127.0.0.1:8080")
    assert (message.address, message.chain_id) == (account.address, 31337)
    assert message.resources == ()
    assert message.expiration_time == datetime.fromisoformat(challenge["expires_at"])
    assert message.expiration_time - message.issued_at == timedelta(seconds=300)
    assert (challenge["address"], challenge["status"]) == (account.address, "open")
    assert answer.headers["location"] == f"/v1/wallet-challenges/{challenge['id']}"
    assert (await world.http.get(answer.headers["location"])).json() == challenge


async def test_a_challenge_for_linking_is_the_members(world: World) -> None:
    person, other, account = await world.person(), await world.person(), new_wallet()
    challenge = await world.challenge("link", account.address, person)
    assert SiweMessage.parse(challenge["message"]).resources == (f"urn:btrst:member:{person.id}",)
    path = f"/v1/wallet-challenges/{challenge['id']}"
    assert (await world.http.get(path, headers=person.auth)).json() == challenge
    refused(await world.http.get(path, headers=other.auth), 404, "not_found")
    refused(await world.http.get(path), 404, "not_found")
    refused(await world.http.get(f"/v1/wallet-challenges/{new_id()}"), 404, "not_found")


async def test_linking_needs_a_token(world: World) -> None:
    body = {"address": new_wallet().address, "purpose": "link"}
    refused(await world.http.post("/v1/wallet-challenges", json=body), 401, "unauthorized")
    bad = {"Authorization": "Bearer nonsense"}
    refused(await world.http.post("/v1/wallet-challenges", json=body, headers=bad), 401, "token_invalid")
    refused(
        await world.http.post("/v1/members/me/wallets", json={"message": "m", "signature": "s"}), 401, "unauthorized"
    )
    refused(await world.http.get("/v1/members/me/wallets"), 401, "unauthorized")


@pytest.mark.parametrize(
    "body",
    [
        {"address": "0x1234", "purpose": "sign_in"},
        {"address": "0x" + "g" * 40, "purpose": "sign_in"},
        {"address": "0x70997970c51812dc3A010C7d01b50e0d17dc79C8", "purpose": "sign_in"},
        {"address": 7, "purpose": "sign_in"},
        {"address": "0x" + "1" * 40, "purpose": "steal"},
        {"address": "0x" + "1" * 40},
        {"purpose": "sign_in"},
        {"address": "0x" + "１" * 40, "purpose": "sign_in"},
    ],
)
async def test_wrong_challenges(world: World, body: dict[str, Any]) -> None:
    refused(await world.http.post("/v1/wallet-challenges", json=body), 422, "invalid_fields")


async def test_linking(world: World) -> None:
    person, account = await world.person(), new_wallet()
    body = await world.signed("link", account, person)
    answer = await world.http.post("/v1/members/me/wallets", json=body, headers=person.auth)
    assert answer.status_code == 201
    wallet = answer.json()
    assert (wallet["address"], wallet["status"]) == (account.address, "linked")
    assert answer.headers["location"] == f"/v1/members/me/wallets/{wallet['id']}"
    assert (await world.http.get(answer.headers["location"], headers=person.auth)).json() == wallet
    assert (await world.events(person.id))[-1] == (
        "identity.wallet.linked.v1",
        {"member_id": person.id, "address": account.address, "linked_at": wallet["created_at"]},
    )
    refused(await world.http.post("/v1/members/me/wallets", json=body, headers=person.auth), 401, "challenge_invalid")


async def test_wallets_are_ones_own(world: World) -> None:
    person, other = await world.person(), await world.person()
    wallets = [await world.link(person, new_wallet()) for _ in range(3)]
    first = (await world.http.get("/v1/members/me/wallets?limit=2", headers=person.auth)).json()
    rest = await world.http.get(f"/v1/members/me/wallets?limit=2&cursor={first['next_cursor']}", headers=person.auth)
    assert first["items"] + rest.json()["items"] == wallets
    assert rest.json()["next_cursor"] is None
    assert (await world.http.get("/v1/members/me/wallets", headers=other.auth)).json()["items"] == []
    path = f"/v1/members/me/wallets/{wallets[0]['id']}"
    refused(await world.http.get(path, headers=other.auth), 404, "not_found")
    refused(await world.http.get("/v1/members/me/wallets/x", headers=person.auth), 404, "not_found")
    refused(await world.http.get("/v1/members/me/wallets?cursor=%00", headers=person.auth), 400, "malformed_query")


async def test_an_address_belongs_to_one_member(world: World) -> None:
    person, other, account = await world.person(), await world.person(), new_wallet()
    await world.link(person, account)
    for claimant in (other, person):
        body = await world.signed("link", account, claimant)
        refused(await world.http.post("/v1/members/me/wallets", json=body, headers=claimant.auth), 409, "wallet_taken")


async def test_two_members_race_for_one_address(world: World) -> None:
    people = [await world.person() for _ in range(4)]
    account = new_wallet()
    bodies = [await world.signed("link", account, person) for person in people]
    answers = await asyncio.gather(
        *(
            world.http.post("/v1/members/me/wallets", json=body, headers=person.auth)
            for person, body in zip(people, bodies, strict=True)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


async def test_two_uses_of_one_nonce_race(world: World) -> None:
    person, account = await world.person(), new_wallet()
    body = await world.signed("link", account, person)
    answers = await asyncio.gather(
        *(world.http.post("/v1/members/me/wallets", json=body, headers=person.auth) for _ in range(6))
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [401] * 5
    assert {answer.json()["code"] for answer in answers if answer.status_code == 401} == {"challenge_invalid"}
    assert len(await world.fetch("SELECT 1 FROM wallets")) == 1


def _upper_s(signature: str) -> str:
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    raw = bytes.fromhex(signature[2:])
    flipped = order - int.from_bytes(raw[32:64], "big")
    return "0x" + (raw[:32] + flipped.to_bytes(32, "big") + bytes([55 - raw[64]])).hex()


async def test_answers_that_do_not_hold(world: World) -> None:
    person, other, account, stranger = await world.person(), await world.person(), new_wallet(), new_wallet()
    challenge = await world.challenge("link", account.address, person)
    message = challenge["message"]
    right = sign(account, message)
    wrong = [
        {"message": message, "signature": sign(stranger, message)},
        {"message": message, "signature": _upper_s(right)},
        {"message": message, "signature": right[:-2] + "05"},
        {"message": message, "signature": right[2:]},
        {"message": message, "signature": "0x"},
        {"message": message, "signature": "0x" + "0" * 130},
        {"message": message + "\n", "signature": sign(account, message + "\n")},
        {"message": "hello", "signature": sign(account, "hello")},
        await world.signed("sign_in", account),
        await world.signed("link", account, other),
    ]
    for body in wrong:
        answer = await world.http.post("/v1/members/me/wallets", json=body, headers=person.auth)
        refused(answer, 401, "challenge_invalid")
    ok = await world.http.post(
        "/v1/members/me/wallets", json={"message": message, "signature": right}, headers=person.auth
    )
    assert ok.status_code == 201


async def test_a_challenge_expires(world: World) -> None:
    person, account = await world.person(), new_wallet()
    body = await world.signed("link", account, person)
    await world.fetch("UPDATE wallet_challenges SET expires_at = now()")
    refused(await world.http.post("/v1/members/me/wallets", json=body, headers=person.auth), 401, "challenge_invalid")


async def test_an_idempotency_key_repeats_a_link(world: World) -> None:
    person, account = await world.person(), new_wallet()
    body = await world.signed("link", account, person)
    headers = {**person.auth, "Idempotency-Key": "link-1"}
    first = await world.http.post("/v1/members/me/wallets", json=body, headers=headers)
    second = await world.http.post("/v1/members/me/wallets", json=body, headers=headers)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert first.headers["location"] == second.headers["location"]


@pytest.mark.parametrize(
    "body", [{}, {"message": "m"}, {"message": "", "signature": "0x"}, {"message": "m" * 4097, "signature": "0x"}]
)
async def test_malformed_answers(world: World, body: dict[str, Any]) -> None:
    person = await world.person()
    refused(await world.http.post("/v1/members/me/wallets", json=body, headers=person.auth), 422, "invalid_fields")


async def test_the_first_payout_wallet_is_paid_at_once(world: World) -> None:
    person, account = await world.person(), new_wallet()
    refused(await world.http.get("/v1/members/me/payout-wallet", headers=person.auth), 404, "not_found")
    await world.link(person, account)
    answer = await world.http.put(
        "/v1/members/me/payout-wallet", json={"address": account.address.lower()}, headers=person.auth
    )
    assert answer.status_code == 200
    payout = answer.json()
    assert (payout["address"], payout["status"]) == (account.address, "active")
    assert payout["effective_at"] == payout["created_at"]
    assert (await world.http.get("/v1/members/me/payout-wallet", headers=person.auth)).json() == payout
    assert (await world.events(person.id))[-1] == (
        "identity.wallet.payout_changed.v1",
        {"member_id": person.id, "address": account.address, "effective_at": payout["effective_at"]},
    )
    same = await world.http.put("/v1/members/me/payout-wallet", json={"address": account.address}, headers=person.auth)
    assert same.json() == payout
    assert len([kind for kind, _ in await world.events(person.id) if kind.endswith("payout_changed.v1")]) == 1


async def test_a_payout_wallet_must_be_ones_own(world: World) -> None:
    person, other, account = await world.person(), await world.person(), new_wallet()
    await world.link(other, account)
    for address in (account.address, new_wallet().address):
        answer = await world.http.put("/v1/members/me/payout-wallet", json={"address": address}, headers=person.auth)
        refused(answer, 422, "wallet_not_linked")
        assert answer.json()["errors"][0]["loc"] == ["body", "address"]
    bad = await world.http.put("/v1/members/me/payout-wallet", json={"address": "0x"}, headers=person.auth)
    refused(bad, 422, "invalid_fields")
    refused(await world.http.put("/v1/members/me/payout-wallet", json={"address": "0x"}), 401, "unauthorized")


async def test_a_change_waits_and_can_be_undone(identity_dsn: str, client_for: ClientFor) -> None:
    app = identity_app(identity_dsn, payout_delay_seconds=3_600)
    async with client_for(app) as http:
        world = World(app, http, identity_dsn)
        person = await world.person()
        accounts = [new_wallet() for _ in range(3)]
        for account in accounts:
            await world.link(person, account)
        choices = []
        for number in (0, 1, 2, 0):
            body = {"address": accounts[number].address}
            choices.append((await http.put("/v1/members/me/payout-wallet", json=body, headers=person.auth)).json())
        assert [choice["status"] for choice in choices] == ["active", "pending", "pending", "active"]
        for choice in choices[1:3]:
            waits = datetime.fromisoformat(choice["effective_at"]) - datetime.fromisoformat(choice["created_at"])
            assert waits == timedelta(hours=1)
        found = (await world.internal(f"/members/{person.id}/wallets")).json()
        assert found["payout_wallet"] == accounts[0].address
        assert found["pending_payout_wallet"] is None
        changed = [data["address"] for kind, data in await world.events(person.id) if "payout_changed" in kind]
        assert changed == [accounts[number].address for number in (0, 1, 2, 0)]


async def test_a_waiting_change_takes_effect(identity_dsn: str, client_for: ClientFor) -> None:
    app = identity_app(identity_dsn, payout_delay_seconds=3_600)
    async with client_for(app) as http:
        world = World(app, http, identity_dsn)
        person, first, second = await world.person(), new_wallet(), new_wallet()
        for account in (first, second):
            await world.link(person, account)
            await http.put("/v1/members/me/payout-wallet", json={"address": account.address}, headers=person.auth)
        before = (await world.internal(f"/members/{person.id}/wallets")).json()
        assert (before["payout_wallet"], before["pending_payout_wallet"]) == (first.address, second.address)
        await world.fetch("UPDATE payout_wallets SET effective_at = now() WHERE effective_at > now()")
        after = (await world.internal(f"/members/{person.id}/wallets")).json()
        assert (after["payout_wallet"], after["pending_payout_wallet"]) == (second.address, None)


async def test_choices_race(world: World) -> None:
    person, accounts = await world.person(), [new_wallet() for _ in range(3)]
    for account in accounts:
        await world.link(person, account)
    answers = await asyncio.gather(
        *(
            world.http.put("/v1/members/me/payout-wallet", json={"address": account.address}, headers=person.auth)
            for account in accounts * 2
        )
    )
    assert {answer.status_code for answer in answers} == {200}
    current = (await world.http.get("/v1/members/me/payout-wallet", headers=person.auth)).json()
    changed = [data["address"] for kind, data in await world.events(person.id) if "payout_changed" in kind]
    assert current["address"] == changed[-1]

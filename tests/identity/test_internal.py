"""What other services ask identity."""

import asyncio
from typing import Any

import pytest

from chassis.auth import internal_token
from chassis.clock import utc_now
from chassis.ids import new_id
from services.identity.repository.sessions import insert_revocations
from tests.identity.world import INTERNAL_SECRET, PASSWORD, Person, World, new_wallet, refused


@pytest.mark.parametrize(
    "path",
    [
        "/members/0192f3a4-5b6c-7d8e-9f00-112233445566/attribution",
        "/members/0192f3a4-5b6c-7d8e-9f00-112233445566/wallets",
        "/wallets/0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        "/revocations",
    ],
)
async def test_only_services_may_ask(world: World, path: str) -> None:
    person = await world.person()
    for headers in (
        {},
        person.auth,
        {"Authorization": f"Bearer {internal_token(INTERNAL_SECRET, 'rewards')}"},
        {"Authorization": f"Bearer {internal_token('another secret of more than 32 characters', 'identity')}"},
    ):
        assert (await world.http.get(f"/internal{path}", headers=headers)).status_code == 401


async def test_attribution(world: World) -> None:
    connector = await world.register(roles=["connector"])
    referred = await world.register(roles=["client"], referral_code=connector["referral_code"])
    assert (await world.internal(f"/members/{referred['id']}/attribution")).json() == {
        "member_id": referred["id"],
        "roles": ["client"],
        "connector_id": connector["id"],
        "attributed_at": referred["created_at"],
        "registered_at": referred["created_at"],
    }
    alone = (await world.internal(f"/members/{connector['id']}/attribution")).json()
    assert (alone["connector_id"], alone["attributed_at"]) == (None, None)
    refused(await world.internal(f"/members/{new_id()}/attribution"), 404, "not_found")
    refused(await world.internal("/members/x/attribution"), 404, "not_found")


async def test_wallets(world: World) -> None:
    person, accounts = await world.person(), [new_wallet(), new_wallet()]
    nothing = (await world.internal(f"/members/{person.id}/wallets")).json()
    assert (nothing["addresses"], nothing["payout_wallet"], nothing["payout_effective_at"]) == ([], None, None)
    for account in accounts:
        await world.link(person, account)
    body = {"address": accounts[1].address}
    payout = (await world.http.put("/v1/members/me/payout-wallet", json=body, headers=person.auth)).json()
    assert (await world.internal(f"/members/{person.id}/wallets")).json() == {
        "member_id": person.id,
        "addresses": [account.address for account in accounts],
        "payout_wallet": accounts[1].address,
        "payout_effective_at": payout["effective_at"],
        "pending_payout_wallet": None,
        "pending_effective_at": None,
    }
    refused(await world.internal(f"/members/{new_id()}/wallets"), 404, "not_found")


async def test_owner_of_an_address(world: World) -> None:
    person, account = await world.person(), new_wallet()
    await world.link(person, account)
    for spelling in (account.address, account.address.lower(), "0x" + account.address[2:].upper()):
        answer = await world.internal(f"/wallets/{spelling}")
        assert answer.json() == {"address": account.address, "member_id": person.id}
    refused(await world.internal(f"/wallets/{new_wallet().address}"), 404, "not_found")
    refused(await world.internal("/wallets/0x12"), 404, "not_found")


async def feed(world: World, after: str | None = None) -> dict[str, Any]:
    query = "" if after is None else f"?after={after}"
    return dict((await world.internal(f"/revocations{query}")).json())


async def log_out(world: World, session: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {session['access_token']}"}
    assert (await world.http.delete("/v1/sessions/current", headers=headers)).status_code == 204


async def test_the_feed_of_revocations(world: World) -> None:
    person, admin = await world.person(), await world.admin()
    assert await feed(world) == {"items": [], "next": "0"}
    await log_out(world, await world.log_in(person.member["email"]))
    first = await feed(world)
    assert [item["kind"] for item in first["items"]] == ["session"]
    await world.http.post(f"/v1/members/{person.id}/suspend", headers=admin.auth)
    await world.http.post(f"/v1/members/{person.id}/reinstate", headers=admin.auth)
    second = await feed(world, first["next"])
    assert [(item["kind"], item["id"]) for item in second["items"]] == [
        ("member", person.id),
        ("session", person.session["id"]),
        ("reinstated", person.id),
    ]
    assert await feed(world, second["next"]) == {"items": [], "next": second["next"]}
    assert all(item["at"].endswith("Z") for item in second["items"])


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", str(2**80), "%00"])
async def test_wrong_cursors(world: World, cursor: str) -> None:
    assert 400 <= (await world.internal(f"/revocations?after={cursor}")).status_code < 500


async def test_a_reader_of_the_feed_misses_nothing(world: World) -> None:
    """Many sessions end at once while somebody follows the feed: commits may overtake each other, ids may not."""
    member = await world.register()
    sessions = await asyncio.gather(*(world.log_in(member["email"]) for _ in range(24)))
    seen: list[str] = []
    done = asyncio.Event()

    async def follow() -> None:
        cursor = "0"
        while True:
            last_round = done.is_set()
            page = await feed(world, cursor)
            seen.extend(item["id"] for item in page["items"])
            cursor = page["next"]
            if last_round:
                return

    reader = asyncio.create_task(follow())
    await asyncio.gather(*(log_out(world, session) for session in sessions))
    done.set()
    await reader
    assert sorted(seen) == sorted(session["id"] for session in sessions)


async def test_an_id_below_the_cursor_is_never_added_later(world: World) -> None:
    """While one unit of work that appends is open, another that appends waits for it."""
    person = Person(await world.register(), {})
    one, other = [await world.log_in(person.member["email"], PASSWORD) for _ in range(2)]
    async with world.context.database.unit_of_work() as slow:
        await insert_revocations(slow, [("session", new_id())], at=utc_now())
        quick = asyncio.create_task(log_out(world, other))
        await asyncio.sleep(0.3)
        assert not quick.done()
        assert (await feed(world))["items"] == []
    await quick
    assert len((await feed(world))["items"]) == 2
    await log_out(world, one)

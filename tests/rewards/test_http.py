"""The endpoints of rewards as members, admins and strangers see them; then the whole service running by itself."""

import asyncio
import csv
import io
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from chassis.app import create_app
from chassis.bus import Record
from chassis.bus_memory import MemoryBus
from chassis.clock import utc_now
from chassis.envelope import Event, wrap
from chassis.ids import new_id
from chassis.localchain import Ticker
from chassis.testing import TokenMint, eventually, fresh_database
from events.registry import TOPICS
from services.rewards.app import SERVICE
from services.rewards.service import reading
from services.rewards.settings import RewardsSettings
from tests.rewards.chain_world import Network
from tests.rewards.world import PRICE, SECRET, Neighbours, Story, World

TWENTY = "20000000000000000000"
ClientFor = Callable[[FastAPI], AbstractAsyncContextManager[httpx.AsyncClient]]


def _app(world: World, bus: MemoryBus | None = None, **changes: Any) -> FastAPI:
    settings = world.context.settings.model_copy(update={"role": "api"} | changes)
    return create_app(SERVICE, settings=settings, token_source=world.mint, bus=bus or MemoryBus())


async def test_a_member_sees_their_own_rewards_only(world: World, story: Story, client_for: ClientFor):
    await story.begin(wallets=False)
    await world.tell(story.wallet(story.client_connector))
    completed = await story.pay()
    owner, stranger = world.mint.headers(story.client_connector), world.mint.headers(new_id())
    admin = world.mint.headers(new_id(), "admin")
    async with client_for(_app(world)) as client:
        page = (await client.get("/v1/rewards", headers=owner)).json()
        (reward,) = page["items"]
        assert page["next_cursor"] is None
        expected = {
            "kind": "connector",
            "side": "client",
            "transaction_id": str(completed.transaction_id),
            "status": "queued",
            "reason": None,
            "amount_wei": TWENTY,
            "offset_wei": "0",
            "minted_wei": "0",
            "price_usd_e8": PRICE,
            "parameters_version": 0,
            "chain_tx_hash": None,
            "block_number": None,
        }
        assert {name: reward[name] for name in expected} == expected
        for path in (f"/v1/rewards/{reward['id']}", f"/v1/rewards/{reward['id']}/trace"):
            assert (await client.get(path, headers=owner)).status_code == 200
            assert (await client.get(path, headers=admin)).status_code == 200
            refused = await client.get(path, headers=stranger)
            assert (refused.status_code, refused.json()["code"]) == (404, "reward_not_found")
            assert (await client.get(path)).status_code == 401
        assert (await client.get("/v1/rewards", headers=stranger)).json()["items"] == []
        trace = (await client.get(f"/v1/rewards/{reward['id']}/trace", headers=owner)).json()["steps"]
        assert [step["step"] for step in trace] == [
            "transaction_recorded",
            "facts_known",
            "accrued",
            "held",
            "verified",
            "queued",
        ]
        assert trace[2]["data"]["connector_reward_bps"] == 100
        assert trace[2]["data"]["amount_wei"] == TWENTY
        summary = (await client.get("/v1/rewards/summary", headers=owner)).json()
        assert summary == {
            "accrued_wei": TWENTY,
            "held_wei": "0",
            "queued_wei": TWENTY,
            "minted_wei": "0",
            "receivable_wei": "0",
            "by_reason": {},
        }
        other = world.mint.headers(story.talent_connector)
        held = (await client.get("/v1/rewards/summary", headers=other)).json()
        assert held["by_reason"] == {"no_payout_wallet": TWENTY}
        line = (await client.get("/v1/rewards/ledger", headers=owner)).json()["items"][0]
        assert (line["code"], line["amount_wei"], line["reward_id"]) == ("accrual", TWENTY, reward["id"])


async def test_lists_are_paged_in_a_stable_order(world: World, story: Story, client_for: ClientFor):
    await story.begin()
    for _ in range(5):
        await story.pay()
    owner = world.mint.headers(story.client_connector)
    async with client_for(_app(world)) as client:
        for path in ("/v1/rewards", "/v1/rewards/ledger"):
            seen: list[str] = []
            cursor: str | None = ""
            while cursor is not None:
                query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
                page = (await client.get(path, headers=owner, params=query)).json()
                seen += [item["id"] for item in page["items"]]
                cursor = page["next_cursor"]
            assert len(seen) == len(set(seen)) == 5
            for bad in ({"cursor": "!"}, {"cursor": "WyJ4Il0"}, {"limit": "0"}, {"limit": "x"}):
                assert (await client.get(path, headers=owner, params=bad)).status_code in {400, 422}
        queued = await client.get("/v1/rewards", headers=owner, params={"status": "queued", "limit": "100"})
        assert len(queued.json()["items"]) == 5
        assert (await client.get("/v1/rewards", headers=owner, params={"status": "x"})).status_code == 422


async def test_strangers_get_problems_and_never_faults(world: World, client_for: ClientFor):
    async with client_for(_app(world)) as client:
        for path, status in (
            ("/v1/rewards", 401),
            (f"/v1/rewards/{new_id()}/proof", 404),
            ("/v1/rewards/nonsense/proof", 404),
            ("/v1/token", 503),
            ("/v1/audit/supply", 503),
        ):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["status"]) == (status, status)
            assert answer.headers["content-type"].startswith("application/problem+json")


@pytest.mark.chain
async def test_the_service_by_itself_turns_events_into_btrst(
    postgres_dsn: str, neighbours: Neighbours, network: Network, client_for: ClientFor, mint: TokenMint
):
    """Nothing is ticked by hand: events on the bus in, RewardMinted and wallets out, the audit at zero."""
    bus = MemoryBus()
    await bus.create_topics([*TOPICS, "jobs.transaction.rewards.dlq"])
    async with fresh_database(postgres_dsn, "services/rewards/migrations") as dsn:
        settings = RewardsSettings(
            database_url=dsn,
            bus_url="memory://",
            identity_url=neighbours.url,
            jobs_url=neighbours.url,
            internal_secret=SECRET,
            fixed_price_usd_e8=PRICE,
            environment="test",
            **network.settings(),
        )
        ticker = asyncio.create_task(Ticker(network.node.rpc, block_seconds=0.5, confirmations=2).run())
        story = Story(World(dsn, neighbours))
        story.world.mint = mint
        try:
            async with client_for(create_app(SERVICE, settings=settings, token_source=mint, bus=bus)) as client:
                await _publish(bus, [story.wallet(member) for member in story.wallets])
                completed = story.completed()
                await _publish(bus, [completed, *story.registrations()])
                owner = mint.headers(story.client_connector)

                async def minted() -> Any:
                    items = (await client.get("/v1/rewards", headers=owner)).json()["items"]
                    return [item for item in items if item["status"] == "minted"]

                (reward,) = await eventually(minted, seconds=60)
                assert reward["minted_wei"] == TWENTY

                async def audited() -> Any:
                    answer = await client.get("/v1/audit/supply")
                    body = answer.json()
                    is_done = answer.status_code == 200 and body["onchain_minted_wei"] == str(2 * int(TWENTY))
                    return body if is_done else None

                audit = await eventually(audited, seconds=60)
                assert audit["difference_wei"] == "0"
                assert audit["as_of_block"] >= reward["block_number"]
                token = (await client.get("/v1/token")).json()
                assert token["address"] == network.deployment["contracts"]["btrst"]
                assert (token["chain_id"], token["price_usd_e8"]) == (31337, PRICE)
                assert token["rewards_minted_wei"] == str(2 * int(TWENTY))
                assert int(token["remaining_wei"]) == int(token["cap_wei"]) - int(token["total_supply_wei"])
                trace = (await client.get(f"/v1/rewards/{reward['id']}/trace", headers=owner)).json()["steps"]
                for step in ("reserved", "signed", "broadcast", "included", "minted"):
                    assert step in [each["step"] for each in trace]
                proof = (await client.get(f"/v1/rewards/{reward['id']}/proof")).json()
                assert proof["chain_tx_hash"] == reward["chain_tx_hash"]
                ready = (await client.get("/readyz")).json()
                assert ready["checks"]["payouts"] == ready["checks"]["chain"] == "ok"
        finally:
            ticker.cancel()
            await asyncio.gather(ticker, return_exceptions=True)
    for address in story.wallets.values():
        assert await network.balance(address) == int(TWENTY)


async def _publish(bus: MemoryBus, events: list[Event]) -> None:
    records = []
    for event in events:
        envelope = wrap(event, event_id=new_id(), sequence=1, time=utc_now(), traceparent=None)
        records.append(Record(event.topic(), event.key().encode(), envelope.to_bytes()))
    await bus.publish(records)


async def test_a_statement_has_every_line_of_its_days(world: World, story: Story, client_for: ClientFor):
    await story.begin()
    completed = await story.pay()
    await story.refund(completed, 25_000)
    owner, stranger = world.mint.headers(story.client_connector), world.mint.headers(new_id())
    today = utc_now().date()
    async with client_for(_app(world)) as client:
        answer = await client.get("/v1/rewards/statement", headers=owner)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        first = today - timedelta(days=365)
        assert answer.headers["content-disposition"] == f'attachment; filename="btrst-rewards-{first}-{today}.csv"'
        assert answer.text.count("\r\n") == answer.text.count("\n") == 3
        earned, reduced = csv.DictReader(io.StringIO(answer.text))
        assert (earned["entry"], earned["amount_wei"], earned["amount_btrst"]) == ("accrual", TWENTY, "20")
        assert (earned["kind"], earned["side"], earned["price_usd_e8"]) == ("connector", "client", str(PRICE))
        assert (reduced["entry"], reduced["amount_btrst"]) == ("cancel", "-5")
        assert {earned["transaction_id"], reduced["transaction_id"]} == {str(completed.transaction_id)}
        ask = "/v1/rewards/statement?from={}&to={}"
        assert (await client.get(ask.format(today, today), headers=owner)).text == answer.text
        yesterday = today - timedelta(days=1)
        empty = (await client.get(ask.format(yesterday, yesterday), headers=owner)).text
        assert empty.count("\r\n") == 1
        assert (await client.get("/v1/rewards/statement", headers=stranger)).text == empty
        assert (await client.get("/v1/rewards/statement")).status_code == 401
        for start, end in (
            (today, yesterday), (today - timedelta(days=366), today), ("0001-01-01", "0001-01-02"),
            ("9999-12-30", "9999-12-31"), ("yesterday", today), (0, today),
        ):  # fmt: skip
            refused = await client.get(ask.format(start, end), headers=owner)
            assert refused.status_code == 422, (start, end, refused.text)
        year = (await client.get("/v1/rewards/statement?to=2018-01-01", headers=owner)).text
        assert year == empty


async def test_a_statement_that_would_be_too_long_is_refused(
    world: World, story: Story, client_for: ClientFor, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reading, "STATEMENT_LINES", 1)
    await story.begin()
    completed = await story.pay()
    owner = world.mint.headers(story.client_connector)
    async with client_for(_app(world)) as client:
        assert (await client.get("/v1/rewards/statement", headers=owner)).status_code == 200
        await story.refund(completed, 25_000)
        refused = await client.get("/v1/rewards/statement", headers=owner)
        assert (refused.status_code, refused.json()["code"]) == (422, "statement_too_long")

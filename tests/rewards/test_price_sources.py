"""Where prices come from, for real: a JSON document behind a socket, a feed on a node; and what is made of them."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pydantic import ValidationError
from sqlalchemy import select

from chassis.clock import utc_now
from chassis.http import HttpClient
from scripts import price_history
from services.rewards import models, workers
from services.rewards.chain import FeedPrice
from services.rewards.clients.prices import HttpPrice
from services.rewards.domain.prices import HOUR, Observation, hour_of
from services.rewards.errors import PriceUnknown
from services.rewards.service import prices, review
from services.rewards.settings import RewardsSettings
from tests.gateway.servers import reply, served
from tests.rewards.chain_world import Network
from tests.rewards.world import World

FEED = "0x00000000000000000000000000000000000Feed1"
# latestRoundData() returns the words of slots 0 to 4, decimals() that of slot 5.
FEED_CODE = (
    "0x60003560e01c63313ce5671460325760005460005260015460205260025460405260035460605260045460805260a06000f3"
    "5b60055460005260206000f3"
)


class Market:
    """An ASGI application that answers with the next of its answers, and with the last one from then on."""

    def __init__(self, *answers: tuple[int, bytes]) -> None:
        self.answers = list(answers)
        self.asked: list[dict[bytes, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        self.asked.append(dict(scope["headers"]))
        status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        await reply(send, status, body)


@asynccontextmanager
async def market(*answers: tuple[int, bytes], pointer: str = "/price", **more: str) -> AsyncIterator[Any]:
    app = Market(*answers)
    async with served(app, lifespan="off") as port, HttpClient(timeout_seconds=1.0) as http:
        yield app, HttpPrice(http, f"http://127.0.0.1:{port}/btrst", pointer, name="market", **more)


@pytest.mark.parametrize(
    ("pointer", "body", "usd_e8"),
    [
        ("/price", b'{"price": 0.0676}', 6_760_000),
        ("/price", b'{"price": "0.067699999999"}', 6_769_999),
        ("/braintrust/usd", b'{"braintrust": {"usd": 6.76e-2}}', 6_760_000),
        ("/0/a~1b", b'[{"a/b": 2}]', 200_000_000),
        ("", b"0.1", 10_000_000),
        ("/price", b'{"price": 0.1000000000000000055511151231257827}', 10_000_000),
    ],
)
async def test_a_number_anywhere_in_a_document_is_read_exactly(pointer: str, body: bytes, usd_e8: int):
    async with market((200, body), pointer=pointer) as (_, source):
        assert await source.usd_e8() == usd_e8


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"{}", b'{"price": null}', b'{"price": true}', b'{"price": -1}', b'{"price": 0}',
        b'{"price": NaN}', b'{"price": "1e3"}', b'{"price": " 1"}', b'{"price": [1]}', b'{"price": 1e400}',
        b'{"price": "1_0"}', b'{"price": 1e999999999999}', b"[" * 100_000,
    ],
)  # fmt: skip
async def test_what_is_no_price_is_said_to_be_none(body: bytes):
    async with market((200, body)) as (app, source):
        with pytest.raises(PriceUnknown, match="market told no price"):
            await source.usd_e8()
        assert len(app.asked) == 1


async def test_a_source_that_is_away_is_asked_again_and_one_that_refuses_is_not():
    async with market((503, b""), (429, b""), (200, b'{"price": 1}'), authorization="Bearer x") as (app, source):
        assert await source.usd_e8() == 10**8
        assert [headers[b"authorization"] for headers in app.asked] == [b"Bearer x"] * 3
    async with market((500, b"")) as (app, source):
        with pytest.raises(PriceUnknown, match="it answered 500"):
            await source.usd_e8()
        assert len(app.asked) == 3
    async with market((401, b"")) as (app, source):
        with pytest.raises(PriceUnknown, match="it answered 401"):
            await source.usd_e8()
        assert len(app.asked) == 1
    async with HttpClient(timeout_seconds=0.2) as http:
        with pytest.raises(PriceUnknown, match="gone told no price"):
            await HttpPrice(http, "http://127.0.0.1:1/", "/price", name="gone").usd_e8()


async def feed(network: Network, **values: int) -> None:
    """Put a feed on the node, or change it."""
    await network.client.rpc.call("anvil_setCode", FEED, FEED_CODE)
    now = int(time.time())
    words = {"round": 7, "answer": 6_760_000, "started": now, "updated": now, "answered_in": 7, "decimals": 8} | values
    for slot, value in enumerate(words.values()):
        word = "0x" + value.to_bytes(32, "big", signed=value < 0).hex()
        await network.client.rpc.call("anvil_setStorageAt", FEED, hex(slot), word)
    await network.mine()


@pytest.mark.chain
async def test_a_price_feed_on_a_chain_is_scaled_by_its_decimals(network: Network):
    source = FeedPrice(network.client, FEED, max_age_seconds=3_600)
    with pytest.raises(PriceUnknown, match="cannot be read"):
        await source.usd_e8()
    await feed(network)
    assert await source.usd_e8() == 6_760_000
    await feed(network, answer=67_699_999_999_999_999, decimals=18)
    assert await source.usd_e8() == 6_769_999
    await feed(network, answer=7, decimals=2)
    assert await source.usd_e8() == 7_000_000


@pytest.mark.chain
@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"answer": 0}, "has no answer"),
        ({"answer": -5}, "has no answer"),
        ({"updated": 0}, "has no answer"),
        ({"answered_in": 6}, "has no answer"),
        ({"updated": 1_700_000_000}, "answer is of 2023-11-14"),
        ({"answer": 2**200}, "is no price"),
    ],
)
async def test_a_round_without_a_good_answer_is_no_price(network: Network, values: dict[str, int], why: str):
    await feed(network, **values)
    with pytest.raises(PriceUnknown, match=why):
        await FeedPrice(network.client, FEED, max_age_seconds=3_600).usd_e8()


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"price_source": "http"}, "REWARDS_PRICE_URL"),
        ({"price_source": "http", "price_url": "ftp://x"}, "REWARDS_PRICE_URL"),
        ({"price_source": "http", "price_url": "http://x", "price_pointer": "price"}, "slash"),
        ({"price_source": "aggregator", "price_feed_address": FEED}, "RPC"),
        ({"price_lowest_usd_e8": 2, "price_highest_usd_e8": 1}, "above"),
    ],
)
def test_settings_that_name_no_source_are_refused(settings: dict[str, Any], why: str):
    with pytest.raises(ValidationError, match=why):
        RewardsSettings(database_url="postgresql://x/y", **settings)


# --- what is made of observations ---------------------------------------------------------------------------------


async def tell(world: World, *observations: tuple[datetime, int]) -> None:
    """The market said so at these moments."""
    async with world.context.database.unit_of_work() as session:
        await prices.is_due(session, source="market", every=HOUR)  # from now on prices are the market's
        told = [Observation(at, usd_e8) for at, usd_e8 in observations]
        assert await prices.record_observations(session, source="market", observations=told) == len(told)


async def price(world: World, moment: datetime) -> int | None:
    async with world.context.database.unit_of_work() as session:
        found = await prices.price_as_of(session, moment)
    return None if found is None else found.usd_e8


async def test_a_market_makes_a_price_once_80_percent_of_30_days_are_known(world: World):
    now = utc_now()
    hour = hour_of(now)
    month = [(hour - n * HOUR + timedelta(minutes=1), 5_000_000 + n) for n in range(1, 576)]
    await tell(world, *month, (now, 4_000_000))
    assert await price(world, now) is None
    await tell(world, (hour - 720 * HOUR, 6_000_000))
    expected = (sum(usd_e8 for _, usd_e8 in month) + 6_000_000) // 576
    assert await price(world, now) == expected
    await tell(world, (now + timedelta(seconds=1), 9_000_000))
    assert await price(world, now) == expected, "what came later is not known yet"
    assert await price(world, now + timedelta(seconds=1)) == 9_000_000
    assert await price(world, now + timedelta(hours=2, seconds=2)) is None, "the latest is too old"
    async with world.context.database.unit_of_work() as session:
        found = await prices.price_as_of(session, now)
    assert found is not None
    assert (found.source, found.window) == (
        "market",
        f"max of the 30-day average {expected} (576 of 720 hours) and the latest 4000000",
    )


async def test_a_spike_within_an_hour_moves_the_average_no_further_than_a_median(world: World):
    now = utc_now()
    hour = hour_of(now)
    calm = [(hour - n * HOUR, 5_000_000) for n in range(1, 721)]
    wild = [(hour - n * HOUR + timedelta(minutes=m), 9_999_999_999) for n in range(1, 721) for m in (1,)]
    await tell(world, *calm, (now, 5_000_000))
    assert await price(world, now) == 5_000_000
    quiet = [(at + timedelta(minutes=1), 5_000_000) for at, _ in wild]
    await tell(world, *wild, *quiet)
    assert await price(world, now) == 5_000_000


async def test_a_crash_of_the_price_mints_no_more_than_the_average_allows(world: World):
    now = utc_now()
    month = [(hour_of(now) - n * HOUR, 5_000_000) for n in range(1, 721)]
    await tell(world, *month, (now, 100_000))
    assert await price(world, now) == 5_000_000


async def test_a_reward_held_for_want_of_a_price_is_paid_by_the_price_of_its_moment_once_that_is_known(
    world: World, story: Any
):
    await story.begin()
    await tell(world)
    completed = await story.pay()
    assert {(row.status, row.reason) for row in await world.rewards()} == {("held", "stale_price")}
    at = completed.completed_at
    month = [(hour_of(at) - n * HOUR, 25_000_000) for n in range(1, 721)]
    await tell(world, *month, (at - timedelta(seconds=1), 10_000_000), (at + timedelta(seconds=1), 90_000_000))
    await world.execute("UPDATE rewards SET check_at = clock_timestamp()")
    async with world.context.database.unit_of_work() as session:
        await review.review_due_rewards(session, limit=10)
    for row in await world.rewards():
        assert (row.status, row.amount_wei, row.price_usd_e8) == ("queued", 40 * 10**18, 25_000_000)
        assert (row.price_source, row.price_window.split()[:5]) == ("market", ["max", "of", "the", "30-day", "average"])


async def test_the_worker_asks_when_it_is_due_and_keeps_nothing_out_of_bounds(world: World):
    async def observed() -> list[int]:
        return [row.usd_e8 for row in await world.rows(select(models.price_observations))]

    def refused(reason: str) -> float:
        labels = {"source": "market", "reason": reason}
        return REGISTRY.get_sample_value("btrst_rewards_prices_refused_total", labels) or 0.0

    before = refused("out_of_bounds"), refused("unknown")
    resources = world.context.resources
    async with market((200, b'{"price": 0.05}'), (200, b'{"price": 101}'), (401, b"")) as (app, source):
        resources.prices = source
        for _ in range(2):
            await workers.observe_price(world.context)
        assert (await observed(), len(app.asked)) == ([5_000_000], 1), "it is not due"
        for _ in range(2):
            await world.execute("UPDATE price_observations SET observed_at = observed_at - interval '1 hour'")
            resources.price_asked_at = float("-inf")
            await workers.observe_price(world.context)
            await workers.observe_price(world.context)  # not again at once
        assert (await observed(), len(app.asked)) == ([5_000_000], 3)
    assert (refused("out_of_bounds"), refused("unknown")) == (before[0] + 1, before[1] + 1)


async def test_a_history_makes_a_price_for_the_past(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(price_history, "AT_ONCE", 100)
    now = utc_now()
    hour = hour_of(now)
    await tell(world)
    lines = [f"{(hour - n * HOUR).isoformat()},0.05" for n in range(1, 721)]
    found = price_history.observations_of([*lines, f"{now.isoformat()},0.04"])
    for _ in range(2):
        assert await price_history.keep(world.dsn, "market", found) == 721
    assert await price(world, now) == 5_000_000
    assert await price(world, now - 30 * HOUR) == 5_000_000


@pytest.mark.parametrize(
    "line", ["", "2026-11-01T00:00:00Z", "2026-11-01T00:00:00,1", "2999-01-01T00:00:00Z,1", "2026-11-01T00:00:00Z,x",
             "2026-11-01T00:00:00Z,0", "x,1", "2026-11-01T00:00:00Z,1,1"],
)  # fmt: skip
def test_a_line_that_is_no_price_is_named(line: str):
    with pytest.raises(ValueError, match=r"^line 2: "):
        price_history.observations_of(["2026-11-01T00:00:00Z,0.05", line])

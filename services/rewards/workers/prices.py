"""The loop that learns the price."""

from contextlib import AsyncExitStack
from datetime import timedelta
from time import monotonic

from prometheus_client import Counter

from chassis.chain.client import ChainClient
from chassis.chain.rpc import JsonRpc
from chassis.clock import utc_now
from chassis.context import Context
from chassis.http import HttpClient
from chassis.telemetry import log
from services.rewards.chain import FeedPrice
from services.rewards.clients.prices import FixedPrice, HttpPrice, PriceSource
from services.rewards.domain.amounts import Price
from services.rewards.domain.prices import Bounds, Observation
from services.rewards.errors import PriceUnknown
from services.rewards.service import prices
from services.rewards.settings import RewardsSettings

LONGEST_PAUSE_SECONDS = 15.0
"""A source that told no price is asked again after this, or sooner if it is to be asked more often."""

REFUSED = Counter("btrst_rewards_prices_refused", "Answers of a price source that were no price", ["source", "reason"])


async def open_source(settings: RewardsSettings, http: HttpClient, stack: AsyncExitStack) -> PriceSource:
    """The source of prices that the settings name; what it opens is closed with `stack`."""
    if settings.price_source == "http":
        authorization = settings.price_authorization.get_secret_value()
        return HttpPrice(
            http, settings.price_url, settings.price_pointer, name=settings.price_name, authorization=authorization
        )
    if settings.price_source == "aggregator":
        rpc = JsonRpc(settings.feed_urls, timeout_seconds=settings.rpc_timeout_seconds)
        stack.push_async_callback(rpc.close)
        max_age = settings.price_feed_max_age_seconds
        return FeedPrice(ChainClient(rpc), settings.price_feed_address, max_age_seconds=max_age)
    return FixedPrice(settings.fixed_price_usd_e8)


async def observe_price(context: Context) -> bool:
    """Learn what the source says now, if it is time to ask."""
    source: PriceSource = context.resources.prices
    if isinstance(source, FixedPrice):
        await _note_fixed(context, source)
        return False
    every = timedelta(seconds=context.settings.price_every_seconds)
    now = monotonic()
    if now < context.resources.price_asked_at + min(every.total_seconds(), LONGEST_PAUSE_SECONDS):
        return False
    async with context.database.unit_of_work() as session:
        if not await prices.is_due(session, source=source.name, every=every):
            return False
    context.resources.price_asked_at = now
    usd_e8 = await _ask(context.settings, source)
    if usd_e8 is None:
        return False
    observation = Observation(utc_now(), usd_e8)
    async with context.database.unit_of_work() as session:
        await prices.record_observations(session, source=source.name, observations=[observation])
    prices.OBSERVED_AT.labels(source.name).set(observation.observed_at.timestamp())
    return False


async def _note_fixed(context: Context, source: FixedPrice) -> None:
    try:
        price = Price(await source.usd_e8(), "fixed", source.name)
    except PriceUnknown:
        price = None
    async with context.database.unit_of_work() as session:
        await prices.observe_price(session, price=price, source=source.name)


async def _ask(settings: RewardsSettings, source: PriceSource) -> int | None:
    try:
        usd_e8 = await source.usd_e8()
    except PriceUnknown as problem:
        REFUSED.labels(source.name, "unknown").inc()
        log.warning("price_unknown", source=source.name, reason=problem.detail)
        return None
    if not Bounds(settings.price_lowest_usd_e8, settings.price_highest_usd_e8).hold(usd_e8):
        REFUSED.labels(source.name, "out_of_bounds").inc()
        log.error("price_out_of_bounds", source=source.name, usd_e8=usd_e8)
        return None
    return usd_e8

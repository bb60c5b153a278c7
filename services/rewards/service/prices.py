"""The price of a transaction's moment: fixed by the settings, or made of what a market's source said each hour."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from prometheus_client import Gauge

from chassis.clock import utc_now
from chassis.db import Session
from services.rewards.domain.amounts import Price
from services.rewards.domain.prices import HOUR, OBSERVED, Observation, hour_of, hours_before, median, price_at
from services.rewards.repository import prices

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
LATEST_MAX_AGE = timedelta(hours=2)
"""An observation older than this is no price of now."""

OBSERVED_AT = Gauge("btrst_rewards_price_observed_timestamp_seconds", "When a price was last learned", ["source"])


async def price_as_of(session: Session, moment: datetime) -> Price | None:
    """USD per BTRST at `moment`, or None when no price is known for it. Source: the network's rule 7."""
    row = await prices.find_price(session, moment)
    if row is None:
        return None
    if row.window == OBSERVED:
        return await _observed_price(session, row.source, moment)
    return None if row.usd_e8 is None else Price(usd_e8=row.usd_e8, window=row.window, source=row.source)


async def _observed_price(session: Session, source: str, moment: datetime) -> Price | None:
    last = await prices.find_observation(session, source, moment)
    latest = None if last is None else Observation(last.observed_at, last.usd_e8)
    medians = await prices.list_medians(session, source, *hours_before(moment))
    return price_at(moment, medians=medians, latest=latest, max_age=LATEST_MAX_AGE, source=source)


async def observe_price(session: Session, *, price: Price | None, source: str) -> bool:
    """Note the price that `source` gives now if it differs from the last one; True when it was noted.

    The first price ever noted holds for all time before it too; later ones from now on, so that a transaction is
    priced as of its own moment however late its event comes.
    """
    usd_e8, window = (price.usd_e8, price.window) if price else (None, "")
    return await _note(session, usd_e8=usd_e8, window=window, source=source)


async def is_due(session: Session, *, source: str, every: timedelta) -> bool:
    """Whether it is time to ask the source again. From now on, prices are what it says."""
    await _note(session, usd_e8=None, window=OBSERVED, source=source)
    now = utc_now()
    last = await prices.find_observation(session, source, now)
    return last is None or now - last.observed_at >= every


async def _note(session: Session, *, usd_e8: int | None, window: str, source: str) -> bool:
    now = utc_now()
    last = await prices.find_price(session, now)
    if last is None and usd_e8 is None and window != OBSERVED:
        return False
    if last is not None and (last.usd_e8, last.window, last.source) == (usd_e8, window, source):
        return False
    valid_from = BEGINNING if last is None else now
    await prices.insert_price(session, valid_from=valid_from, usd_e8=usd_e8, window=window, source=source)
    return True


async def record_observations(session: Session, *, source: str, observations: Iterable[Observation]) -> int:
    """Keep what a source said, and the medians of the hours it falls into; how many observations there were.

    One that is kept already stays. Observations of hours long past make prices for their own time, too: rewards that
    are held for want of them are priced when they are looked at next.
    """
    await prices.lock_source(session, source)
    count, hours = 0, set()
    for observation in observations:
        await prices.insert_observation(
            session, source=source, observed_at=observation.observed_at, usd_e8=observation.usd_e8
        )
        hours.add(hour_of(observation.observed_at))
        count += 1
    for hour in sorted(hours):
        observed = await prices.list_observed(session, source, hour, hour + HOUR)
        await prices.put_hour(session, source=source, hour=hour, median_usd_e8=median(observed))
    return count

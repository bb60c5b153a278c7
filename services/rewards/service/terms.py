"""The terms a transaction is rewarded on: the version of the parameters it names, and the price of its moment."""

from collections.abc import Mapping
from datetime import UTC, datetime

from chassis.clock import utc_now
from chassis.db import Session
from events.governance import GENESIS_PARAMETERS
from services.rewards.domain.amounts import Parameters, Price
from services.rewards.repository import facts

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


async def parameters_of(session: Session, version: int) -> Parameters | None:
    """The parameters of a version, or None while it is not known. Version 0 always is."""
    stored = await facts.find_parameters(session, version)
    if stored is None and version != 0:
        return None
    return _as_parameters(version, stored or {})


async def current_parameters(session: Session, now: datetime) -> Parameters:
    """The newest parameters in force at `now`."""
    version = await facts.find_current_version(session, now)
    found = await parameters_of(session, version or 0)
    assert found is not None, "versions are never deleted"
    return found


def _as_parameters(version: int, values: Mapping[str, int]) -> Parameters:
    whole = GENESIS_PARAMETERS | dict(values)  # a name that an old version lacks has its value of version 0
    return Parameters(
        version=version,
        connector_reward_bps=whole["connector_reward_bps"],
        referral_duration_seconds=whole["referral_duration_seconds"],
        reward_hold_seconds=whole["reward_hold_seconds"],
        epoch_seconds=whole["epoch_seconds"],
        epoch_budget_wei=whole["epoch_budget_wei"],
        min_payout_wei=whole["min_payout_wei"],
    )


async def price_as_of(session: Session, moment: datetime) -> Price | None:
    """USD per BTRST at `moment`, or None when no price is known for it. Source: the network's rule 7."""
    row = await facts.find_price(session, moment)
    if row is None or row.usd_e8 is None:
        return None
    return Price(usd_e8=row.usd_e8, window=row.window, source=row.source)


async def observe_price(session: Session, *, price: Price | None, source: str) -> bool:
    """Note the price that `source` gives now if it differs from the last one; True when it was noted.

    The first price ever noted holds for all time before it too; later ones from now on, so that a transaction is
    priced as of its own moment however late its event comes.
    """
    now = utc_now()
    last = await facts.find_price(session, now)
    usd_e8, window = (price.usd_e8, price.window) if price else (None, "")
    if last is None and price is None:
        return False
    if last is not None and (last.usd_e8, last.window, last.source) == (usd_e8, window, source):
        return False
    valid_from = BEGINNING if last is None else now
    await facts.insert_price(session, valid_from=valid_from, usd_e8=usd_e8, window=window, source=source)
    return True

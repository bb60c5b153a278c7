"""Offers."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from chassis.db import Session
from services.jobs.models import offers
from services.jobs.repository.parties import (
    Position,
    Row,
    insert_row,
    newest_first,
    one_of_party,
    seen_by,
    update_row,
)


async def insert_offer(session: Session, values: Mapping[str, Any]) -> Row:
    """Insert; the new offer."""
    return await insert_row(session, offers, values)


async def get_offer(session: Session, offer_id: UUID, *, viewer_id: UUID) -> Row:
    """The offer. Raises: NotFound."""
    return await one_of_party(session, offers, offer_id, viewer_id)


async def lock_offer(session: Session, offer_id: UUID, *, viewer_id: UUID) -> Row:
    """The offer, locked to be changed. Raises: NotFound."""
    return await one_of_party(session, offers, offer_id, viewer_id, lock="update")


async def update_offer(session: Session, offer_id: UUID, values: Mapping[str, Any]) -> Row:
    """Change a locked offer; the offer as it is now."""
    return await update_row(session, offers, offer_id, values)


async def list_offers(
    session: Session, *, viewer_id: UUID, bid_id: UUID | None, limit: int, after: Position | None
) -> Sequence[Row]:
    """The viewer's offers, made and received, all or those on one bid."""
    conditions = [seen_by(offers, viewer_id)]
    if bid_id is not None:
        conditions.append(offers.c.bid_id == bid_id)
    return await newest_first(session, offers, *conditions, limit=limit, after=after)

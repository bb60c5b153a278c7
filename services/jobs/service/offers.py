"""Offers: a client's answer to a bid. An accepted one becomes an engagement."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from chassis.clock import utc_now
from chassis.db import Session
from chassis.ids import new_id
from chassis.outbox import publish
from events.jobs import EngagementStarted, OfferAccepted, OfferDeclined, OfferMade, OfferWithdrawn
from services.jobs.domain.actors import Actor, require_side
from services.jobs.domain.states import (
    BID_MOVES,
    OFFER_MOVES,
    EngagementStatus,
    JobStatus,
    OfferStatus,
    move,
    require_state,
)
from services.jobs.repository import bids, engagements, jobs
from services.jobs.repository import offers as repository
from services.jobs.repository.parties import Position, Row


async def make_offer(
    session: Session, *, actor: Actor, bid_id: UUID, rate_cents: int | None, message: str | None
) -> Row:
    """The new offer on a bid, at the bid's rate unless another is given. One is open at a time.

    Raises: NotFound, Forbidden, InvalidState (the job is not open, or the bid not without an offer).
    """
    bid = await bids.get_bid(session, bid_id, viewer_id=actor.member_id)
    require_side(actor, bid.client_id, side="client")
    job = await jobs.hold_job(session, bid.job_id, viewer_id=actor.member_id)
    bid = await bids.lock_bid(session, bid_id, viewer_id=actor.member_id)
    require_state(JobStatus.OPEN, job.status, noun="job")
    await bids.update_bid(session, bid.id, {"status": move(BID_MOVES, "offer", bid.status, noun="bid")})
    values = {
        "id": new_id(),
        "created_at": utc_now(),
        "bid_id": bid.id,
        "job_id": bid.job_id,
        "client_id": bid.client_id,
        "talent_id": bid.talent_id,
        "rate_cents": bid.rate_cents if rate_cents is None else rate_cents,
        "message": message,
        "status": OfferStatus.OPEN,
    }
    offer = await repository.insert_offer(session, values)
    publish(session, OfferMade(**_named(offer), rate_cents=offer.rate_cents, made_at=offer.created_at))
    return offer


async def get_offer(session: Session, *, viewer_id: UUID, offer_id: UUID) -> Row:
    """The offer, for its two parties.

    Raises: NotFound.
    """
    return await repository.get_offer(session, offer_id, viewer_id=viewer_id)


async def list_my_offers(session: Session, *, viewer_id: UUID, limit: int, after: Position | None) -> Sequence[Row]:
    """The offers the viewer made or received, newest first."""
    return await repository.list_offers(session, viewer_id=viewer_id, bid_id=None, limit=limit, after=after)


async def list_offers_on(
    session: Session, *, viewer_id: UUID, bid_id: UUID, limit: int, after: Position | None
) -> Sequence[Row]:
    """The offers on one bid, newest first.

    Raises: NotFound when the bid is not the viewer's to see.
    """
    await bids.get_bid(session, bid_id, viewer_id=viewer_id)
    return await repository.list_offers(session, viewer_id=viewer_id, bid_id=bid_id, limit=limit, after=after)


async def accept_offer(session: Session, *, actor: Actor, offer_id: UUID) -> Row:
    """The offer, accepted, with the engagement that starts by it.

    Raises: NotFound, Forbidden, InvalidState.
    """
    bid, offer = await _lock_with_bid(session, actor=actor, offer_id=offer_id)
    require_side(actor, offer.talent_id, side="Talent")
    status = move(OFFER_MOVES, "accept", offer.status, noun="offer")
    await bids.update_bid(session, bid.id, {"status": move(BID_MOVES, "accept", bid.status, noun="bid")})
    now = utc_now()
    engagement = await _start_engagement(session, offer=offer, now=now)
    changes = {"status": status, "decided_at": now, "engagement_id": engagement.id}
    offer = await repository.update_offer(session, offer.id, changes)
    publish(session, OfferAccepted(**_named(offer), engagement_id=engagement.id, accepted_at=now))
    return offer


async def decline_offer(session: Session, *, actor: Actor, offer_id: UUID) -> Row:
    """The offer, declined by its Talent; the bid stands, open to another offer.

    Raises: NotFound, Forbidden, InvalidState.
    """
    offer = await _end_offer(session, actor=actor, offer_id=offer_id, action="decline", side="Talent")
    publish(session, OfferDeclined(**_named(offer), declined_at=offer.decided_at))
    return offer


async def withdraw_offer(session: Session, *, actor: Actor, offer_id: UUID) -> Row:
    """The offer, taken back by its client; the bid stands, open to another offer.

    Raises: NotFound, Forbidden, InvalidState.
    """
    offer = await _end_offer(session, actor=actor, offer_id=offer_id, action="withdraw", side="client")
    publish(session, OfferWithdrawn(**_named(offer), withdrawn_at=offer.decided_at))
    return offer


async def _end_offer(session: Session, *, actor: Actor, offer_id: UUID, action: str, side: str) -> Row:
    bid, offer = await _lock_with_bid(session, actor=actor, offer_id=offer_id)
    require_side(actor, offer.talent_id if side == "Talent" else offer.client_id, side=side)
    status = move(OFFER_MOVES, action, offer.status, noun="offer")
    await bids.update_bid(session, bid.id, {"status": move(BID_MOVES, "release", bid.status, noun="bid")})
    return await repository.update_offer(session, offer.id, {"status": status, "decided_at": utc_now()})


def _named(offer: Row) -> dict[str, UUID]:
    """What every event of the offer names."""
    return {
        "offer_id": offer.id,
        "bid_id": offer.bid_id,
        "job_id": offer.job_id,
        "client_id": offer.client_id,
        "talent_id": offer.talent_id,
    }


async def _lock_with_bid(session: Session, *, actor: Actor, offer_id: UUID) -> tuple[Row, Row]:
    offer = await repository.get_offer(session, offer_id, viewer_id=actor.member_id)
    bid = await bids.lock_bid(session, offer.bid_id, viewer_id=actor.member_id)
    return bid, await repository.lock_offer(session, offer_id, viewer_id=actor.member_id)


async def _start_engagement(session: Session, *, offer: Row, now: datetime) -> Row:
    values = {
        "id": new_id(),
        "created_at": now,
        "job_id": offer.job_id,
        "bid_id": offer.bid_id,
        "offer_id": offer.id,
        "client_id": offer.client_id,
        "talent_id": offer.talent_id,
        "rate_cents": offer.rate_cents,
        "status": EngagementStatus.ACTIVE,
        "started_at": now,
    }
    engagement = await engagements.insert_engagement(session, values)
    event = EngagementStarted(
        engagement_id=engagement.id,
        job_id=engagement.job_id,
        client_id=engagement.client_id,
        talent_id=engagement.talent_id,
        rate_cents=engagement.rate_cents,
        started_at=now,
    )
    publish(session, event)
    return engagement

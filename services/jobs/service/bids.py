"""Bids: what a Talent would do a job for."""

from collections.abc import Sequence
from uuid import UUID

from chassis.clock import utc_now
from chassis.db import Session
from chassis.ids import new_id
from chassis.outbox import publish
from events.jobs import BidPlaced, BidWithdrawn
from services.jobs.domain.actors import Actor, require_role, require_side
from services.jobs.domain.states import BID_MOVES, BidStatus, JobStatus, move, require_state
from services.jobs.errors import DuplicateBid, OwnJob
from services.jobs.repository import bids as repository
from services.jobs.repository import jobs
from services.jobs.repository.parties import Position, Row


async def place_bid(session: Session, *, actor: Actor, job_id: UUID, rate_cents: int, cover_letter: str) -> Row:
    """The new bid on an open job.

    Raises: NotFound, OwnJob, MissingRole, InvalidState (the job is not open), DuplicateBid.
    """
    job = await jobs.hold_job(session, job_id, viewer_id=actor.member_id)
    if job.client_id == actor.member_id:
        raise OwnJob
    require_role(actor, "talent")
    require_state(JobStatus.OPEN, job.status, noun="job")
    now = utc_now()
    values = {
        "id": new_id(),
        "created_at": now,
        "job_id": job.id,
        "client_id": job.client_id,
        "talent_id": actor.member_id,
        "rate_cents": rate_cents,
        "cover_letter": cover_letter,
        "status": BidStatus.PLACED,
    }
    bid = await repository.insert_bid(session, values)
    if bid is None:
        raise DuplicateBid
    publish(
        session,
        BidPlaced(
            bid_id=bid.id,
            job_id=job.id,
            client_id=job.client_id,
            talent_id=bid.talent_id,
            rate_cents=rate_cents,
            placed_at=now,
        ),
    )
    return bid


async def get_bid(session: Session, *, viewer_id: UUID, bid_id: UUID) -> Row:
    """The bid, for its Talent and the job's client.

    Raises: NotFound.
    """
    return await repository.get_bid(session, bid_id, viewer_id=viewer_id)


async def list_bids_on(
    session: Session, *, viewer_id: UUID, job_id: UUID, limit: int, after: Position | None
) -> Sequence[Row]:
    """The bids on a job: all for its client, only their own for a Talent; newest first.

    Raises: NotFound when the job is not the viewer's to see.
    """
    await jobs.get_job(session, job_id, viewer_id=viewer_id)
    return await repository.list_bids_on(session, job_id, viewer_id=viewer_id, limit=limit, after=after)


async def list_my_bids(session: Session, *, talent_id: UUID, limit: int, after: Position | None) -> Sequence[Row]:
    """The Talent's own bids, newest first."""
    return await repository.list_bids_by(session, talent_id, limit=limit, after=after)


async def withdraw_bid(session: Session, *, actor: Actor, bid_id: UUID) -> Row:
    """The bid, withdrawn; the Talent may bid anew. A bid with an open offer is answered by declining that.

    Raises: NotFound, Forbidden, InvalidState.
    """
    bid = await repository.lock_bid(session, bid_id, viewer_id=actor.member_id)
    require_side(actor, bid.talent_id, side="Talent")
    status = move(BID_MOVES, "withdraw", bid.status, noun="bid")
    now = utc_now()
    bid = await repository.update_bid(session, bid.id, {"status": status, "withdrawn_at": now})
    publish(
        session,
        BidWithdrawn(
            bid_id=bid.id, job_id=bid.job_id, client_id=bid.client_id, talent_id=bid.talent_id, withdrawn_at=now
        ),
    )
    return bid

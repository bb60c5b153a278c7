"""Endpoints of bids."""

from uuid import UUID

from fastapi import Response

from chassis.web import Page, Paging, SessionDep, created, new_router, problems
from services.jobs.routes.common import ActorDep, as_page
from services.jobs.schemas.hiring import BidCreate, BidRead
from services.jobs.service import bids as service

router = new_router("bids")


@router.post(
    "/v1/jobs/{job_id}/bids",
    operation_id="place_bid",
    summary="Bid on a job",
    status_code=201,
    responses=problems(401, 403, 404, 409),
)
async def place_bid(job_id: UUID, body: BidCreate, session: SessionDep, actor: ActorDep, response: Response) -> BidRead:
    """Needs the role talent; not on one's own job. One bid per Talent and job, until it is withdrawn."""
    bid = await service.place_bid(session, actor=actor, job_id=job_id, **body.model_dump())
    created(response, f"/v1/bids/{bid.id}")
    return BidRead.model_validate(bid)


@router.get(
    "/v1/jobs/{job_id}/bids",
    operation_id="list_bids_on_job",
    summary="List a job's bids",
    responses=problems(401, 404),
)
async def list_bids_on_job(job_id: UUID, session: SessionDep, actor: ActorDep, paging: Paging) -> Page[BidRead]:
    """The job's client gets all, others only their own; newest first."""
    rows = await service.list_bids_on(
        session, viewer_id=actor.member_id, job_id=job_id, limit=paging.limit + 1, after=paging.after_time_id()
    )
    return as_page(BidRead, rows, paging)


@router.get("/v1/bids", operation_id="list_bids", summary="List my bids", responses=problems(401))
async def list_bids(session: SessionDep, actor: ActorDep, paging: Paging) -> Page[BidRead]:
    """My own bids on any job, newest first."""
    rows = await service.list_my_bids(
        session, talent_id=actor.member_id, limit=paging.limit + 1, after=paging.after_time_id()
    )
    return as_page(BidRead, rows, paging)


@router.get("/v1/bids/{bid_id}", operation_id="get_bid", summary="Read a bid", responses=problems(401, 404))
async def get_bid(bid_id: UUID, session: SessionDep, actor: ActorDep) -> BidRead:
    """For its Talent and the job's client."""
    return BidRead.model_validate(await service.get_bid(session, viewer_id=actor.member_id, bid_id=bid_id))


@router.post(
    "/v1/bids/{bid_id}/withdraw",
    operation_id="withdraw_bid",
    summary="Take a bid back",
    responses=problems(401, 403, 404, 409),
)
async def withdraw_bid(bid_id: UUID, session: SessionDep, actor: ActorDep) -> BidRead:
    """Its Talent only; placed → withdrawn. An open offer has to be declined first."""
    return BidRead.model_validate(await service.withdraw_bid(session, actor=actor, bid_id=bid_id))

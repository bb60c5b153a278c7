"""Endpoints of offers."""

from typing import Annotated
from uuid import UUID

from fastapi import Body, Response

from chassis.web import Page, Paging, SessionDep, created, new_router, problems
from services.jobs.routes.common import ActorDep, as_page
from services.jobs.schemas.hiring import OfferCreate, OfferRead
from services.jobs.service import offers as service

router = new_router("offers")


@router.post(
    "/v1/bids/{bid_id}/offers",
    operation_id="make_offer",
    summary="Offer a bid's Talent the job",
    status_code=201,
    responses=problems(401, 403, 404, 409),
)
async def make_offer(
    bid_id: UUID,
    session: SessionDep,
    actor: ActorDep,
    response: Response,
    body: Annotated[OfferCreate | None, Body()] = None,
) -> OfferRead:
    """The job's client only, while the job is open; one open offer per bid."""
    wanted = body or OfferCreate()
    offer = await service.make_offer(
        session, actor=actor, bid_id=bid_id, rate_cents=wanted.rate_cents, message=wanted.message
    )
    created(response, f"/v1/offers/{offer.id}")
    return OfferRead.model_validate(offer)


@router.get(
    "/v1/bids/{bid_id}/offers",
    operation_id="list_offers_on_bid",
    summary="List a bid's offers",
    responses=problems(401, 404),
)
async def list_offers_on_bid(bid_id: UUID, session: SessionDep, actor: ActorDep, paging: Paging) -> Page[OfferRead]:
    """For the bid's Talent and the job's client, newest first."""
    rows = await service.list_offers_on(
        session, viewer_id=actor.member_id, bid_id=bid_id, limit=paging.limit + 1, after=paging.after_time_id()
    )
    return as_page(OfferRead, rows, paging)


@router.get("/v1/offers", operation_id="list_offers", summary="List my offers", responses=problems(401))
async def list_offers(session: SessionDep, actor: ActorDep, paging: Paging) -> Page[OfferRead]:
    """Those I made and those I received, newest first."""
    rows = await service.list_my_offers(
        session, viewer_id=actor.member_id, limit=paging.limit + 1, after=paging.after_time_id()
    )
    return as_page(OfferRead, rows, paging)


@router.get("/v1/offers/{offer_id}", operation_id="get_offer", summary="Read an offer", responses=problems(401, 404))
async def get_offer(offer_id: UUID, session: SessionDep, actor: ActorDep) -> OfferRead:
    """For its two parties."""
    return OfferRead.model_validate(await service.get_offer(session, viewer_id=actor.member_id, offer_id=offer_id))


@router.post(
    "/v1/offers/{offer_id}/accept",
    operation_id="accept_offer",
    summary="Accept an offer",
    responses=problems(401, 403, 404, 409),
)
async def accept_offer(offer_id: UUID, session: SessionDep, actor: ActorDep) -> OfferRead:
    """The bid's Talent only; starts the engagement `engagement_id`."""
    return OfferRead.model_validate(await service.accept_offer(session, actor=actor, offer_id=offer_id))


@router.post(
    "/v1/offers/{offer_id}/decline",
    operation_id="decline_offer",
    summary="Decline an offer",
    responses=problems(401, 403, 404, 409),
)
async def decline_offer(offer_id: UUID, session: SessionDep, actor: ActorDep) -> OfferRead:
    """The bid's Talent only; the bid stands, open to another offer."""
    return OfferRead.model_validate(await service.decline_offer(session, actor=actor, offer_id=offer_id))


@router.post(
    "/v1/offers/{offer_id}/withdraw",
    operation_id="withdraw_offer",
    summary="Take an offer back",
    responses=problems(401, 403, 404, 409),
)
async def withdraw_offer(offer_id: UUID, session: SessionDep, actor: ActorDep) -> OfferRead:
    """Its client only; the bid stands, open to another offer."""
    return OfferRead.model_validate(await service.withdraw_offer(session, actor=actor, offer_id=offer_id))

"""Endpoints of engagements."""

from typing import Annotated
from uuid import UUID

from fastapi import Query

from chassis.web import Page, Paging, SessionDep, new_router, problems
from services.jobs.routes.common import ActorDep, as_page
from services.jobs.schemas.hiring import EngagementRead, EngagementState
from services.jobs.service import engagements as service

router = new_router("engagements")


@router.get("/v1/engagements", operation_id="list_engagements", summary="List my engagements", responses=problems(401))
async def list_engagements(
    session: SessionDep,
    actor: ActorDep,
    paging: Paging,
    status: Annotated[EngagementState | None, Query(description="Only those in this state")] = None,
) -> Page[EngagementRead]:
    """As client and as Talent, newest first."""
    rows = await service.list_my_engagements(
        session, viewer_id=actor.member_id, status=status, limit=paging.limit + 1, after=paging.after_time_id()
    )
    return as_page(EngagementRead, rows, paging)


@router.get(
    "/v1/engagements/{engagement_id}",
    operation_id="get_engagement",
    summary="Read an engagement",
    responses=problems(401, 404),
)
async def get_engagement(engagement_id: UUID, session: SessionDep, actor: ActorDep) -> EngagementRead:
    """For its two parties."""
    row = await service.get_engagement(session, viewer_id=actor.member_id, engagement_id=engagement_id)
    return EngagementRead.model_validate(row)


@router.post(
    "/v1/engagements/{engagement_id}/end",
    operation_id="end_engagement",
    summary="End an engagement",
    responses=problems(401, 404, 409),
)
async def end_engagement(engagement_id: UUID, session: SessionDep, actor: ActorDep) -> EngagementRead:
    """Either party; no new invoices, those submitted can still be approved and paid."""
    row = await service.end_engagement(session, actor=actor, engagement_id=engagement_id)
    return EngagementRead.model_validate(row)

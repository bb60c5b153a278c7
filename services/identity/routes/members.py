"""Members: registration, profiles, roles, suspension, and whom a member brought."""

from uuid import UUID

from fastapi import Request, Response

from chassis.auth import AdminDep, CallerDep
from chassis.web import (
    Page,
    Paging,
    SessionDep,
    check_if_match,
    created,
    etag_of,
    new_router,
    page_of,
    problems,
)
from services.identity.domain.passwords import hash_password
from services.identity.repository.members import Member
from services.identity.routes.resources import ResourcesDep
from services.identity.schemas import (
    MemberCreate,
    MemberRead,
    MemberUpdate,
    ProfileRead,
    ReferralRead,
    RolesUpdate,
)
from services.identity.service import members as service

router = new_router("members", prefix="/v1")


def _answer(response: Response, member: Member) -> MemberRead:
    response.headers["ETag"] = etag_of(member.id, member.version)
    return MemberRead.model_validate(member)


@router.post(
    "/members",
    operation_id="register_member",
    summary="Join the network",
    status_code=201,
    response_model=MemberRead,
    responses=problems(409, 413, 415, 429),
)
async def register_member(
    body: MemberCreate, response: Response, session: SessionDep, resources: ResourcesDep
) -> MemberRead:
    """Anybody may. A `referral_code` says who brought the new member; it cannot be added later."""
    password_hash = await resources.run(hash_password, body.password)
    member = await service.register_member(
        session,
        email=body.email,
        password_hash=password_hash,
        display_name=body.display_name,
        roles=body.roles,
        referral_code=body.referral_code,
    )
    created(response, f"/v1/members/{member.id}")
    return _answer(response, member)


@router.get(
    "/members/me",
    operation_id="get_own_member",
    summary="Read your own member record",
    response_model=MemberRead,
    responses=problems(401),
)
async def get_own_member(caller: CallerDep, response: Response, session: SessionDep) -> MemberRead:
    """With an `ETag`, for `If-Match` on a change."""
    return _answer(response, await service.get_member(session, member_id=caller.member_id))


@router.patch(
    "/members/me",
    operation_id="update_own_member",
    summary="Change your profile",
    response_model=MemberRead,
    responses=problems(401, 412, 413, 415),
)
async def update_own_member(
    body: MemberUpdate, caller: CallerDep, request: Request, response: Response, session: SessionDep
) -> MemberRead:
    """Fields that are left out stay. `If-Match` guards against overwriting a change you have not seen."""
    member = await service.lock_member(session, member_id=caller.member_id)
    check_if_match(request, etag_of(member.id, member.version))
    changes = body.model_dump(exclude_unset=True)
    return _answer(response, await service.update_profile(session, member=member, **{"display_name": None, **changes}))


@router.get(
    "/members/{member_id}",
    operation_id="get_member",
    summary="Read a member's public profile",
    response_model=ProfileRead,
    responses=problems(404),
)
async def get_member(member_id: UUID, session: SessionDep) -> ProfileRead:
    """What everybody may know of a member."""
    return ProfileRead.model_validate(await service.get_member(session, member_id=member_id))


@router.put(
    "/members/{member_id}/roles",
    operation_id="set_member_roles",
    summary="Set a member's roles",
    response_model=MemberRead,
    responses=problems(401, 403, 404, 409, 413, 415),
)
async def set_member_roles(
    member_id: UUID, body: RolesUpdate, caller: AdminDep, response: Response, session: SessionDep
) -> MemberRead:
    """Administrators only. Tokens made from now on carry the new roles."""
    member = await service.set_roles(session, member_id=member_id, roles=body.roles, by=caller.member_id)
    return _answer(response, member)


@router.post(
    "/members/{member_id}/suspend",
    operation_id="suspend_member",
    summary="Suspend a member",
    response_model=MemberRead,
    responses=problems(401, 403, 404, 409),
)
async def suspend_member(member_id: UUID, caller: AdminDep, response: Response, session: SessionDep) -> MemberRead:
    """Administrators only. The member's sessions end and their tokens stop working within 5 seconds."""
    return _answer(response, await service.suspend_member(session, member_id=member_id, by=caller.member_id))


@router.post(
    "/members/{member_id}/reinstate",
    operation_id="reinstate_member",
    summary="End a member's suspension",
    response_model=MemberRead,
    responses=problems(401, 403, 404, 409),
)
async def reinstate_member(member_id: UUID, _: AdminDep, response: Response, session: SessionDep) -> MemberRead:
    """Administrators only. The member logs in anew."""
    return _answer(response, await service.reinstate_member(session, member_id=member_id))


@router.get(
    "/referrals",
    operation_id="list_referrals",
    summary="List whom you brought",
    response_model=Page[ReferralRead],
    responses=problems(401),
)
async def list_referrals(caller: CallerDep, paging: Paging, session: SessionDep) -> Page[ReferralRead]:
    """Oldest first."""
    rows = await service.list_referrals(
        session, connector_id=caller.member_id, after=paging.after_id(), limit=paging.limit + 1
    )
    items, next_cursor = page_of(rows, paging, key=lambda row: (row.id,))
    return Page(items=[ReferralRead.model_validate(row) for row in items], next_cursor=next_cursor)

"""Use cases of members: they register, are referred, change their profile, get roles, are suspended."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from chassis.clock import utc_now
from chassis.db import Session
from chassis.errors import InvalidState
from chassis.ids import new_id
from chassis.outbox import publish
from events.identity import MemberRegistered, MemberRolesChanged, MemberSuspended, ReferralAttributed, Role
from services.identity.domain.members import (
    Email,
    check_display_name,
    check_referral,
    new_referral_code,
    order_roles,
    parse_email,
    read_referral_code,
)
from services.identity.errors import EmailTaken, OwnAdminRole, UnknownReferralCode
from services.identity.repository import members as repository
from services.identity.repository.members import Member
from services.identity.repository.sessions import insert_revocations
from services.identity.service.sessions import end_all_sessions

CODE_ATTEMPTS = 8
"""Fresh referral codes tried before giving up: two alike are one in 10^14."""


async def register_member(
    session: Session,
    *,
    email: str,
    password_hash: str,
    display_name: str,
    roles: Sequence[Role],
    referral_code: str | None = None,
) -> Member:
    """The new member. Who referred them is fixed here, in the same unit of work, or never.

    Raises: InvalidEmail, InvalidDisplayName, UnknownReferralCode, SelfReferral, EmailTaken.
    Source: the network's rules, rule 5.
    """
    address = parse_email(email)
    name = check_display_name(display_name)
    connector_id = await _connector_of(session, referral_code, address)
    now = utc_now()
    member = await _insert(
        session,
        address,
        password_hash,
        Member(
            id=new_id(),
            email=address.address,
            display_name=name,
            roles=order_roles(roles),
            referral_code=new_referral_code(),
            status="active",
            version=1,
            created_at=now,
            referred_by=connector_id,
            attributed_at=now if connector_id else None,
        ),
    )
    if connector_id is not None:
        await repository.insert_referral(
            session, referral_id=new_id(), member_id=member.id, connector_id=connector_id, attributed_at=now
        )
    _publish_registration(session, member)
    return member


async def _connector_of(session: Session, referral_code: str | None, referred: Email) -> UUID | None:
    if referral_code is None:
        return None
    code = read_referral_code(referral_code)
    connector = await repository.find_connector(session, code=code) if code else None
    if connector is None:
        raise UnknownReferralCode("Nobody has this referral code; leave it out to register without one")
    check_referral(referred=referred, connector_normalized=connector.email_normalized)
    connector_id: UUID = connector.id
    return connector_id


async def _insert(session: Session, email: Email, password_hash: str, member: Member) -> Member:
    for _ in range(CODE_ATTEMPTS):
        if await repository.insert_member(session, member=member, email=email, password_hash=password_hash):
            return member
        if await repository.is_email_taken(session, folded=email.folded):
            raise EmailTaken("A member with this e-mail address exists; log in instead")
        member = replace(member, referral_code=new_referral_code())
    raise AssertionError(f"{CODE_ATTEMPTS} fresh referral codes were all taken")


def _publish_registration(session: Session, member: Member) -> None:
    publish(
        session,
        MemberRegistered(
            member_id=member.id,
            roles=member.roles,
            connector_id=member.referred_by,
            registered_at=member.created_at,
        ),
    )
    if member.referred_by is not None and member.attributed_at is not None:
        publish(
            session,
            ReferralAttributed(
                member_id=member.id, connector_id=member.referred_by, attributed_at=member.attributed_at
            ),
        )


async def ensure_admin(session: Session, *, email: str, password_hash: str, display_name: str) -> Member | None:
    """The first administrator, registered like anybody; None when the e-mail address is a member's already.

    Raises: InvalidEmail, InvalidDisplayName.
    """
    if await is_member(session, email=email):
        return None
    try:
        return await register_member(
            session, email=email, password_hash=password_hash, display_name=display_name, roles=["admin"]
        )
    except EmailTaken:
        return None  # another process was first


async def is_member(session: Session, *, email: str) -> bool:
    """True when somebody registered with this address. Raises: InvalidEmail."""
    return await repository.is_email_taken(session, folded=parse_email(email).folded)


async def get_member(session: Session, *, member_id: UUID) -> Member:
    """The member. Raises: NotFound."""
    return await repository.get_member(session, member_id)


async def lock_member(session: Session, *, member_id: UUID) -> Member:
    """The member, unchanged by anybody else until the commit. Raises: NotFound."""
    return await repository.lock_member(session, member_id)


async def update_profile(session: Session, *, member: Member, display_name: str | None) -> Member:
    """The locked member with the given fields changed; None leaves one as it is.

    Raises: InvalidDisplayName.
    """
    if display_name is None or check_display_name(display_name) == member.display_name:
        return member
    await repository.update_member(session, member.id, display_name=check_display_name(display_name))
    return await repository.get_member(session, member.id)


async def set_roles(session: Session, *, member_id: UUID, roles: Sequence[Role], by: UUID) -> Member:
    """The member with exactly these roles; tokens made from now on carry them.

    Raises: NotFound, OwnAdminRole.
    """
    member = await repository.lock_member(session, member_id)
    wanted = order_roles(roles)
    if wanted == member.roles:
        return member
    if member_id == by and "admin" not in wanted:
        raise OwnAdminRole("Another administrator must take your admin role away")
    await repository.update_member(session, member_id, roles=wanted)
    publish(session, MemberRolesChanged(member_id=member_id, roles=wanted, changed_at=utc_now()))
    return await repository.get_member(session, member_id)


async def suspend_member(session: Session, *, member_id: UUID, by: UUID) -> Member:
    """The member, suspended: every session has ended, no token works, none is given out.

    Raises: NotFound, InvalidState when suspended already, OwnAdminRole.
    """
    if member_id == by:
        raise OwnAdminRole("Another administrator must suspend you")
    member = await repository.lock_member(session, member_id)
    if member.status != "active":
        raise InvalidState("The member is suspended already")
    now = utc_now()
    await repository.update_member(session, member_id, status="suspended")
    await end_all_sessions(session, member_id=member_id, also=[("member", member_id)], now=now)
    publish(session, MemberSuspended(member_id=member_id, suspended_at=now))
    return await repository.get_member(session, member_id)


async def reinstate_member(session: Session, *, member_id: UUID) -> Member:
    """The member, active again; they log in anew.

    Raises: NotFound, InvalidState when not suspended.
    """
    member = await repository.lock_member(session, member_id)
    if member.status != "suspended":
        raise InvalidState("The member is not suspended")
    await repository.update_member(session, member_id, status="active")
    await insert_revocations(session, [("reinstated", member_id)], at=utc_now())
    return await repository.get_member(session, member_id)


async def list_referrals(session: Session, *, connector_id: UUID, after: UUID | None, limit: int) -> Sequence[Row[Any]]:
    """Whom the member brought, oldest first."""
    return await repository.list_referrals(session, connector_id=connector_id, after=after, limit=limit)

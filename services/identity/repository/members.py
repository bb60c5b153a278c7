"""Members and referrals."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, func, select, update
from sqlalchemy.dialects.postgresql import insert

from chassis.db import Session
from chassis.errors import NotFound
from events.identity import Role
from services.identity.domain.members import Email
from services.identity.models import members, referrals


@dataclass(frozen=True, slots=True)
class Member:
    """A member as the use cases see one; without the password."""

    id: UUID
    email: str
    display_name: str
    roles: list[Role]
    referral_code: str
    status: str
    version: int
    created_at: datetime
    referred_by: UUID | None
    attributed_at: datetime | None


_MEMBER = (
    members.c.id,
    members.c.email,
    members.c.display_name,
    members.c.roles,
    members.c.referral_code,
    members.c.status,
    members.c.version,
    members.c.created_at,
    referrals.c.connector_id.label("referred_by"),
    referrals.c.attributed_at,
)


def _select_member() -> Select[Any]:
    return select(*_MEMBER).select_from(members.outerjoin(referrals, referrals.c.member_id == members.c.id))


def _member(row: Row[Any]) -> Member:
    return Member(**row._mapping)


async def insert_member(session: Session, *, member: Member, email: Email, password_hash: str) -> bool:
    """Add the member; False when the e-mail address or the referral code is taken.

    A concurrent registration with the same address is waited for.
    """
    statement = (
        insert(members)
        .values(
            id=member.id,
            email=email.address,
            email_folded=email.folded,
            email_normalized=email.normalized,
            password_hash=password_hash,
            display_name=member.display_name,
            roles=member.roles,
            referral_code=member.referral_code,
            status=member.status,
            version=member.version,
            created_at=member.created_at,
        )
        .on_conflict_do_nothing()
        .returning(members.c.id)
    )
    return (await session.execute(statement)).one_or_none() is not None


async def insert_referral(
    session: Session, *, referral_id: UUID, member_id: UUID, connector_id: UUID, attributed_at: datetime
) -> None:
    """Write down who brought the member."""
    await session.execute(
        insert(referrals).values(
            id=referral_id, member_id=member_id, connector_id=connector_id, attributed_at=attributed_at
        )
    )


async def is_email_taken(session: Session, *, folded: str) -> bool:
    """True when a member has this address."""
    return bool(await session.scalar(select(func.count()).where(members.c.email_folded == folded)))


async def get_member(session: Session, member_id: UUID) -> Member:
    """The member. Raises: NotFound."""
    row = (await session.execute(_select_member().where(members.c.id == member_id))).one_or_none()
    if row is None:
        raise NotFound("No such member")
    return _member(row)


async def lock_member(session: Session, member_id: UUID) -> Member:
    """The member, its row held against every other writer until the commit. Raises: NotFound."""
    statement = _select_member().where(members.c.id == member_id).with_for_update(of=members)
    row = (await session.execute(statement)).one_or_none()
    if row is None:
        raise NotFound("No such member")
    return _member(row)


async def share_member(session: Session, member_id: UUID) -> Row[Any] | None:
    """Id, roles, status and password hash of the member, none of which can change until the commit."""
    statement = (
        select(members.c.id, members.c.roles, members.c.status, members.c.password_hash)
        .where(members.c.id == member_id)
        .with_for_update(read=True)
    )
    return (await session.execute(statement)).one_or_none()


async def find_credentials(session: Session, *, folded: str) -> Row[Any] | None:
    """Id and password hash of the member with this address."""
    statement = select(members.c.id, members.c.password_hash).where(members.c.email_folded == folded)
    return (await session.execute(statement)).one_or_none()


async def find_connector(session: Session, *, code: str) -> Row[Any] | None:
    """Id and normalized e-mail of the active member with this referral code, who stays active until the commit."""
    statement = (
        select(members.c.id, members.c.email_normalized)
        .where(members.c.referral_code == code, members.c.status == "active")
        .with_for_update(read=True)
    )
    return (await session.execute(statement)).one_or_none()


async def update_member(session: Session, member_id: UUID, **values: Any) -> None:
    """Change columns of the member and count the change."""
    await session.execute(
        update(members).where(members.c.id == member_id).values(version=members.c.version + 1, **values)
    )


async def list_referrals(session: Session, *, connector_id: UUID, after: UUID | None, limit: int) -> Sequence[Row[Any]]:
    """Whom the connector brought, oldest first, after the referral `after`."""
    columns = (
        referrals.c.id,
        referrals.c.member_id.label("referred_member_id"),
        referrals.c.attributed_at,
        referrals.c.attributed_at.label("created_at"),
    )
    statement = select(*columns).where(referrals.c.connector_id == connector_id).order_by(referrals.c.id).limit(limit)
    if after is not None:
        statement = statement.where(referrals.c.id > after)
    return (await session.execute(statement)).all()

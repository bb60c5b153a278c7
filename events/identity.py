"""What identity tells the others: members, referrals, wallets, sessions."""

from typing import ClassVar, Literal
from uuid import UUID

from chassis.clock import Timestamp
from chassis.envelope import Event

Role = Literal["client", "talent", "connector", "screener", "admin"]


class MemberRegistered(Event):
    """A member joined. `connector_id` is who referred them, or null: absence is a fact, never a silence."""

    type_: ClassVar[str] = "identity.member.registered.v1"
    key_field: ClassVar[str] = "member_id"
    member_id: UUID
    roles: list[Role]
    connector_id: UUID | None
    registered_at: Timestamp


class MemberRolesChanged(Event):
    """An admin set a member's roles; `roles` is the whole new set."""

    type_: ClassVar[str] = "identity.member.roles_changed.v1"
    key_field: ClassVar[str] = "member_id"
    member_id: UUID
    roles: list[Role]
    changed_at: Timestamp


class MemberSuspended(Event):
    """A member may no longer act; their tokens stop working."""

    type_: ClassVar[str] = "identity.member.suspended.v1"
    key_field: ClassVar[str] = "member_id"
    member_id: UUID
    suspended_at: Timestamp


class ReferralAttributed(Event):
    """`member_id` (the referred one) was brought by `connector_id`: set once, at registration."""

    type_: ClassVar[str] = "identity.referral.attributed.v1"
    key_field: ClassVar[str] = "member_id"
    member_id: UUID
    connector_id: UUID
    attributed_at: Timestamp


class WalletLinked(Event):
    """A member proved control of an address (EIP-55 checksummed)."""

    type_: ClassVar[str] = "identity.wallet.linked.v1"
    key_field: ClassVar[str] = "member_id"
    member_id: UUID
    address: str
    linked_at: Timestamp


class WalletPayoutChanged(Event):
    """From `effective_at` on, rewards of the member are paid to `address`."""

    type_: ClassVar[str] = "identity.wallet.payout_changed.v1"
    key_field: ClassVar[str] = "member_id"
    member_id: UUID
    address: str
    effective_at: Timestamp


class SessionEnded(Event):
    """A session was ended: tokens with this `sid` are void."""

    type_: ClassVar[str] = "identity.session.ended.v1"
    key_field: ClassVar[str] = "member_id"
    member_id: UUID
    sid: UUID
    ended_at: Timestamp

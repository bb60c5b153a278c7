"""What identity tells the others: members, referrals, wallets, sessions."""

import re
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import AfterValidator

from chassis.clock import Timestamp
from chassis.envelope import Event
from events.fields import ADA, ADDRESS, SESSION, MemberId, at, told

Role = Literal["client", "talent", "connector", "screener", "admin"]


def _payable(address: str) -> str:
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", address) or int(address, 16) == 0:
        raise ValueError("not an address that something can be paid to")
    return address


Address = Annotated[str, AfterValidator(_payable)]
"""An account on the chain. Held here, not in the schema: the schema of a released event does not get stricter."""


class MemberRegistered(Event):
    """A member joined. `connector_id` is who referred them, or null: absence is a fact, never a silence."""

    type_: ClassVar[str] = "identity.member.registered.v1"
    key_field: ClassVar[str] = "member_id"
    member_id: MemberId
    roles: Annotated[list[Role], told("What the member is here for: the whole set.", ["client"])]
    connector_id: Annotated[UUID | None, told("The member who referred this one; null: nobody did.", ADA)]
    registered_at: Annotated[Timestamp, at("When the member joined")]


class MemberRolesChanged(Event):
    """An admin set a member's roles; `roles` is the whole new set."""

    type_: ClassVar[str] = "identity.member.roles_changed.v1"
    key_field: ClassVar[str] = "member_id"
    member_id: MemberId
    roles: Annotated[list[Role], told("The whole new set of roles.", ["client", "connector"])]
    changed_at: Annotated[Timestamp, at("When the roles were set")]


class MemberSuspended(Event):
    """A member may no longer act; their tokens stop working."""

    type_: ClassVar[str] = "identity.member.suspended.v1"
    key_field: ClassVar[str] = "member_id"
    member_id: MemberId
    suspended_at: Annotated[Timestamp, at("When the member was suspended")]


class ReferralAttributed(Event):
    """`member_id` (the referred one) was brought by `connector_id`: set once, at registration."""

    type_: ClassVar[str] = "identity.referral.attributed.v1"
    key_field: ClassVar[str] = "member_id"
    member_id: MemberId
    connector_id: Annotated[UUID, told("The member who referred this one.", ADA)]
    attributed_at: Annotated[Timestamp, at("When the referral was recorded")]


class WalletLinked(Event):
    """A member proved control of an address (EIP-55 checksummed)."""

    type_: ClassVar[str] = "identity.wallet.linked.v1"
    key_field: ClassVar[str] = "member_id"
    member_id: MemberId
    address: Annotated[Address, told("The account: 20 bytes in hex, EIP-55 checksummed.", ADDRESS)]
    linked_at: Annotated[Timestamp, at("When control of the account was proven")]


class WalletPayoutChanged(Event):
    """From `effective_at` on, rewards of the member are paid to `address`."""

    type_: ClassVar[str] = "identity.wallet.payout_changed.v1"
    key_field: ClassVar[str] = "member_id"
    member_id: MemberId
    address: Annotated[Address, told("Where rewards go: 20 bytes in hex, EIP-55 checksummed.", ADDRESS)]
    effective_at: Annotated[Timestamp, at("From when on rewards go there; may lie in the future")]


class SessionEnded(Event):
    """A session was ended: tokens with this `sid` are void."""

    type_: ClassVar[str] = "identity.session.ended.v1"
    key_field: ClassVar[str] = "member_id"
    member_id: MemberId
    sid: Annotated[UUID, told("The session: the claim `sid` of its tokens.", SESSION)]
    ended_at: Annotated[Timestamp, at("When the session ended")]

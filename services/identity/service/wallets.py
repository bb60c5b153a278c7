"""Use cases of wallets: a member proves one is theirs, and chooses which one is paid."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from chassis.clock import utc_now
from chassis.db import Session
from chassis.errors import NotFound
from chassis.ids import new_id
from chassis.outbox import publish
from events.identity import WalletLinked, WalletPayoutChanged
from services.identity.domain.wallets import (
    Challenge,
    PayoutStep,
    Purpose,
    check_challenge,
    decide_payout,
    new_challenge,
)
from services.identity.errors import ChallengeInvalid, WalletNotLinked, WalletTaken
from services.identity.repository import wallets as repository
from services.identity.repository.members import get_member, lock_member


@dataclass(frozen=True, slots=True)
class Payout:
    """A choice of payout wallet. `status` is active, or pending until `effective_at`."""

    id: UUID
    address: str
    status: str
    effective_at: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True)
class MemberWallets:
    """What another service may know of a member's wallets."""

    member_id: UUID
    addresses: list[str]
    payout: Payout | None
    pending: Payout | None


async def create_challenge(
    session: Session, *, address: str, purpose: Purpose, member_id: UUID | None, origin: str, chain_id: int
) -> Challenge:
    """A message to sign, with a nonce that works once. `address` is EIP-55."""
    challenge = new_challenge(
        challenge_id=new_id(),
        address=address,
        purpose=purpose,
        member_id=member_id,
        origin=origin,
        chain_id=chain_id,
        now=utc_now(),
    )
    await repository.insert_challenge(session, challenge)
    return challenge


async def get_challenge(session: Session, *, challenge_id: UUID, member_id: UUID | None) -> Challenge:
    """The challenge. Raises: NotFound, also when it is another member's."""
    challenge = await repository.find_challenge(session, challenge_id)
    if challenge is None or challenge.member_id not in {None, member_id}:
        raise NotFound("No such challenge")
    return challenge


async def link_wallet(session: Session, *, member_id: UUID, message: str, signer: str) -> Row[Any]:
    """The wallet `signer`, now the member's, since it signed the `message` they had asked for.

    Raises: ChallengeInvalid, WalletTaken. Source: EIP-4361; the network's rules, rule 5 (one member per address).
    """
    now = utc_now()
    challenge = check_challenge(
        await repository.find_challenge_of(session, message),
        signer=signer,
        purpose="link",
        member_id=member_id,
        now=now,
    )
    if not await repository.consume_challenge(session, challenge.id, consumed_at=now):
        raise ChallengeInvalid("This message was used before")
    wallet = await repository.insert_wallet(
        session, wallet_id=new_id(), member_id=member_id, address=signer, created_at=now
    )
    if wallet is None:
        raise WalletTaken("This address is linked already, and belongs to one member")
    publish(session, WalletLinked(member_id=member_id, address=signer, linked_at=now))
    return wallet


async def list_wallets(session: Session, *, member_id: UUID, after: UUID | None, limit: int) -> Sequence[Row[Any]]:
    """The member's wallets, oldest first."""
    return await repository.list_wallets(session, member_id=member_id, after=after, limit=limit)


async def get_wallet(session: Session, *, member_id: UUID, wallet_id: UUID) -> Row[Any]:
    """One of the member's wallets. Raises: NotFound."""
    wallet = await repository.find_wallet_of(session, member_id=member_id, wallet_id=wallet_id)
    if wallet is None:
        raise NotFound("No such wallet")
    return wallet


async def choose_payout_wallet(session: Session, *, member_id: UUID, address: str, delay_seconds: int) -> Payout:
    """The member's choice: rewards go to `address` (EIP-55) from its `effective_at` on.

    The first takes effect at once, a change after `delay_seconds`; a change that still waits is replaced.

    Raises: WalletNotLinked.
    """
    await lock_member(session, member_id)
    wallet = await repository.find_wallet(session, address)
    if wallet is None or wallet.member_id != member_id:
        raise WalletNotLinked("Link this wallet first, then choose it")
    now = utc_now()
    current = await repository.find_payout(session, member_id, now=now)
    pending = await repository.find_pending_payout(session, member_id, now=now)
    step = decide_payout(
        wanted=address, current=current.address if current else None, pending=pending.address if pending else None
    )
    if step is PayoutStep.KEEP:
        return _payout(pending or current, now)
    effective_at = now if step is PayoutStep.AT_ONCE else now + timedelta(seconds=delay_seconds)
    await repository.withdraw_pending_payouts(session, member_id, now=now)
    chosen = await repository.insert_payout(
        session, choice_id=new_id(), member_id=member_id, address=address, effective_at=effective_at, created_at=now
    )
    publish(session, WalletPayoutChanged(member_id=member_id, address=address, effective_at=effective_at))
    return _payout(chosen, now)


async def get_payout_wallet(session: Session, *, member_id: UUID) -> Payout:
    """The wallet that is paid now. Raises: NotFound when the member has chosen none."""
    now = utc_now()
    current = await repository.find_payout(session, member_id, now=now)
    if current is None:
        raise NotFound("No payout wallet has been chosen")
    return _payout(current, now)


async def get_member_wallets(session: Session, *, member_id: UUID) -> MemberWallets:
    """Every linked address of the member, which one is paid, and which one is to be. Raises: NotFound."""
    await get_member(session, member_id)
    now = utc_now()
    current = await repository.find_payout(session, member_id, now=now)
    pending = await repository.find_pending_payout(session, member_id, now=now)
    return MemberWallets(
        member_id=member_id,
        addresses=[wallet.address for wallet in await repository.list_wallets(session, member_id=member_id)],
        payout=_payout(current, now) if current else None,
        pending=_payout(pending, now) if pending else None,
    )


async def get_owner(session: Session, *, address: str) -> UUID:
    """Whose wallet the EIP-55 address is. Raises: NotFound."""
    wallet = await repository.find_wallet(session, address)
    if wallet is None:
        raise NotFound("Nobody has linked this address")
    owner: UUID = wallet.member_id
    return owner


def _payout(choice: Any, now: datetime) -> Payout:
    status = "active" if choice.effective_at <= now else "pending"
    return Payout(choice.choice_id, choice.address, status, choice.effective_at, choice.created_at)

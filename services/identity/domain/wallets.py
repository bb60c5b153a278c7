"""What a member signs to prove a wallet is theirs, and when a payout wallet takes effect."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Literal
from urllib.parse import urlsplit
from uuid import UUID

from chassis.signatures import SiweMessage
from services.identity.errors import ChallengeInvalid

CHALLENGE_LIFETIME = timedelta(seconds=300)

Purpose = Literal["sign_in", "link"]

_STATEMENTS: dict[Purpose, str] = {
    "sign_in": "Sign in to the BTRST Network.",
    "link": "Link this wallet to your BTRST Network account.",
}


@dataclass(frozen=True, slots=True)
class Challenge:
    """A message that was given out to be signed once. `member_id` is who asked for it, None for sign_in."""

    id: UUID
    message: str
    purpose: Purpose
    address: str
    member_id: UUID | None
    created_at: datetime
    expires_at: datetime
    consumed_at: datetime | None


def new_challenge(
    *,
    challenge_id: UUID,
    address: str,
    purpose: Purpose,
    member_id: UUID | None,
    origin: str,
    chain_id: int,
    now: datetime,
) -> Challenge:
    """A challenge with a fresh nonce, good for `CHALLENGE_LIFETIME`. `origin` is the network's public URL.

    Source: EIP-4361.
    """
    begins = now.replace(microsecond=0)
    message = SiweMessage(
        domain=urlsplit(origin).netloc,
        address=address,
        statement=_STATEMENTS[purpose],
        uri=origin,
        chain_id=chain_id,
        nonce=secrets.token_hex(16),
        issued_at=begins,
        expiration_time=begins + CHALLENGE_LIFETIME,
        resources=(f"urn:btrst:member:{member_id}",) if member_id else (),
    )
    expires = begins + CHALLENGE_LIFETIME
    return Challenge(challenge_id, message.to_text(), purpose, address, member_id, now, expires, None)


def message_hash(message: str) -> bytes:
    """Under what a challenge is found again: its whole text counts, so no field of it can differ."""
    return sha256(message.encode()).digest()


def check_challenge(
    challenge: Challenge | None, *, signer: str, purpose: Purpose, member_id: UUID | None, now: datetime
) -> Challenge:
    """The challenge, if `signer` answered it rightly.

    Raises: ChallengeInvalid when it was never given out, for another purpose, member or address, used, or too old.
    """
    if challenge is None:
        raise ChallengeInvalid("This message was not given out here")
    if challenge.purpose != purpose or challenge.member_id != member_id:
        raise ChallengeInvalid("This message was given out for something else")
    if challenge.address != signer:
        raise ChallengeInvalid("This message was signed by another key")
    if challenge.consumed_at is not None:
        raise ChallengeInvalid("This message was used before")
    if challenge.expires_at <= now:
        raise ChallengeInvalid("This message has expired; ask for a new one")
    return challenge


class PayoutStep(StrEnum):
    """What a choice of payout wallet leads to."""

    KEEP = "keep"
    """It is the choice already, in effect or waiting."""

    AT_ONCE = "at_once"
    DELAYED = "delayed"


def decide_payout(*, wanted: str, current: str | None, pending: str | None) -> PayoutStep:
    """What happens when a member whose payout wallet is `current`, soon `pending`, chooses `wanted`.

    The first choice takes effect at once; so does going back to the current wallet, which undoes a change that
    somebody else may have made.
    """
    if wanted == (pending or current):
        return PayoutStep.KEEP
    if current is None or wanted == current:
        return PayoutStep.AT_ONCE
    return PayoutStep.DELAYED

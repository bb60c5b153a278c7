"""A completed transaction as recorded, and the id its rewards have: the same however often they are made anew."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from chassis.clock import to_rfc3339


@dataclass(frozen=True, slots=True)
class TransactionFacts:
    """Every field of a completed transaction that rewards depend on, compared as one value."""

    transaction_id: UUID
    invoice_id: UUID
    engagement_id: UUID
    client_id: UUID
    talent_id: UUID
    provider: str
    amount_cents: int
    currency: str
    client_fee_cents: int
    talent_fee_cents: int
    parameters_version: int
    completed_at: datetime

    def fingerprint(self) -> bytes:
        """32 bytes that differ when any field differs."""
        values = {name: _plain(value) for name, value in asdict(self).items()}
        return sha256(json.dumps(values, sort_keys=True).encode()).digest()


@dataclass(frozen=True, slots=True)
class RefundFacts:
    """Every field of a refund, compared as one value; the totals are the transaction's right after it."""

    refund_id: UUID
    transaction_id: UUID
    refunded_cents: int
    total_refunded_cents: int
    client_fee_refunded_cents: int
    total_client_fee_refunded_cents: int
    refunded_at: datetime


@dataclass(frozen=True, slots=True)
class Refunded:
    """What has gone back of a transaction: both only ever grow."""

    cents: int = 0
    fee_cents: int = 0


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A transaction as the jobs service has it, and what has gone back of it by now."""

    facts: TransactionFacts
    refunded: Refunded


def _plain(value: object) -> object:
    if isinstance(value, UUID):
        return str(value)
    return to_rfc3339(value) if isinstance(value, datetime) else value


def reward_id(*, kind: str, source: bytes, side: str, earned_at: datetime) -> UUID:
    """The reward's id: a UUIDv7 of `earned_at` whose random part is a digest of what the reward is for.

    A database restored from an old copy makes the same reward under the same id again, so the ids in the chain's
    calldata still say which rewards were settled. `source` is the fingerprint of what earned it.
    Source: RFC 9562 section 5.7 (the layout).
    """
    milliseconds = int(earned_at.timestamp() * 1000) & (2**48 - 1)
    noise = int.from_bytes(sha256(b"\0".join((kind.encode(), side.encode(), source))).digest(), "big")
    value = milliseconds << 80 | 0x7 << 76 | (noise >> 62 & 0xFFF) << 64 | 0b10 << 62 | noise & (2**62 - 1)
    return UUID(int=value)

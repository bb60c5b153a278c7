"""What every change of a reward leaves behind: a step in its trace, and the event that tells the others."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from chassis.db import Session
from chassis.outbox import publish
from events.rewards import RewardAccrued, RewardCancelled, RewardHeld, RewardMinted, RewardReversed
from services.rewards.domain.states import Reason
from services.rewards.repository import rewards


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a reward: `step` is the stage, `code` says how it went; amounts in `data` are digit strings."""

    reward_id: UUID
    step: str
    code: str
    data: Mapping[str, Any] = field(default_factory=dict)
    at: datetime | None = None
    """When, if not together with the others."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where on the chain a settlement is."""

    chain_tx_hash: str
    block_number: int
    block_hash: str


async def write_steps(session: Session, steps: Sequence[Step], at: datetime) -> None:
    """Add the steps to their rewards' traces."""
    rows = [
        {
            "reward_id": step.reward_id,
            "step": step.step,
            "code": step.code,
            "data": dict(step.data),
            "at": step.at or at,
        }
        for step in steps
    ]
    await rewards.insert_steps(session, rows)


def _common(row: Any) -> dict[str, Any]:
    return {
        "reward_id": row.id,
        "beneficiary_id": row.beneficiary_id,
        "transaction_id": row.transaction_id,
        "side": None if row.side == "none" else row.side,
        "kind": row.kind,
        "amount_wei": row.amount_wei,
        "price_usd_e8": row.price_usd_e8,
    }


def tell_accrued(session: Session, row: Any, at: datetime) -> None:
    """Publish that the reward was earned."""
    publish(session, RewardAccrued(**_common(row), accrued_at=at))


def tell_held(session: Session, row: Any, reason: Reason, at: datetime) -> None:
    """Publish why the reward cannot be paid yet."""
    publish(session, RewardHeld(**_common(row), reason=reason, held_at=at))


def tell_cancelled(session: Session, row: Any, reason: Reason, at: datetime) -> None:
    """Publish that the reward will never be paid."""
    publish(session, RewardCancelled(**_common(row), reason=reason, cancelled_at=at))


def tell_reversed(session: Session, row: Any, at: datetime) -> None:
    """Publish that a minted reward's transaction was refunded in full."""
    place = {"chain_tx_hash": row.chain_tx_hash, "block_number": row.block_number, "block_hash": row.block_hash}
    publish(session, RewardReversed(**_common(row), **place, reversed_at=at))


def tell_minted(session: Session, row: Any, *, minted_wei: int, place: Place, at: datetime) -> None:
    """Publish that the reward was paid; only ever called with a receipt that has the required confirmations."""
    publish(
        session,
        RewardMinted(
            **_common(row),
            minted_wei=minted_wei,
            **asdict(place),
            minted_at=at,
        ),
    )

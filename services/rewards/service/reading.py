"""What members, admins and strangers may read: rewards, traces, the ledger, the token, the audit."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from chassis.db import Session
from services.rewards.errors import ChainStateUnknown, StatementTooLong
from services.rewards.repository import facts, ledger, payouts, rewards
from services.rewards.service.prices import price_as_of

STATEMENT_LINES = 20_000


async def get_reward(session: Session, *, reward_id: UUID, beneficiary_id: UUID | None) -> Any:
    """A reward of this beneficiary; None is an admin, who sees all.

    Raises: RewardNotFound.
    """
    return await rewards.get_reward(session, reward_id, beneficiary_id=beneficiary_id)


async def list_rewards(
    session: Session,
    *,
    beneficiary_id: UUID,
    status: str | None,
    transaction_id: UUID | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Any]:
    """A page of a beneficiary's rewards, newest first."""
    return await rewards.list_rewards(
        session,
        beneficiary_id=beneficiary_id,
        status=status,
        transaction_id=transaction_id,
        after=after,
        limit=limit,
    )


async def trace_reward(session: Session, *, reward_id: UUID, beneficiary_id: UUID | None) -> list[dict[str, Any]]:
    """Every step of a reward in order of time, its chain txs' included.

    Raises: RewardNotFound.
    """
    row = await rewards.get_reward(session, reward_id, beneficiary_id=beneficiary_id)
    steps = [
        {"at": step.at, "step": step.step, "code": step.code, "data": step.data}
        for step in await rewards.list_steps(session, reward_id)
    ]
    if row.settlement_id is not None:
        steps += _sent_steps(await payouts.list_attempts(session, row.settlement_id))
    return sorted(steps, key=lambda step: step["at"])


def _sent_steps(attempts: Sequence[Any]) -> list[dict[str, Any]]:
    found = []
    for attempt in attempts:
        data = {"chain_tx_hash": attempt.hash, "nonce": attempt.nonce}
        found.append({"at": attempt.created_at, "step": "signed", "code": "signed", "data": data})
        if attempt.sent_at is not None:
            found.append({"at": attempt.sent_at, "step": "broadcast", "code": "broadcast", "data": data})
    return found


async def list_ledger(
    session: Session, *, beneficiary_id: UUID, reward_id: UUID | None, after: int | None, limit: int
) -> list[Any]:
    """A page of the ledger lines a beneficiary sees, newest first."""
    return await ledger.list_lines(
        session, beneficiary_id=beneficiary_id, reward_id=reward_id, after=after, limit=limit
    )


async def statement_of(session: Session, *, beneficiary_id: UUID, start: datetime, end: datetime) -> list[Any]:
    """The ledger lines a beneficiary sees from `start` to before `end`, oldest first.

    Raises: StatementTooLong.
    """
    lines = await ledger.list_statement(
        session, beneficiary_id=beneficiary_id, start=start, end=end, limit=STATEMENT_LINES + 1
    )
    if len(lines) > STATEMENT_LINES:
        raise StatementTooLong(f"A statement has up to {STATEMENT_LINES} lines: ask for fewer days")
    return lines


async def summarize_rewards(session: Session, *, beneficiary_id: UUID) -> dict[str, Any]:
    """A beneficiary's sums in wei, what they owe, and why what is held is held."""
    sums = await rewards.summarize(session, beneficiary_id)
    return {
        "accrued_wei": int(sums.accrued_wei),
        "held_wei": int(sums.held_wei),
        "queued_wei": int(sums.queued_wei),
        "minted_wei": int(sums.minted_wei),
        "receivable_wei": await facts.find_receivable(session, beneficiary_id),
        "by_reason": await rewards.held_by_reason(session, beneficiary_id),
    }


async def get_chain_figures(session: Session) -> Any:
    """The token's figures and the reconciliation as last written.

    Raises: ChainStateUnknown while the chain was never reached.
    """
    figures = await payouts.find_chain_figures(session)
    if figures is None:
        raise ChainStateUnknown("The chain has not been read yet")
    return figures


async def current_price_usd_e8(session: Session, *, now: datetime) -> int | None:
    """USD per BTRST × 10^8 at `now`, or None."""
    price = await price_as_of(session, now)
    return None if price is None else price.usd_e8

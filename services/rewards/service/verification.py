"""Verification: only what the jobs service itself confirms is ever paid; a forged transaction is cancelled."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any
from uuid import UUID

from chassis.clock import utc_now
from chassis.db import Session
from services.rewards.domain.facts import TransactionFacts
from services.rewards.domain.ledger import Code
from services.rewards.domain.states import Reason, Recording, Status, Verification
from services.rewards.repository import facts, ledger, rewards, transactions
from services.rewards.service import journal
from services.rewards.service.accrual import accrue_transaction, facts_of
from services.rewards.service.dead_letters import UNCONFIRMED, dead_letter
from services.rewards.service.review import review_rewards

SANDBOX = "sandbox"
LOCAL_CHAIN_ID = 31337


async def take_unverified(session: Session, *, retry_seconds: float, limit: int) -> list[TransactionFacts]:
    """Transactions to ask the jobs service about; those nothing comes of are given again after `retry_seconds`."""
    rows = await transactions.take_unverified(session, utc_now(), timedelta(seconds=retry_seconds), limit)
    return [facts_of(row) for row in rows]


async def settle_verification(
    session: Session, *, transaction_id: UUID, true_facts: TransactionFacts | None, chain_id: int
) -> None:
    """Compare every recorded field with what the jobs service says; queue the rewards, or cancel them.

    `true_facts` None: the jobs service knows no such transaction. Sandbox payments are never paid off the local
    chain. Source: the network's rule 3.
    """
    recorded = await transactions.lock_transaction(session, transaction_id)
    if recorded is None or recorded.verification != Verification.PENDING:
        return
    if true_facts != facts_of(recorded):
        await _refuse_forged(session, recorded, true_facts)
    elif recorded.provider == SANDBOX and chain_id != LOCAL_CHAIN_ID:
        await _close_verification(session, transaction_id, Verification.VERIFIED)
        await _cancel_rewards(session, transaction_id, code="sandbox_off_the_local_chain")
    else:
        await _confirm(session, transaction_id)


async def _close_verification(session: Session, transaction_id: UUID, outcome: Verification) -> None:
    await transactions.update_transaction(session, transaction_id, verification=outcome, verify_at=None)


async def _confirm(session: Session, transaction_id: UUID) -> None:
    await _close_verification(session, transaction_id, Verification.VERIFIED)
    found = await rewards.list_rewards_of(session, transaction_id)
    reward_ids = [row.id for row in found if row.status == Status.HELD]
    await facts.lock_parties(session, {row.beneficiary_id for row in found})
    await rewards.update_rewards(session, reward_ids, is_verified=True)
    steps = [journal.Step(reward_id, "verified", "verified", {"by": "jobs"}) for reward_id in reward_ids]
    await journal.write_steps(session, steps, utc_now())
    await review_rewards(session, reward_ids)


async def _refuse_forged(session: Session, recorded: Any, true_facts: TransactionFacts | None) -> None:
    transaction_id = recorded.transaction_id
    cancelled = await _cancel_rewards(session, transaction_id, code="forged")
    # The source's place is free for the true transaction's rewards; the ids differ, since the facts do.
    event_id = UUID(str(recorded.event["id"]))
    await rewards.update_rewards(session, cancelled, source_kind="forged", source_id=event_id)
    await transactions.update_transaction(
        session,
        transaction_id,
        status=Recording.FORGED,
        verification=Verification.FORGED,
        verify_at=None,
    )
    dead_letter(session, transaction_id, recorded.event, UNCONFIRMED)
    if true_facts is not None:
        await _record_truth(session, recorded, true_facts)


async def _record_truth(session: Session, recorded: Any, true_facts: TransactionFacts) -> None:
    await facts.lock_parties(session, {true_facts.client_id, true_facts.talent_id})
    values = asdict(true_facts) | {"status": Recording.WAITING, "verification": Verification.VERIFIED}
    await transactions.update_transaction(session, values.pop("transaction_id"), **values)
    await accrue_transaction(session, recorded.transaction_id)
    await review_rewards(session, [row.id for row in await rewards.list_rewards_of(session, recorded.transaction_id)])


async def _cancel_rewards(session: Session, transaction_id: UUID, *, code: str) -> list[UUID]:
    found = await rewards.list_rewards_of(session, transaction_id)
    await facts.lock_parties(session, {row.beneficiary_id for row in found})
    locked = await rewards.lock_rewards(session, [row.id for row in found])
    now = utc_now()
    for row in locked.values():
        if row.status == Status.CANCELLED:
            continue
        await ledger.insert_entries(session, [ledger.Entry(Code.CANCEL, -row.amount_wei, row)], now)
        await rewards.update_reward(
            session, row.id, status=Status.CANCELLED, reason=Reason.UNVERIFIED, amount_wei=0, check_at=None
        )
        await journal.write_steps(session, [journal.Step(row.id, Status.CANCELLED, code)], now)
        journal.tell_cancelled(session, row, Reason.UNVERIFIED, now)
    return list(locked)

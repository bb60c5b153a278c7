"""Verification: only what the jobs service itself confirms is ever paid or taken back; what is forged has no effect."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from chassis.clock import utc_now
from chassis.db import Session
from chassis.telemetry import log
from services.rewards.domain.facts import Confirmed, Refunded, RefundFacts, TransactionFacts
from services.rewards.domain.ledger import Code
from services.rewards.domain.states import Reason, Recording, Status, Verification
from services.rewards.repository import facts, ledger, rewards, transactions
from services.rewards.service import journal
from services.rewards.service.accrual import accrue_transaction, facts_of
from services.rewards.service.dead_letters import UNCONFIRMED, UNCONFIRMED_REFUND, dead_letter
from services.rewards.service.refunds import lock_with_beneficiaries, note_refunded, refund_facts_of
from services.rewards.service.review import review_rewards

SANDBOX = "sandbox"
LOCAL_CHAIN_ID = 31337


async def take_unverified(session: Session, *, retry_seconds: float, limit: int) -> list[TransactionFacts]:
    """Transactions to ask the jobs service about; those nothing comes of are given again after `retry_seconds`."""
    rows = await transactions.take_unverified(session, utc_now(), timedelta(seconds=retry_seconds), limit)
    return [facts_of(row) for row in rows]


async def settle_verification(
    session: Session, *, transaction_id: UUID, true: Confirmed | None, asked_at: datetime, chain_id: int
) -> None:
    """Compare every recorded field with what the jobs service says; queue the rewards, or cancel them.

    `true` None: the jobs service knows no such transaction. Sandbox payments are never paid off the local chain.
    Before the refund window is over (`asked_at` is when the question was put) the answer says that the transaction
    is true, not yet what will be left of it: it is asked again then. Source: the network's rules 3 and 6.
    """
    recorded = await lock_with_beneficiaries(session, transaction_id)
    if recorded is None or recorded.verification != Verification.PENDING:
        return
    if true is None or true.facts != facts_of(recorded):
        await _refuse_forged(session, recorded, true)
        return
    await note_refunded(session, transaction_id, true.refunded)
    found = await rewards.list_rewards_of(session, transaction_id)
    ask_again_at = max((row.hold_ends_at for row in found), default=asked_at)
    if recorded.status != Recording.ACCRUED:
        await transactions.update_transaction(session, transaction_id, verify_at=None)  # asked again at its accrual
    elif recorded.provider == SANDBOX and chain_id != LOCAL_CHAIN_ID:
        await _close_verification(session, transaction_id, Verification.VERIFIED)
        await _cancel_rewards(session, transaction_id, code="sandbox_off_the_local_chain")
    elif asked_at < ask_again_at:
        await transactions.update_transaction(session, transaction_id, verify_at=ask_again_at)
        await review_rewards(session, [row.id for row in found])
    else:
        await _confirm(session, transaction_id)


async def take_unverified_refunds(session: Session, *, retry_seconds: float, limit: int) -> list[RefundFacts]:
    """Refunds to ask the jobs service about; those nothing comes of are given again after `retry_seconds`."""
    rows = await transactions.take_unverified_refunds(session, utc_now(), timedelta(seconds=retry_seconds), limit)
    return [refund_facts_of(row) for row in rows]


async def settle_refund(
    session: Session, *, transaction_id: UUID, refund_id: UUID, true_facts: RefundFacts | None
) -> None:
    """Let a refund take effect as the jobs service has it; what was told otherwise is dead-lettered.

    `true_facts` None: the jobs service knows no such refund of this transaction. Source: the network's rule 6.
    """
    await lock_with_beneficiaries(session, transaction_id)
    recorded = await transactions.lock_refund(session, transaction_id, refund_id)
    if recorded is None or recorded.verification != Verification.PENDING:
        return
    if true_facts != refund_facts_of(recorded):
        log.warning("forged_refund", refund_id=str(refund_id))
        dead_letter(session, transaction_id, recorded.event, UNCONFIRMED_REFUND)
    outcome = Verification.FORGED if true_facts is None else Verification.VERIFIED
    truth = {} if true_facts is None else asdict(true_facts)
    closed = truth | {"verification": outcome, "verify_at": None}
    await transactions.update_refund(session, transaction_id, refund_id, **closed)
    if true_facts is not None:
        totals = Refunded(true_facts.total_refunded_cents, true_facts.total_client_fee_refunded_cents)
        await note_refunded(session, transaction_id, totals)


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


async def _refuse_forged(session: Session, recorded: Any, true: Confirmed | None) -> None:
    transaction_id = recorded.transaction_id
    dead_letter(session, transaction_id, recorded.event, UNCONFIRMED)
    if any(row.settlement_id is not None for row in await rewards.list_rewards_of(session, transaction_id)):
        # Only what was read back from the chain is numbered before it is verified: paid is paid, and not once more.
        log.error("paid_and_not_confirmed", transaction_id=str(transaction_id))
        await _close_verification(session, transaction_id, Verification.FORGED)
        return
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
    if true is not None:
        await _record_truth(session, true)


async def _record_truth(session: Session, true: Confirmed) -> None:
    """Start over with the true transaction; as any other it is verified once its rewards exist."""
    await facts.lock_parties(session, {true.facts.client_id, true.facts.talent_id})
    values = asdict(true.facts) | {"status": Recording.WAITING, "verification": Verification.PENDING}
    transaction_id = values.pop("transaction_id")
    await transactions.update_transaction(session, transaction_id, reason=None, accrued_at=None, **values)
    await note_refunded(session, transaction_id, true.refunded)
    await accrue_transaction(session, transaction_id)


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

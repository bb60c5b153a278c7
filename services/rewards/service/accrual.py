"""Accrual: a recorded transaction becomes the rewards of its connectors, both sides in one unit of work."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from chassis.clock import to_rfc3339, utc_now
from chassis.db import Session
from chassis.telemetry import log
from chassis.tracing import nearest, span
from services.rewards.domain.amounts import (
    SIDES,
    Parameters,
    Price,
    Side,
    connector_rewards,
    hold_ends_at,
    referral_counts,
)
from services.rewards.domain.facts import TransactionFacts, reward_id
from services.rewards.domain.ledger import Code
from services.rewards.domain.states import Reason, Recording, Status, Verification
from services.rewards.repository import facts, ledger, rewards, transactions
from services.rewards.service import journal
from services.rewards.service.dead_letters import CONTRADICTING, dead_letter
from services.rewards.service.prices import price_as_of
from services.rewards.service.refunds import apply_refunds
from services.rewards.service.terms import parameters_of


def parties_of(row: Any) -> tuple[UUID, UUID]:
    """Client and Talent of a recorded transaction."""
    return row.client_id, row.talent_id


def facts_of(row: Any) -> TransactionFacts:
    """The facts in a recorded transaction's row."""
    return TransactionFacts(**{name: getattr(row, name) for name in TransactionFacts.__dataclass_fields__})


async def record_transaction(session: Session, *, told: TransactionFacts, event: Mapping[str, Any]) -> None:
    """Record a completed transaction and accrue it if everything is known already.

    A second telling changes nothing; one that contradicts the first is dead-lettered, and the jobs service is asked
    which of them is true, even if the first earned nobody anything.
    """
    await facts.lock_parties(session, {told.client_id, told.talent_id})
    is_new = await transactions.insert_transaction(session, **_recorded(told, event))
    if not is_new and not await _replaces_forged(session, told, event):
        return
    await accrue_transaction(session, told.transaction_id)


def _recorded(told: TransactionFacts, event: Mapping[str, Any]) -> dict[str, Any]:
    return asdict(told) | {
        "status": Recording.WAITING,
        "reason": None,
        "verification": Verification.PENDING,
        "verify_at": None,
        "event": dict(event),
        "recorded_at": utc_now(),
        "accrued_at": None,
    }


async def _replaces_forged(session: Session, told: TransactionFacts, event: Mapping[str, Any]) -> bool:
    recorded = await transactions.lock_transaction(session, told.transaction_id)
    assert recorded is not None, "transactions are never deleted"
    if facts_of(recorded) == told:
        return False
    if recorded.verification != Verification.FORGED:
        log.warning("contradicting_transaction", transaction_id=str(told.transaction_id))
        dead_letter(session, told.transaction_id, event, CONTRADICTING)
        if recorded.verification != Verification.VERIFIED:
            asking = {"verification": Verification.PENDING, "verify_at": utc_now()}
            await transactions.update_transaction(session, told.transaction_id, **asking)
        return False
    await transactions.update_transaction(session, told.transaction_id, **_recorded(told, event))
    return True


async def accrue_transaction(session: Session, transaction_id: UUID) -> None:
    """Make the rewards of a recorded transaction once both parties and its parameters version are known.

    Until then it waits, or is held `unknown_party`. The parties' rows must be locked.
    """
    recorded = await transactions.lock_transaction(session, transaction_id)
    if recorded is None or recorded.status not in {Recording.WAITING, Recording.HELD}:
        return
    known = await facts.lock_parties(session, set(parties_of(recorded)))
    parameters = await parameters_of(session, recorded.parameters_version)
    missing = [member for member in known.values() if not member.is_known]
    now = utc_now()
    if any(member.is_unknown_to_identity for member in missing):
        await transactions.update_transaction(
            session, transaction_id, status=Recording.HELD, reason=Reason.UNKNOWN_PARTY
        )
    elif missing:
        await facts.need_parties(session, [member.member_id for member in missing], now)
    elif parameters is not None:
        with span("accrue transaction", parent=nearest(recorded.event.get("traceparent"))):
            await _accrue(session, recorded, known, parameters, now)


async def _accrue(
    session: Session, recorded: Any, known: Mapping[UUID, Any], parameters: Parameters, now: datetime
) -> None:
    connectors = connectors_of(recorded, known, parameters)
    price = await price_as_of(session, recorded.completed_at)
    rows = _reward_rows(recorded, connectors, parameters, price, now)
    await rewards.insert_rewards(session, [vars(row) for row in rows])
    await _journal_accrual(session, recorded, rows, (parameters, price), now)
    is_pending = recorded.verify_at is not None or any(row.status != Status.CANCELLED for row in rows)
    await transactions.update_transaction(
        session,
        recorded.transaction_id,
        status=Recording.ACCRUED,
        reason=None,
        accrued_at=now,
        verification=Verification.PENDING if is_pending else Verification.NOT_NEEDED,
        verify_at=now if is_pending else None,
    )
    await apply_refunds(session, recorded.transaction_id)


def connectors_of(recorded: Any, known: Mapping[UUID, Any], parameters: Parameters) -> dict[Side, UUID]:
    """Side → the connector who earns on it: the member was referred, and the referral still counts."""
    found: dict[Side, UUID] = {}
    for side, member_id in zip(SIDES, parties_of(recorded), strict=True):
        member = known[member_id]
        if member.connector_id is not None and referral_counts(
            completed_at=recorded.completed_at,
            registered_at=member.registered_at,
            referral_duration_seconds=parameters.referral_duration_seconds,
        ):
            found[side] = member.connector_id
    return found


def _reward_rows(
    recorded: Any, connectors: Mapping[Side, UUID], parameters: Parameters, price: Price | None, now: datetime
) -> list[SimpleNamespace]:
    sides = list(connectors)
    amounts = dict.fromkeys(sides, 0) if price is None else amounts_of(recorded, sides, parameters, price.usd_e8)
    return [
        SimpleNamespace(
            id=reward_id(
                kind="connector",
                source=facts_of(recorded).fingerprint(),
                side=side,
                earned_at=recorded.completed_at,
            ),
            source_kind="transaction",
            source_id=recorded.transaction_id,
            side=side,
            kind="connector",
            beneficiary_id=connectors[side],
            transaction_id=recorded.transaction_id,
            earned_wei=amounts[side],
            amount_wei=amounts[side],
            price_usd_e8=price.usd_e8 if price else None,
            price_window=price.window if price else None,
            price_source=price.source if price else None,
            parameters_version=parameters.version,
            hold_ends_at=hold_ends_at(
                completed_at=recorded.completed_at, reward_hold_seconds=parameters.reward_hold_seconds
            ),
            created_at=now,
            **_first_status(price, amounts[side], now),
        )
        for side in sides
    ]


def amounts_of(recorded: Any, sides: Sequence[Side], parameters: Parameters, price_usd_e8: int) -> dict[Side, int]:
    """What each side's connector earns on the transaction before refunds, in wei."""
    return connector_rewards(
        amount_cents=recorded.amount_cents,
        client_fee_cents=recorded.client_fee_cents,
        connector_reward_bps=parameters.connector_reward_bps,
        price_usd_e8=price_usd_e8,
        sides=sides,
    )


def _first_status(price: Price | None, amount_wei: int, now: datetime) -> dict[str, Any]:
    if price is None:
        return {"status": Status.HELD, "reason": Reason.STALE_PRICE, "check_at": now}
    if amount_wei == 0:
        return {"status": Status.CANCELLED, "reason": Reason.ZERO_AMOUNT, "check_at": None}
    return {"status": Status.HELD, "reason": Reason.UNVERIFIED, "check_at": None}


async def _journal_accrual(
    session: Session,
    recorded: Any,
    rows: Sequence[SimpleNamespace],
    terms: tuple[Parameters, Price | None],
    now: datetime,
) -> None:
    parameters, price = terms
    told = {name: str(value) for name, value in asdict(facts_of(recorded)).items()}
    told["completed_at"] = to_rfc3339(recorded.completed_at)
    steps = []
    for row in rows:
        steps.append(journal.Step(row.id, "transaction_recorded", "transaction_recorded", told, recorded.recorded_at))
        steps.append(journal.Step(row.id, "facts_known", "facts_known", _facts_data(recorded, row, parameters)))
        if price is not None:
            steps.append(accrued_step(recorded, row, parameters, price, len(rows)))
            journal.tell_accrued(session, row, now)
        steps.append(journal.Step(row.id, row.status, row.reason))
        if row.status == Status.CANCELLED:
            journal.tell_cancelled(session, row, row.reason, now)
        else:
            journal.tell_held(session, row, row.reason, now)
    await journal.write_steps(session, steps, now)
    await ledger.insert_entries(session, [ledger.Entry(Code.ACCRUAL, row.amount_wei, row) for row in rows], now)


def _facts_data(recorded: Any, row: Any, parameters: Parameters) -> dict[str, Any]:
    return {
        "side": row.side,
        "referred_member_id": str(recorded.client_id if row.side == "client" else recorded.talent_id),
        "connector_id": str(row.beneficiary_id),
        "parameters_version": parameters.version,
    }


def accrued_step(recorded: Any, row: Any, parameters: Parameters, price: Price, sides: int) -> journal.Step:
    """The step that shows every input of the formula."""
    return journal.Step(
        row.id,
        "accrued",
        "accrued",
        {
            "amount_cents": recorded.amount_cents,
            "client_fee_cents": recorded.client_fee_cents,
            "connector_reward_bps": parameters.connector_reward_bps,
            "rewarded_sides": sides,
            "price_usd_e8": price.usd_e8,
            "price_window": price.window,
            "price_source": price.source,
            "amount_wei": str(row.earned_wei),
        },
    )

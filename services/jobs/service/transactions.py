"""Transactions, and money that goes back."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from chassis.clock import utc_now
from chassis.db import Session
from chassis.errors import Forbidden, NotFound
from chassis.ids import new_id
from chassis.outbox import publish
from events.jobs import TransactionRefunded
from services.jobs.domain.actors import Actor
from services.jobs.domain.money import RefundTotals, refund, status_after_refund
from services.jobs.domain.parameters import hold_has_passed
from services.jobs.errors import UnknownTransaction
from services.jobs.repository import transactions as repository
from services.jobs.repository.parties import Position, Row
from services.jobs.service.parameters import parameters_of


async def get_transaction(session: Session, *, actor: Actor, transaction_id: UUID) -> Row:
    """The transaction, for its two parties and admins.

    Raises: NotFound.
    """
    return await repository.get_transaction(session, transaction_id, viewer_id=_viewer(actor))


async def get_transaction_facts(session: Session, *, transaction_id: UUID) -> Row:
    """The transaction as other services of the deployment verify it, with every refund begun before the question.

    Raises: UnknownTransaction.
    """
    try:
        return await repository.settled_transaction(session, transaction_id)
    except NotFound as nothing:
        raise UnknownTransaction from nothing


async def list_my_transactions(
    session: Session, *, viewer_id: UUID, limit: int, after: Position | None
) -> Sequence[Row]:
    """What the viewer paid and received, newest first."""
    return await repository.list_transactions(session, viewer_id=viewer_id, limit=limit, after=after)


async def refund_transaction(
    session: Session, *, actor: Actor, transaction_id: UUID, amount_cents: int, reason: str
) -> Row:
    """The refund: part or all of the amount goes back to the client, with as much of the fee as rule 6 allows.

    Raises: NotFound, Forbidden, RefundExceedsTransaction.
    """
    transaction = await repository.lock_transaction(session, transaction_id, viewer_id=_viewer(actor))
    if not actor.is_admin and actor.member_id != transaction.talent_id:
        raise Forbidden("Only its Talent or an admin may refund a transaction.")
    now = utc_now()
    before = _totals_of(transaction)
    parameters = await parameters_of(session, version=transaction.parameters_version)
    after = refund(
        before,
        amount_cents=transaction.amount_cents,
        refunded_cents=amount_cents,
        parameters=parameters,
        hold_passed=hold_has_passed(parameters, completed_at=transaction.completed_at, now=now),
    )
    await repository.update_transaction(session, transaction.id, _columns_of(after, transaction.amount_cents))
    values = {
        "id": new_id(),
        "created_at": now,
        "transaction_id": transaction.id,
        "client_id": transaction.client_id,
        "talent_id": transaction.talent_id,
        "requested_by_id": actor.member_id,
        "amount_cents": amount_cents,
        "client_fee_refunded_cents": after.fee_refunded_cents - before.fee_refunded_cents,
        "total_refunded_cents": after.refunded_cents,
        "total_client_fee_refunded_cents": after.fee_refunded_cents,
        "reason": reason,
        "status": "succeeded",
    }
    row = await repository.insert_refund(session, values)
    publish(session, _refunded(row, now))
    return row


async def get_refund(session: Session, *, actor: Actor, refund_id: UUID) -> Row:
    """The refund, for the two parties and admins.

    Raises: NotFound.
    """
    return await repository.get_refund(session, refund_id, viewer_id=_viewer(actor))


async def get_refund_facts(session: Session, *, transaction_id: UUID, refund_id: UUID) -> Row:
    """The refund as other services of the deployment verify it.

    Raises: UnknownTransaction when there is no such refund of this transaction.
    """
    try:
        return await repository.get_refund_of(session, transaction_id, refund_id)
    except NotFound as nothing:
        raise UnknownTransaction from nothing


async def list_refunds_of(
    session: Session, *, actor: Actor, transaction_id: UUID, limit: int, after: Position | None
) -> Sequence[Row]:
    """A transaction's refunds, newest first.

    Raises: NotFound when the transaction is not the actor's to see.
    """
    await repository.get_transaction(session, transaction_id, viewer_id=_viewer(actor))
    return await repository.list_refunds_of(session, transaction_id, limit=limit, after=after)


def _viewer(actor: Actor) -> UUID | None:
    return None if actor.is_admin else actor.member_id


def _totals_of(transaction: Row) -> RefundTotals:
    return RefundTotals(
        refunded_cents=transaction.total_refunded_cents,
        fee_numerator=transaction.fee_numerator,
        fee_refunded_cents=transaction.total_client_fee_refunded_cents,
    )


def _columns_of(totals: RefundTotals, amount_cents: int) -> dict[str, Any]:
    return {
        "status": status_after_refund(totals, amount_cents=amount_cents),
        "total_refunded_cents": totals.refunded_cents,
        "fee_numerator": totals.fee_numerator,
        "total_client_fee_refunded_cents": totals.fee_refunded_cents,
    }


def _refunded(row: Row, now: datetime) -> TransactionRefunded:
    return TransactionRefunded(
        transaction_id=row.transaction_id,
        client_id=row.client_id,
        talent_id=row.talent_id,
        refund_id=row.id,
        refunded_cents=row.amount_cents,
        total_refunded_cents=row.total_refunded_cents,
        client_fee_refunded_cents=row.client_fee_refunded_cents,
        total_client_fee_refunded_cents=row.total_client_fee_refunded_cents,
        refunded_at=now,
    )

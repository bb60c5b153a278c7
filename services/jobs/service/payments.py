"""Payments: an approved invoice becomes a completed transaction."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from chassis.clock import utc_now
from chassis.db import Session
from chassis.ids import new_id
from chassis.outbox import publish
from events.jobs import TransactionCompleted
from services.jobs.domain.actors import Actor, require_side
from services.jobs.domain.payments import PaymentProvider, provider_named
from services.jobs.domain.states import INVOICE_MOVES, InvoiceStatus, TransactionStatus, move
from services.jobs.errors import AlreadyPaid
from services.jobs.repository import invoices, transactions
from services.jobs.repository.parties import Row


async def pay_invoice(
    session: Session, *, actor: Actor, invoice_id: UUID, method: str, available: Mapping[str, PaymentProvider]
) -> Row:
    """The payment. Invoice paid, transaction completed and `TransactionCompleted` are in this one unit of work.

    Raises: NotFound, Forbidden, UnknownPaymentMethod, AlreadyPaid, InvalidState (not approved).
    """
    invoice = await invoices.lock_invoice(session, invoice_id, viewer_id=actor.member_id)
    require_side(actor, invoice.client_id, side="client")
    provider = provider_named(method, available)
    if invoice.status == InvoiceStatus.PAID:
        raise AlreadyPaid
    paid = move(INVOICE_MOVES, "pay", invoice.status, noun="invoice")
    payment_status = provider.settle(total_cents=invoice.total_cents)
    now = utc_now()
    transaction = await complete_transaction(session, invoice=invoice, provider=provider.name, now=now)
    await invoices.update_invoice(session, invoice.id, {"status": paid, "transaction_id": transaction.id})
    values = {
        "id": new_id(),
        "created_at": now,
        "invoice_id": invoice.id,
        "transaction_id": transaction.id,
        "client_id": invoice.client_id,
        "talent_id": invoice.talent_id,
        "method": provider.name,
        "status": payment_status,
        "total_cents": invoice.total_cents,
        "currency": invoice.currency,
    }
    return await invoices.insert_payment(session, values)


async def get_payment(session: Session, *, viewer_id: UUID, payment_id: UUID) -> Row:
    """The payment, for its two parties.

    Raises: NotFound.
    """
    return await invoices.get_payment(session, payment_id, viewer_id=viewer_id)


async def complete_transaction(session: Session, *, invoice: Row, provider: str, now: datetime) -> Row:
    """The new transaction of an invoice that is paid at `now`; its event goes out with the commit."""
    facts: dict[str, Any] = {
        "invoice_id": invoice.id,
        "engagement_id": invoice.engagement_id,
        "client_id": invoice.client_id,
        "talent_id": invoice.talent_id,
        "provider": provider,
        "amount_cents": invoice.amount_cents,
        "currency": invoice.currency,
        "client_fee_cents": invoice.client_fee_cents,
        "talent_fee_cents": invoice.talent_fee_cents,
        "parameters_version": invoice.parameters_version,
        "completed_at": now,
    }
    values = {
        **facts,
        "id": new_id(),
        "created_at": now,
        "total_cents": invoice.total_cents,
        "status": TransactionStatus.COMPLETED,
        "total_refunded_cents": 0,
        "fee_numerator": 0,
        "total_client_fee_refunded_cents": 0,
    }
    transaction = await transactions.insert_transaction(session, values)
    publish(session, TransactionCompleted(transaction_id=transaction.id, **facts))
    return transaction

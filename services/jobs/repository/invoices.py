"""Invoices and the payments made on them."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from chassis.db import Session
from services.jobs.models import invoices, payments
from services.jobs.repository.parties import (
    Position,
    Row,
    insert_row,
    newest_first,
    one_of_party,
    seen_by,
    update_row,
)


async def insert_invoice(session: Session, values: Mapping[str, Any]) -> Row:
    """Insert; the new invoice."""
    return await insert_row(session, invoices, values)


async def get_invoice(session: Session, invoice_id: UUID, *, viewer_id: UUID) -> Row:
    """The invoice. Raises: NotFound."""
    return await one_of_party(session, invoices, invoice_id, viewer_id)


async def lock_invoice(session: Session, invoice_id: UUID, *, viewer_id: UUID) -> Row:
    """The invoice, locked to be changed. Raises: NotFound."""
    return await one_of_party(session, invoices, invoice_id, viewer_id, lock="update")


async def update_invoice(session: Session, invoice_id: UUID, values: Mapping[str, Any]) -> Row:
    """Change a locked invoice; the invoice as it is now."""
    return await update_row(session, invoices, invoice_id, values)


async def list_invoices_of(
    session: Session, engagement_id: UUID, *, viewer_id: UUID, limit: int, after: Position | None
) -> Sequence[Row]:
    """An engagement's invoices, newest first."""
    return await newest_first(
        session,
        invoices,
        invoices.c.engagement_id == engagement_id,
        seen_by(invoices, viewer_id),
        limit=limit,
        after=after,
    )


async def insert_payment(session: Session, values: Mapping[str, Any]) -> Row:
    """Insert; the new payment."""
    return await insert_row(session, payments, values)


async def get_payment(session: Session, payment_id: UUID, *, viewer_id: UUID) -> Row:
    """The payment. Raises: NotFound."""
    return await one_of_party(session, payments, payment_id, viewer_id)

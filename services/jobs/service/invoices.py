"""Invoices: the Talent asks for an amount, the client approves or rejects it."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from chassis.clock import utc_now
from chassis.db import Session
from chassis.ids import new_id
from chassis.outbox import publish
from events.jobs import InvoiceApproved, InvoiceRejected, InvoiceSubmitted
from services.jobs.domain.actors import Actor, require_side
from services.jobs.domain.money import CURRENCY, charge_for, invoice_amount_cents
from services.jobs.domain.states import INVOICE_MOVES, EngagementStatus, InvoiceStatus, move, require_state
from services.jobs.repository import engagements
from services.jobs.repository import invoices as repository
from services.jobs.repository.parties import Position, Row
from services.jobs.service.parameters import parameters_in_force


async def submit_invoice(
    session: Session, *, actor: Actor, engagement_id: UUID, lines: Sequence[Mapping[str, Any]]
) -> Row:
    """The new invoice; its fee and the version of the parameters it follows are fixed from here on.

    Raises: NotFound, Forbidden, InvalidState (the engagement has ended), InvoiceAmountOutOfBounds.
    """
    engagement = await engagements.hold_engagement(session, engagement_id, viewer_id=actor.member_id)
    require_side(actor, engagement.talent_id, side="Talent")
    require_state(EngagementStatus.ACTIVE, engagement.status, noun="engagement")
    now = utc_now()
    amount_cents = invoice_amount_cents([line["amount_cents"] for line in lines])
    charge = charge_for(amount_cents, await parameters_in_force(session, moment=now))
    values = {
        "id": new_id(),
        "created_at": now,
        "engagement_id": engagement.id,
        "client_id": engagement.client_id,
        "talent_id": engagement.talent_id,
        "lines": [dict(line) for line in lines],
        "amount_cents": charge.amount_cents,
        "client_fee_cents": charge.client_fee_cents,
        "talent_fee_cents": charge.talent_fee_cents,
        "total_cents": charge.total_cents,
        "currency": CURRENCY,
        "parameters_version": charge.parameters_version,
        "status": InvoiceStatus.SUBMITTED,
    }
    invoice = await repository.insert_invoice(session, values)
    publish(
        session,
        InvoiceSubmitted(
            **_named(invoice),
            amount_cents=charge.amount_cents,
            client_fee_cents=charge.client_fee_cents,
            total_cents=charge.total_cents,
            currency=CURRENCY,
            submitted_at=now,
        ),
    )
    return invoice


async def get_invoice(session: Session, *, viewer_id: UUID, invoice_id: UUID) -> Row:
    """The invoice, for its two parties.

    Raises: NotFound.
    """
    return await repository.get_invoice(session, invoice_id, viewer_id=viewer_id)


async def list_invoices_of(
    session: Session, *, viewer_id: UUID, engagement_id: UUID, limit: int, after: Position | None
) -> Sequence[Row]:
    """An engagement's invoices, newest first.

    Raises: NotFound when the engagement is not the viewer's to see.
    """
    await engagements.get_engagement(session, engagement_id, viewer_id=viewer_id)
    return await repository.list_invoices_of(session, engagement_id, viewer_id=viewer_id, limit=limit, after=after)


async def approve_invoice(session: Session, *, actor: Actor, invoice_id: UUID) -> Row:
    """The invoice, approved by its client: it can be paid.

    Raises: NotFound, Forbidden, InvalidState.
    """
    invoice = await _decide(session, actor=actor, invoice_id=invoice_id, action="approve", reason=None)
    publish(session, InvoiceApproved(**_named(invoice), approved_at=invoice.decided_at))
    return invoice


async def reject_invoice(session: Session, *, actor: Actor, invoice_id: UUID, reason: str) -> Row:
    """The invoice, rejected by its client for `reason`; the Talent may submit another.

    Raises: NotFound, Forbidden, InvalidState.
    """
    invoice = await _decide(session, actor=actor, invoice_id=invoice_id, action="reject", reason=reason)
    publish(session, InvoiceRejected(**_named(invoice), rejected_at=invoice.decided_at))
    return invoice


def _named(invoice: Row) -> dict[str, UUID]:
    """What every event of the invoice names."""
    return {
        "invoice_id": invoice.id,
        "engagement_id": invoice.engagement_id,
        "client_id": invoice.client_id,
        "talent_id": invoice.talent_id,
    }


async def _decide(session: Session, *, actor: Actor, invoice_id: UUID, action: str, reason: str | None) -> Row:
    invoice = await repository.lock_invoice(session, invoice_id, viewer_id=actor.member_id)
    require_side(actor, invoice.client_id, side="client")
    status = move(INVOICE_MOVES, action, invoice.status, noun="invoice")
    changes = {"status": status, "reason": reason, "decided_at": utc_now()}
    return await repository.update_invoice(session, invoice.id, changes)

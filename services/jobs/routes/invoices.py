"""Endpoints of invoices and of the payments made on them."""

from uuid import UUID

from fastapi import Response

from chassis.web import (
    ContextDep,
    Page,
    Paging,
    SessionDep,
    created,
    idempotency_required,
    new_router,
    problems,
)
from services.jobs.domain.payments import providers
from services.jobs.routes.common import ActorDep, as_page
from services.jobs.schemas.billing import InvoiceCreate, InvoiceRead, InvoiceReject, PaymentCreate, PaymentRead
from services.jobs.service import invoices as service
from services.jobs.service import payments

router = new_router("invoices")


@router.post(
    "/v1/engagements/{engagement_id}/invoices",
    operation_id="submit_invoice",
    summary="Submit an invoice",
    status_code=201,
    responses=problems(401, 403, 404, 409),
)
async def submit_invoice(
    engagement_id: UUID, body: InvoiceCreate, session: SessionDep, actor: ActorDep, response: Response
) -> InvoiceRead:
    """The engagement's Talent only. The client fee is fixed here, by the parameters now in force."""
    lines = [line.model_dump() for line in body.lines]
    invoice = await service.submit_invoice(session, actor=actor, engagement_id=engagement_id, lines=lines)
    created(response, f"/v1/invoices/{invoice.id}")
    return InvoiceRead.model_validate(invoice)


@router.get(
    "/v1/engagements/{engagement_id}/invoices",
    operation_id="list_invoices",
    summary="List an engagement's invoices",
    responses=problems(401, 404),
)
async def list_invoices(engagement_id: UUID, session: SessionDep, actor: ActorDep, paging: Paging) -> Page[InvoiceRead]:
    """For its two parties, newest first."""
    rows = await service.list_invoices_of(
        session,
        viewer_id=actor.member_id,
        engagement_id=engagement_id,
        limit=paging.limit + 1,
        after=paging.after_time_id(),
    )
    return as_page(InvoiceRead, rows, paging)


@router.get(
    "/v1/invoices/{invoice_id}", operation_id="get_invoice", summary="Read an invoice", responses=problems(401, 404)
)
async def get_invoice(invoice_id: UUID, session: SessionDep, actor: ActorDep) -> InvoiceRead:
    """For its two parties."""
    row = await service.get_invoice(session, viewer_id=actor.member_id, invoice_id=invoice_id)
    return InvoiceRead.model_validate(row)


@router.post(
    "/v1/invoices/{invoice_id}/approve",
    operation_id="approve_invoice",
    summary="Approve an invoice",
    responses=problems(401, 403, 404, 409),
)
async def approve_invoice(invoice_id: UUID, session: SessionDep, actor: ActorDep) -> InvoiceRead:
    """Its client only; submitted → approved."""
    return InvoiceRead.model_validate(await service.approve_invoice(session, actor=actor, invoice_id=invoice_id))


@router.post(
    "/v1/invoices/{invoice_id}/reject",
    operation_id="reject_invoice",
    summary="Reject an invoice",
    responses=problems(401, 403, 404, 409),
)
async def reject_invoice(invoice_id: UUID, body: InvoiceReject, session: SessionDep, actor: ActorDep) -> InvoiceRead:
    """Its client only; submitted → rejected."""
    row = await service.reject_invoice(session, actor=actor, invoice_id=invoice_id, reason=body.reason)
    return InvoiceRead.model_validate(row)


@router.post(
    "/v1/invoices/{invoice_id}/payments",
    operation_id="pay_invoice",
    summary="Pay an invoice",
    status_code=201,
    responses=problems(401, 403, 404, 409),
)
@idempotency_required
async def settle_payment(
    *,
    invoice_id: UUID,
    body: PaymentCreate,
    session: SessionDep,
    actor: ActorDep,
    context: ContextDep,
    response: Response,
) -> PaymentRead:
    """Its client only, once it is approved. The sandbox settles inside the call: the transaction is complete."""
    available = providers(sandbox_on=context.settings.sandbox_on)
    payment = await payments.pay_invoice(
        session, actor=actor, invoice_id=invoice_id, method=body.method, available=available
    )
    created(response, f"/v1/payments/{payment.id}")
    return PaymentRead.model_validate(payment)


@router.get(
    "/v1/payments/{payment_id}", operation_id="get_payment", summary="Read a payment", responses=problems(401, 404)
)
async def get_payment(payment_id: UUID, session: SessionDep, actor: ActorDep) -> PaymentRead:
    """For its two parties."""
    row = await payments.get_payment(session, viewer_id=actor.member_id, payment_id=payment_id)
    return PaymentRead.model_validate(row)

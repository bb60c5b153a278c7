"""Endpoints of transactions and refunds, and what other services may ask about a transaction."""

from uuid import UUID

from fastapi import Response

from chassis.web import Page, Paging, SessionDep, created, idempotency_required, new_router, problems
from services.jobs.routes.common import ActorDep, as_page
from services.jobs.schemas.billing import RefundCreate, RefundFacts, RefundRead, TransactionFacts, TransactionRead
from services.jobs.service import transactions as service

router = new_router("transactions")
internal_router = new_router("internal")


@router.get(
    "/v1/transactions", operation_id="list_transactions", summary="List my transactions", responses=problems(401)
)
async def list_transactions(session: SessionDep, actor: ActorDep, paging: Paging) -> Page[TransactionRead]:
    """What I paid and what I received, newest first."""
    rows = await service.list_my_transactions(
        session, viewer_id=actor.member_id, limit=paging.limit + 1, after=paging.after_time_id()
    )
    return as_page(TransactionRead, rows, paging)


@router.get(
    "/v1/transactions/{transaction_id}",
    operation_id="get_transaction",
    summary="Read a transaction",
    responses=problems(401, 404),
)
async def get_transaction(transaction_id: UUID, session: SessionDep, actor: ActorDep) -> TransactionRead:
    """For its two parties and admins."""
    row = await service.get_transaction(session, actor=actor, transaction_id=transaction_id)
    return TransactionRead.model_validate(row)


@router.post(
    "/v1/transactions/{transaction_id}/refunds",
    operation_id="refund_transaction",
    summary="Give money back",
    status_code=201,
    responses=problems(401, 403, 404, 409),
)
@idempotency_required
async def refund_transaction(
    transaction_id: UUID, body: RefundCreate, session: SessionDep, actor: ActorDep, response: Response
) -> RefundRead:
    """Its Talent or an admin. How much of the client fee comes back depends on whether rewards may have been paid."""
    refund = await service.refund_transaction(
        session, actor=actor, transaction_id=transaction_id, amount_cents=body.amount_cents, reason=body.reason
    )
    created(response, f"/v1/refunds/{refund.id}")
    return RefundRead.model_validate(refund)


@router.get(
    "/v1/transactions/{transaction_id}/refunds",
    operation_id="list_refunds",
    summary="List a transaction's refunds",
    responses=problems(401, 404),
)
async def list_refunds(transaction_id: UUID, session: SessionDep, actor: ActorDep, paging: Paging) -> Page[RefundRead]:
    """For its two parties and admins, newest first."""
    rows = await service.list_refunds_of(
        session, actor=actor, transaction_id=transaction_id, limit=paging.limit + 1, after=paging.after_time_id()
    )
    return as_page(RefundRead, rows, paging)


@router.get("/v1/refunds/{refund_id}", operation_id="get_refund", summary="Read a refund", responses=problems(401, 404))
async def get_refund(refund_id: UUID, session: SessionDep, actor: ActorDep) -> RefundRead:
    """For the two parties and admins."""
    return RefundRead.model_validate(await service.get_refund(session, actor=actor, refund_id=refund_id))


@internal_router.get(
    "/transactions/{transaction_id}",
    operation_id="get_transaction_facts",
    summary="Verify a transaction",
    responses=problems(401, 404),
)
async def get_transaction_facts(transaction_id: UUID, session: SessionDep) -> TransactionFacts:
    """The fields of its event, and what went back since."""
    row = await service.get_transaction_facts(session, transaction_id=transaction_id)
    return TransactionFacts.model_validate(row)


@internal_router.get(
    "/transactions/{transaction_id}/refunds/{refund_id}",
    operation_id="get_refund_facts",
    summary="Verify a refund",
    responses=problems(401, 404),
)
async def get_refund_facts(transaction_id: UUID, refund_id: UUID, session: SessionDep) -> RefundFacts:
    """The fields of its event."""
    row = await service.get_refund_facts(session, transaction_id=transaction_id, refund_id=refund_id)
    return RefundFacts.model_validate(row)

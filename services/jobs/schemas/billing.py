"""Bodies of invoices, payments, transactions and refunds."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AliasPath, BaseModel, ConfigDict, Field, StringConstraints

from chassis.clock import Timestamp
from chassis.money import AmountCents
from chassis.web import ReadModel, StrictModel
from services.jobs.schemas.fields import Currency, PartiesResource, ShortText


class InvoiceLine(StrictModel):
    """One thing that was done, and what it costs."""

    description: ShortText
    amount_cents: AmountCents


class InvoiceCreate(StrictModel):
    """An invoice to submit. The lines sum up to at least 100 cents."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"lines": [{"description": "10 hours in March", "amount_cents": 100_000}]}]}
    )

    lines: Annotated[list[InvoiceLine], Field(min_length=1, max_length=100)]
    currency: Currency = "USD"


class InvoiceLineRead(BaseModel):
    """A line of an invoice."""

    description: str
    amount_cents: int


class InvoiceRead(PartiesResource):
    """An invoice; `transaction_id` once it is paid."""

    engagement_id: UUID
    lines: list[InvoiceLineRead]
    amount_cents: int
    client_fee_cents: int
    talent_fee_cents: Literal[0]
    total_cents: int
    currency: Currency
    parameters_version: int
    status: Literal["submitted", "approved", "rejected", "paid"]
    reason: str | None
    decided_at: Timestamp | None
    transaction_id: UUID | None


class InvoiceReject(StrictModel):
    """Why an invoice is rejected."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "The second line was not agreed."}]})

    reason: ShortText


class PaymentCreate(StrictModel):
    """How to pay."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"method": "sandbox"}]})

    method: Annotated[str, StringConstraints(min_length=1, max_length=50)]


class PaymentRead(PartiesResource):
    """A payment of an invoice."""

    invoice_id: UUID
    transaction_id: UUID
    method: str
    status: Literal["succeeded"]
    total_cents: int
    currency: Currency


class _TransactionFacts(ReadModel):
    transaction_id: UUID = Field(validation_alias=AliasPath("id"))
    invoice_id: UUID
    engagement_id: UUID
    client_id: UUID
    talent_id: UUID
    provider: str
    amount_cents: int
    currency: Currency
    client_fee_cents: int
    talent_fee_cents: Literal[0]
    parameters_version: int
    completed_at: Timestamp
    status: Literal["completed", "partially_refunded", "refunded"]
    total_refunded_cents: int
    total_client_fee_refunded_cents: int


class TransactionRead(_TransactionFacts):
    """A transaction: what its event says, and what went back since."""

    id: UUID
    created_at: Timestamp
    total_cents: int


class TransactionFacts(_TransactionFacts):
    """What other services of the deployment verify an event with."""


class RefundFacts(ReadModel):
    """What other services of the deployment verify a refund's event with; the totals are those right after it."""

    refund_id: UUID = Field(validation_alias=AliasPath("id"))
    transaction_id: UUID
    refunded_cents: int = Field(validation_alias=AliasPath("amount_cents"))
    total_refunded_cents: int
    client_fee_refunded_cents: int
    total_client_fee_refunded_cents: int
    refunded_at: Timestamp = Field(validation_alias=AliasPath("created_at"))


class RefundCreate(StrictModel):
    """How much of the amount goes back, and why."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"amount_cents": 25_000, "reason": "Two hours were not worked."}]}
    )

    amount_cents: AmountCents
    reason: ShortText


class RefundRead(PartiesResource):
    """A refund; the totals are those right after it."""

    transaction_id: UUID
    requested_by_id: UUID
    amount_cents: int
    client_fee_refunded_cents: int
    total_refunded_cents: int
    total_client_fee_refunded_cents: int
    reason: str
    status: Literal["succeeded"]

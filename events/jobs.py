"""What jobs tells the others: jobs, bids, engagements and, above all, transactions."""

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from chassis.clock import Timestamp
from chassis.envelope import Event
from chassis.money import MAX_CENTS


class JobOpened(Event):
    """A job was published and takes bids."""

    type_: ClassVar[str] = "jobs.job.opened.v1"
    key_field: ClassVar[str] = "job_id"
    job_id: UUID
    client_id: UUID
    title: str
    opened_at: Timestamp


class JobClosed(Event):
    """A job takes no more bids."""

    type_: ClassVar[str] = "jobs.job.closed.v1"
    key_field: ClassVar[str] = "job_id"
    job_id: UUID
    client_id: UUID
    closed_at: Timestamp


class BidPlaced(Event):
    """A Talent bid on a job."""

    type_: ClassVar[str] = "jobs.bid.placed.v1"
    key_field: ClassVar[str] = "bid_id"
    bid_id: UUID
    job_id: UUID
    talent_id: UUID
    rate_cents: int
    placed_at: Timestamp


class BidWithdrawn(Event):
    """A Talent took a bid back."""

    type_: ClassVar[str] = "jobs.bid.withdrawn.v1"
    key_field: ClassVar[str] = "bid_id"
    bid_id: UUID
    job_id: UUID
    talent_id: UUID
    withdrawn_at: Timestamp


class EngagementStarted(Event):
    """An offer was accepted: client and Talent work together."""

    type_: ClassVar[str] = "jobs.engagement.started.v1"
    key_field: ClassVar[str] = "engagement_id"
    engagement_id: UUID
    job_id: UUID
    client_id: UUID
    talent_id: UUID
    rate_cents: int
    started_at: Timestamp


class EngagementEnded(Event):
    """Client and Talent no longer work together."""

    type_: ClassVar[str] = "jobs.engagement.ended.v1"
    key_field: ClassVar[str] = "engagement_id"
    engagement_id: UUID
    job_id: UUID
    client_id: UUID
    talent_id: UUID
    ended_at: Timestamp


class TransactionCompleted(Event):
    """A client paid an invoice and the payment settled. The event that earns rewards."""

    type_: ClassVar[str] = "jobs.transaction.completed.v1"
    key_field: ClassVar[str] = "transaction_id"
    transaction_id: UUID
    invoice_id: UUID
    engagement_id: UUID
    client_id: UUID
    talent_id: UUID
    provider: str
    amount_cents: int = Field(ge=1, le=MAX_CENTS, strict=True)
    currency: Literal["USD"]
    client_fee_cents: int = Field(ge=0, le=MAX_CENTS, strict=True)
    talent_fee_cents: Literal[0]
    parameters_version: int = Field(ge=0, le=2**62, strict=True)
    completed_at: Timestamp


class TransactionRefunded(Event):
    """Part or all of a transaction went back to the client. The totals include this refund."""

    type_: ClassVar[str] = "jobs.transaction.refunded.v1"
    key_field: ClassVar[str] = "transaction_id"
    transaction_id: UUID
    refund_id: UUID
    refunded_cents: int = Field(ge=1, le=MAX_CENTS, strict=True)
    total_refunded_cents: int = Field(ge=1, le=MAX_CENTS, strict=True)
    client_fee_refunded_cents: int = Field(ge=0, le=MAX_CENTS, strict=True)
    total_client_fee_refunded_cents: int = Field(ge=0, le=MAX_CENTS, strict=True)
    refunded_at: Timestamp

"""What jobs tells the others: jobs, bids, engagements and, above all, transactions."""

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from chassis.clock import Timestamp
from chassis.envelope import Event
from chassis.money import MAX_CENTS
from events.fields import (
    CLIO,
    ENGAGEMENT,
    INVOICE,
    OFFER,
    REFUND,
    TARIQ,
    BidId,
    ClientId,
    EngagementId,
    JobId,
    TalentId,
    TransactionId,
    at,
    cents,
    told,
)


class JobOpened(Event):
    """A job was published and takes bids."""

    type_: ClassVar[str] = "jobs.job.opened.v1"
    key_field: ClassVar[str] = "job_id"
    job_id: JobId
    client_id: ClientId
    title: Annotated[str, told("What the client calls the job.", "Solidity engineer")]
    opened_at: Annotated[Timestamp, at("When the job was published")]


class JobClosed(Event):
    """A job takes no more bids."""

    type_: ClassVar[str] = "jobs.job.closed.v1"
    key_field: ClassVar[str] = "job_id"
    job_id: JobId
    client_id: ClientId
    closed_at: Annotated[Timestamp, at("When the job stopped taking bids")]


class BidPlaced(Event):
    """A Talent bid on a job."""

    type_: ClassVar[str] = "jobs.bid.placed.v1"
    key_field: ClassVar[str] = "bid_id"
    bid_id: BidId
    job_id: JobId
    talent_id: TalentId
    rate_cents: Annotated[int, cents("What the Talent asks: an hour, or for the whole of a fixed-price job", 10_000)]
    placed_at: Annotated[Timestamp, at("When the bid was placed")]
    client_id: Annotated[UUID | None, told("Whose job it is; null in events older than this field.", CLIO)] = None


class BidWithdrawn(Event):
    """A Talent took a bid back."""

    type_: ClassVar[str] = "jobs.bid.withdrawn.v1"
    key_field: ClassVar[str] = "bid_id"
    bid_id: BidId
    job_id: JobId
    talent_id: TalentId
    withdrawn_at: Annotated[Timestamp, at("When the bid was taken back")]
    client_id: Annotated[UUID | None, told("Whose job it is; null in events older than this field.", CLIO)] = None


class _OfferEvent(Event):
    key_field: ClassVar[str] = "offer_id"
    offer_id: Annotated[UUID, told("The offer.", OFFER)]
    bid_id: BidId
    job_id: JobId
    client_id: ClientId
    talent_id: TalentId


class OfferMade(_OfferEvent):
    """A client answered a bid with an offer."""

    type_: ClassVar[str] = "jobs.offer.made.v1"
    rate_cents: Annotated[int, cents("The rate offered: an hour, or for the whole of a fixed-price job", 10_000)]
    made_at: Annotated[Timestamp, at("When the offer was made")]


class OfferAccepted(_OfferEvent):
    """The Talent took the offer; an engagement started by it."""

    type_: ClassVar[str] = "jobs.offer.accepted.v1"
    engagement_id: Annotated[UUID, told("The agreement that it became.", ENGAGEMENT)]
    accepted_at: Annotated[Timestamp, at("When the Talent accepted")]


class OfferDeclined(_OfferEvent):
    """The Talent did not take the offer; the bid stands."""

    type_: ClassVar[str] = "jobs.offer.declined.v1"
    declined_at: Annotated[Timestamp, at("When the Talent declined")]


class OfferWithdrawn(_OfferEvent):
    """The client took the offer back; the bid stands."""

    type_: ClassVar[str] = "jobs.offer.withdrawn.v1"
    withdrawn_at: Annotated[Timestamp, at("When the client took it back")]


class EngagementStarted(Event):
    """An offer was accepted: client and Talent work together."""

    type_: ClassVar[str] = "jobs.engagement.started.v1"
    key_field: ClassVar[str] = "engagement_id"
    engagement_id: EngagementId
    job_id: JobId
    client_id: ClientId
    talent_id: TalentId
    rate_cents: Annotated[int, cents("The rate agreed: an hour, or for the whole of a fixed-price job", 10_000)]
    started_at: Annotated[Timestamp, at("When the Talent accepted the offer")]


class EngagementEnded(Event):
    """Client and Talent no longer work together."""

    type_: ClassVar[str] = "jobs.engagement.ended.v1"
    key_field: ClassVar[str] = "engagement_id"
    engagement_id: EngagementId
    job_id: JobId
    client_id: ClientId
    talent_id: TalentId
    ended_at: Annotated[Timestamp, at("When the engagement ended")]


class _InvoiceEvent(Event):
    key_field: ClassVar[str] = "invoice_id"
    invoice_id: Annotated[UUID, told("The invoice.", INVOICE)]
    engagement_id: EngagementId
    client_id: ClientId
    talent_id: TalentId


class InvoiceSubmitted(_InvoiceEvent):
    """A Talent asked for an amount."""

    type_: ClassVar[str] = "jobs.invoice.submitted.v1"
    amount_cents: Annotated[int, cents("What the Talent asks for, without fees", 100_000)]
    client_fee_cents: Annotated[int, cents("What the client would pay to the network on top", 10_000)]
    total_cents: Annotated[int, cents("What the client would pay in all", 110_000)]
    currency: Annotated[Literal["USD"], told("ISO 4217 code of every amount in here.", "USD")]
    submitted_at: Annotated[Timestamp, at("When the invoice was submitted")]


class InvoiceApproved(_InvoiceEvent):
    """The client agreed to an invoice; it can be paid. That it is paid, `jobs.transaction.completed.v1` tells."""

    type_: ClassVar[str] = "jobs.invoice.approved.v1"
    approved_at: Annotated[Timestamp, at("When the client approved")]


class InvoiceRejected(_InvoiceEvent):
    """The client did not agree to an invoice; the reason is the parties' to read."""

    type_: ClassVar[str] = "jobs.invoice.rejected.v1"
    rejected_at: Annotated[Timestamp, at("When the client rejected")]


class TransactionCompleted(Event):
    """A client paid an invoice and the payment settled. The event that earns rewards."""

    type_: ClassVar[str] = "jobs.transaction.completed.v1"
    key_field: ClassVar[str] = "transaction_id"
    transaction_id: TransactionId
    invoice_id: Annotated[UUID, told("The invoice that was paid.", INVOICE)]
    engagement_id: EngagementId
    client_id: ClientId
    talent_id: TalentId
    provider: Annotated[str, told("Who moved the money.", "sandbox")]
    amount_cents: Annotated[int, cents("What the Talent invoiced, without fees", 100_000)] = Field(
        ge=1, le=MAX_CENTS, strict=True
    )
    currency: Annotated[Literal["USD"], told("ISO 4217 code of every amount in here.", "USD")]
    client_fee_cents: Annotated[int, cents("What the client paid to the network on top of the amount", 10_000)] = Field(
        ge=0, le=MAX_CENTS, strict=True
    )
    talent_fee_cents: Annotated[Literal[0], cents("What the Talent pays: nothing", 0)]
    parameters_version: Annotated[int, told("The version of the network's parameters that set the fee.", 0)] = Field(
        ge=0, le=2**62, strict=True
    )
    completed_at: Annotated[Timestamp, at("When the payment settled")]


class TransactionRefunded(Event):
    """Part or all of a transaction went back to the client. The totals include this refund."""

    type_: ClassVar[str] = "jobs.transaction.refunded.v1"
    key_field: ClassVar[str] = "transaction_id"
    transaction_id: TransactionId
    refund_id: Annotated[UUID, told("The refund.", REFUND)]
    refunded_cents: Annotated[int, cents("What went back by this refund", 25_000)] = Field(
        ge=1, le=MAX_CENTS, strict=True
    )
    total_refunded_cents: Annotated[int, cents("What went back so far, with this refund", 25_000)] = Field(
        ge=1, le=MAX_CENTS, strict=True
    )
    client_fee_refunded_cents: Annotated[int, cents("The fee that went back by this refund", 2_500)] = Field(
        ge=0, le=MAX_CENTS, strict=True
    )
    total_client_fee_refunded_cents: Annotated[int, cents("The fee that went back so far", 2_500)] = Field(
        ge=0, le=MAX_CENTS, strict=True
    )
    refunded_at: Annotated[Timestamp, at("When the money went back")]
    client_id: Annotated[UUID | None, told("The member who paid; null in events older than this field.", CLIO)] = None
    talent_id: Annotated[UUID | None, told("The member who worked; null in events older than this field.", TARIQ)] = (
        None
    )

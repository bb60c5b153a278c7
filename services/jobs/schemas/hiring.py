"""Bodies of bids, offers and engagements."""

from typing import Literal
from uuid import UUID

from pydantic import ConfigDict

from chassis.clock import Timestamp
from chassis.money import AmountCents
from chassis.web import StrictModel
from services.jobs.schemas.fields import LongText, PartiesResource

EngagementState = Literal["active", "ended"]


class BidCreate(StrictModel):
    """A bid to place."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"rate_cents": 10_000, "cover_letter": "I have written three of these."}]}
    )

    rate_cents: AmountCents
    cover_letter: LongText


class BidRead(PartiesResource):
    """A bid."""

    job_id: UUID
    rate_cents: int
    cover_letter: str
    status: Literal["placed", "offered", "accepted", "withdrawn"]
    withdrawn_at: Timestamp | None


class OfferCreate(StrictModel):
    """An offer to make; without a rate it is at the bid's."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"rate_cents": 10_000, "message": "Could you begin on Monday?"}]}
    )

    rate_cents: AmountCents | None = None
    message: LongText | None = None


class OfferRead(PartiesResource):
    """An offer; `engagement_id` once it is accepted."""

    bid_id: UUID
    job_id: UUID
    rate_cents: int
    message: str | None
    status: Literal["open", "accepted", "declined", "withdrawn"]
    decided_at: Timestamp | None
    engagement_id: UUID | None


class EngagementRead(PartiesResource):
    """An engagement."""

    job_id: UUID
    bid_id: UUID
    offer_id: UUID
    rate_cents: int
    status: EngagementState
    started_at: Timestamp
    ended_at: Timestamp | None

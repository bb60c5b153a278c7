"""The states of every aggregate, and the moves between them."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeVar

from chassis.errors import InvalidState


class JobStatus(StrEnum):
    """draft → open → closed."""

    DRAFT = "draft"
    OPEN = "open"
    CLOSED = "closed"


class BidStatus(StrEnum):
    """placed → withdrawn; placed ⇄ offered → accepted."""

    PLACED = "placed"
    OFFERED = "offered"
    ACCEPTED = "accepted"
    WITHDRAWN = "withdrawn"


class OfferStatus(StrEnum):
    """open → accepted | declined | withdrawn."""

    OPEN = "open"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


class EngagementStatus(StrEnum):
    """active → ended."""

    ACTIVE = "active"
    ENDED = "ended"


class InvoiceStatus(StrEnum):
    """submitted → approved → paid; submitted → rejected."""

    SUBMITTED = "submitted"
    APPROVED = "approved"
    REJECTED = "rejected"
    PAID = "paid"


class TransactionStatus(StrEnum):
    """completed → partially_refunded → refunded."""

    COMPLETED = "completed"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"


State = TypeVar("State", bound=StrEnum)
Moves = Mapping[str, tuple[State, State]]
"""Action → the state it needs and the state it leads to."""

JOB_MOVES: Final[Moves[JobStatus]] = {
    "publish": (JobStatus.DRAFT, JobStatus.OPEN),
    "close": (JobStatus.OPEN, JobStatus.CLOSED),
}
BID_MOVES: Final[Moves[BidStatus]] = {
    "offer": (BidStatus.PLACED, BidStatus.OFFERED),
    "release": (BidStatus.OFFERED, BidStatus.PLACED),
    "accept": (BidStatus.OFFERED, BidStatus.ACCEPTED),
    "withdraw": (BidStatus.PLACED, BidStatus.WITHDRAWN),
}
OFFER_MOVES: Final[Moves[OfferStatus]] = {
    "accept": (OfferStatus.OPEN, OfferStatus.ACCEPTED),
    "decline": (OfferStatus.OPEN, OfferStatus.DECLINED),
    "withdraw": (OfferStatus.OPEN, OfferStatus.WITHDRAWN),
}
ENGAGEMENT_MOVES: Final[Moves[EngagementStatus]] = {
    "end": (EngagementStatus.ACTIVE, EngagementStatus.ENDED),
}
INVOICE_MOVES: Final[Moves[InvoiceStatus]] = {
    "approve": (InvoiceStatus.SUBMITTED, InvoiceStatus.APPROVED),
    "reject": (InvoiceStatus.SUBMITTED, InvoiceStatus.REJECTED),
    "pay": (InvoiceStatus.APPROVED, InvoiceStatus.PAID),
}


def move(moves: Moves[State], action: str, status: str, *, noun: str) -> State:
    """The state after `action`.

    Raises: InvalidState when the thing is in another state than the action needs.
    """
    needed, reached = moves[action]
    if status != needed:
        raise InvalidState(f"Cannot {action} this {noun}: it is {status}, not {needed}.")
    return reached


def require_state(needed: StrEnum, status: str, *, noun: str) -> None:
    """Let pass only what is in state `needed`.

    Raises: InvalidState otherwise.
    """
    if status != needed:
        raise InvalidState(f"The {noun} is {status}, not {needed}.")

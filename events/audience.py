"""Whom each event concerns, and which of its fields they may see: what a member's own stream is made of.

The one table to review when an event or a field is added. Nothing goes to anybody unless it stands here: a new event
type fails a test until it is listed, a new field stays unseen. Whoever is concerned may read every field shown here
from the API too; a test holds the two against each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from chassis.envelope import Event
from events.governance import (
    GrantApproved,
    ParameterChanged,
    ProposalCancelled,
    ProposalClosed,
    ProposalExecuted,
    ProposalOpened,
    ProposalQueued,
    ProposalSubmitted,
)
from events.identity import (
    MemberRegistered,
    MemberRolesChanged,
    MemberSuspended,
    ReferralAttributed,
    SessionEnded,
    WalletLinked,
    WalletPayoutChanged,
)
from events.jobs import (
    BidPlaced,
    BidWithdrawn,
    EngagementEnded,
    EngagementStarted,
    InvoiceApproved,
    InvoiceRejected,
    InvoiceSubmitted,
    JobClosed,
    JobOpened,
    OfferAccepted,
    OfferDeclined,
    OfferMade,
    OfferWithdrawn,
    TransactionCompleted,
    TransactionRefunded,
)
from events.rewards import (
    RewardAccrued,
    RewardCancelled,
    RewardHeld,
    RewardMinted,
    RewardReversed,
    StakeLocked,
    StakeReleased,
    StakeSlashed,
)


@dataclass(frozen=True, slots=True)
class Audience:
    """`members` are the fields that name the members concerned, `shown` those that these members see."""

    members: tuple[str, ...]
    shown: tuple[str, ...]


def _to(members: str, *, shown: str) -> Audience:
    return Audience(tuple(members.split()), tuple(shown.split()))


_REWARD = "reward_id beneficiary_id transaction_id side kind amount_wei price_usd_e8 chain_tx_hash block_number"
_ENGAGEMENT = "engagement_id job_id client_id talent_id"
_OFFER = "offer_id bid_id job_id client_id talent_id"
_INVOICE = "invoice_id engagement_id client_id talent_id"
_TRANSACTION = (
    "transaction_id invoice_id engagement_id client_id talent_id provider amount_cents currency client_fee_cents "
    "talent_fee_cents parameters_version completed_at"
)
_REFUND = (
    "transaction_id refund_id client_id talent_id refunded_cents total_refunded_cents client_fee_refunded_cents "
    "total_client_fee_refunded_cents refunded_at"
)
_COUNT = "outcome for_wei against_wei abstain_wei quorum_wei closed_at"

AUDIENCES: Final[Mapping[type[Event], Audience]] = {
    MemberRegistered: _to("member_id", shown="member_id roles connector_id registered_at"),
    MemberRolesChanged: _to("member_id", shown="member_id roles changed_at"),
    MemberSuspended: _to("member_id", shown="member_id suspended_at"),
    ReferralAttributed: _to("member_id connector_id", shown="member_id connector_id attributed_at"),
    WalletLinked: _to("member_id", shown="member_id address linked_at"),
    WalletPayoutChanged: _to("member_id", shown="member_id address effective_at"),
    SessionEnded: _to("member_id", shown="member_id sid ended_at"),
    JobOpened: _to("client_id", shown="job_id client_id title opened_at"),
    JobClosed: _to("client_id", shown="job_id client_id closed_at"),
    BidPlaced: _to("talent_id client_id", shown="bid_id job_id client_id talent_id rate_cents placed_at"),
    BidWithdrawn: _to("talent_id client_id", shown="bid_id job_id client_id talent_id withdrawn_at"),
    OfferMade: _to("client_id talent_id", shown=f"{_OFFER} rate_cents made_at"),
    OfferAccepted: _to("client_id talent_id", shown=f"{_OFFER} engagement_id accepted_at"),
    OfferDeclined: _to("client_id talent_id", shown=f"{_OFFER} declined_at"),
    OfferWithdrawn: _to("client_id talent_id", shown=f"{_OFFER} withdrawn_at"),
    EngagementStarted: _to("client_id talent_id", shown=f"{_ENGAGEMENT} rate_cents started_at"),
    EngagementEnded: _to("client_id talent_id", shown=f"{_ENGAGEMENT} ended_at"),
    InvoiceSubmitted: _to(
        "client_id talent_id",
        shown=f"{_INVOICE} amount_cents client_fee_cents total_cents currency submitted_at",
    ),
    InvoiceApproved: _to("client_id talent_id", shown=f"{_INVOICE} approved_at"),
    InvoiceRejected: _to("client_id talent_id", shown=f"{_INVOICE} rejected_at"),
    TransactionCompleted: _to("client_id talent_id", shown=_TRANSACTION),
    TransactionRefunded: _to("client_id talent_id", shown=_REFUND),
    RewardAccrued: _to("beneficiary_id", shown=f"{_REWARD} accrued_at"),
    RewardHeld: _to("beneficiary_id", shown=f"{_REWARD} reason held_at"),
    RewardMinted: _to("beneficiary_id", shown=f"{_REWARD} minted_wei minted_at"),
    RewardCancelled: _to("beneficiary_id", shown=f"{_REWARD} reason cancelled_at"),
    RewardReversed: _to("beneficiary_id", shown=f"{_REWARD} reversed_at"),
    ProposalOpened: _to("author_id", shown="proposal_id author_id title actions_hash snapshot_at opens_at closes_at"),
    ProposalClosed: _to("author_id", shown=f"proposal_id author_id {_COUNT}"),
    ProposalSubmitted: _to("author_id", shown="proposal_id author_id chain_tx_hash submitted_at"),
    ProposalQueued: _to("author_id", shown="proposal_id author_id chain_tx_hash queued_at"),
    ProposalExecuted: _to("author_id", shown="proposal_id author_id chain_tx_hash executed_at"),
    ProposalCancelled: _to("author_id", shown="proposal_id author_id cancelled_at"),
    GrantApproved: _to("beneficiary_id", shown="grant_id beneficiary_id amount_wei approved_at"),
}
"""Who gets what. A member field that is null names nobody."""

LEFT_OUT: Final[Mapping[type[Event], str]] = {
    ParameterChanged: "concerns everybody alike; GET /v1/parameters has it",
    StakeLocked: "names an address, no member",
    StakeReleased: "names an address, no member",
    StakeSlashed: "names an address, no member",
}
"""What goes to nobody's stream, and why."""


def concerned(event: Event) -> frozenset[UUID]:
    """The members in whose stream `event` belongs; empty for one that is not in the table."""
    audience = AUDIENCES.get(type(event))
    if audience is None:
        return frozenset()
    return frozenset(found for name in audience.members if isinstance(found := getattr(event, name), UUID))


def shown(event: Event) -> dict[str, Any]:
    """What they see of it, as JSON has it. Raises: KeyError for an event that goes to nobody."""
    return event.model_dump(mode="json", include=set(AUDIENCES[type(event)].shown))

"""What governance tells the others: proposals, grants, and the parameters in force."""

from typing import Annotated, ClassVar, Final, Literal
from uuid import UUID

from pydantic import Field

from chassis.clock import Timestamp
from chassis.envelope import Event
from chassis.money import Wei
from events.fields import ADA, BEN, GRANT, HASH, PROPOSAL, at, told, wei

GENESIS_PARAMETERS: Final[dict[str, int]] = {
    "client_fee_bps": 1_000,
    "connector_reward_bps": 100,
    "epoch_budget_wei": 3_000_000 * 10**18,
    "epoch_seconds": 30 * 86_400,
    "min_payout_wei": 0,
    "referral_duration_seconds": 0,
    "reward_hold_seconds": 0,
    "screening_reward_wei": 10 * 10**18,
}
"""Version 0 of the network's parameters, known to every service from the start and given to the contract's
constructor. 0 in `referral_duration_seconds` means that a referral never expires."""

NETWORK_KEY: Final = "network"


class _ProposalEvent(Event):
    key_field: ClassVar[str] = "proposal_id"
    proposal_id: Annotated[UUID, told("The proposal.", PROPOSAL)]
    author_id: Annotated[UUID | None, told("Who proposed it; null in events older than this field.", ADA)] = None


class ProposalOpened(_ProposalEvent):
    """Ballots are accepted from now on; weights count as of `snapshot_at`."""

    type_: ClassVar[str] = "governance.proposal.opened.v1"
    title: Annotated[str, told("What the proposer calls it.", "Lower the client fee")]
    actions_hash: Annotated[str, told("keccak256 of the actions voted on, 32 bytes in hex.", HASH)]
    snapshot_at: Annotated[Timestamp, at("The moment at which votes are weighed")]
    opens_at: Annotated[Timestamp, at("From when on ballots count")]
    closes_at: Annotated[Timestamp, at("Until when ballots count")]


class ProposalClosed(_ProposalEvent):
    """The ballot is over and counted."""

    type_: ClassVar[str] = "governance.proposal.closed.v1"
    outcome: Annotated[Literal["passed", "rejected"], told("What the count came to.", "passed")]
    for_wei: Annotated[Wei, wei("Votes for")]
    against_wei: Annotated[Wei, wei("Votes against", "5000000000000000000")]
    abstain_wei: Annotated[Wei, wei("Votes that abstain", "0")]
    quorum_wei: Annotated[Wei, wei("The votes it took to count", "1600000000000000000")]
    closed_at: Annotated[Timestamp, at("When the ballot was over")]


class ProposalSubmitted(_ProposalEvent):
    """A passed proposal was handed to the Governor."""

    type_: ClassVar[str] = "governance.proposal.submitted.v1"
    chain_tx_hash: Annotated[str, told("The chain tx that did it, 32 bytes in hex.", HASH)]
    submitted_at: Annotated[Timestamp, at("When it was handed over")]


class ProposalQueued(_ProposalEvent):
    """The on-chain vote passed; the timelock runs."""

    type_: ClassVar[str] = "governance.proposal.queued.v1"
    chain_tx_hash: Annotated[str, told("The chain tx that did it, 32 bytes in hex.", HASH)]
    queued_at: Annotated[Timestamp, at("Since when the timelock runs")]


class ProposalExecuted(_ProposalEvent):
    """The proposal's actions were carried out on chain."""

    type_: ClassVar[str] = "governance.proposal.executed.v1"
    chain_tx_hash: Annotated[str, told("The chain tx that did it, 32 bytes in hex.", HASH)]
    executed_at: Annotated[Timestamp, at("When it was carried out")]


class ProposalCancelled(_ProposalEvent):
    """The proposal was withdrawn and has no effect."""

    type_: ClassVar[str] = "governance.proposal.cancelled.v1"
    cancelled_at: Annotated[Timestamp, at("When it was withdrawn")]


class GrantApproved(Event):
    """Token holders granted BTRST to a contributor."""

    type_: ClassVar[str] = "governance.grant.approved.v1"
    key_field: ClassVar[str] = "grant_id"
    grant_id: Annotated[UUID, told("The grant.", GRANT)]
    beneficiary_id: Annotated[UUID, told("The member who gets it.", BEN)]
    amount_wei: Annotated[Wei, wei("How much", "500000000000000000000")]
    approved_at: Annotated[Timestamp, at("When the vote was final")]


class ParameterChanged(Event):
    """A new version of the whole set of parameters; published only once final on chain."""

    type_: ClassVar[str] = "governance.parameter.changed.v1"
    key_field: ClassVar[str] = "network"
    network: Annotated[Literal["network"], told("The constant key: one order for all.", NETWORK_KEY)] = NETWORK_KEY
    version: Annotated[int, told("Counts up by one with every change.", 1)] = Field(ge=0, strict=True)
    parameters: Annotated[
        dict[str, Wei],
        told(
            "Name → value of every parameter, as decimal digit strings; the name ends in the unit (bps, wei, seconds).",
            {name: str(value) for name, value in GENESIS_PARAMETERS.items()},
        ),
    ]
    effective_at: Annotated[Timestamp, at("From when on it is in force")]

"""What governance tells the others: proposals, grants, and the parameters in force."""

from typing import ClassVar, Final, Literal
from uuid import UUID

from pydantic import Field

from chassis.clock import Timestamp
from chassis.envelope import Event
from chassis.money import Wei

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
    proposal_id: UUID


class ProposalOpened(_ProposalEvent):
    """Ballots are accepted from now on; weights count as of `snapshot_at`."""

    type_: ClassVar[str] = "governance.proposal.opened.v1"
    title: str
    actions_hash: str
    snapshot_at: Timestamp
    opens_at: Timestamp
    closes_at: Timestamp


class ProposalClosed(_ProposalEvent):
    """The ballot is over and counted."""

    type_: ClassVar[str] = "governance.proposal.closed.v1"
    outcome: Literal["passed", "rejected"]
    for_wei: Wei
    against_wei: Wei
    abstain_wei: Wei
    quorum_wei: Wei
    closed_at: Timestamp


class ProposalSubmitted(_ProposalEvent):
    """A passed proposal was handed to the Governor."""

    type_: ClassVar[str] = "governance.proposal.submitted.v1"
    chain_tx_hash: str
    submitted_at: Timestamp


class ProposalQueued(_ProposalEvent):
    """The on-chain vote passed; the timelock runs."""

    type_: ClassVar[str] = "governance.proposal.queued.v1"
    chain_tx_hash: str
    queued_at: Timestamp


class ProposalExecuted(_ProposalEvent):
    """The proposal's actions were carried out on chain."""

    type_: ClassVar[str] = "governance.proposal.executed.v1"
    chain_tx_hash: str
    executed_at: Timestamp


class ProposalCancelled(_ProposalEvent):
    """The proposal was withdrawn and has no effect."""

    type_: ClassVar[str] = "governance.proposal.cancelled.v1"
    cancelled_at: Timestamp


class GrantApproved(Event):
    """Token holders granted BTRST to a contributor."""

    type_: ClassVar[str] = "governance.grant.approved.v1"
    key_field: ClassVar[str] = "grant_id"
    grant_id: UUID
    beneficiary_id: UUID
    amount_wei: Wei
    approved_at: Timestamp


class ParameterChanged(Event):
    """A new version of the whole set of parameters; published only once final on chain."""

    type_: ClassVar[str] = "governance.parameter.changed.v1"
    key_field: ClassVar[str] = "network"
    network: Literal["network"] = NETWORK_KEY
    version: int = Field(ge=0, strict=True)
    parameters: dict[str, Wei]
    """Name → value, every parameter; digit strings, since some are wei."""

    effective_at: Timestamp

"""Bodies of proposals and their results."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from chassis.clock import Timestamp
from chassis.money import PositiveWei, Wei
from chassis.web import ReadModel, StrictModel
from services.governance.domain.parameters import MAX_GRANT_WEI
from services.governance.domain.proposals import Outcome, Status
from services.governance.schemas.fields import Address, DigitsOrInt, Reference


class ParameterAction(StrictModel):
    """Give a parameter another value."""

    kind: Literal["parameter"]
    name: Annotated[str, Field(min_length=1, max_length=31, examples=["connector_reward_bps"])]
    value: DigitsOrInt


class GrantAction(StrictModel):
    """Give a member BTRST."""

    kind: Literal["grant"]
    beneficiary_id: Reference
    amount_wei: Annotated[PositiveWei, Field(le=MAX_GRANT_WEI)]


class ProposalCreate(StrictModel):
    """A proposal: what it changes, and why."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "title": "Raise the connector reward",
                    "body": "Connectors brought most of last year's clients.",
                    "proposer": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
                    "actions": [{"kind": "parameter", "name": "connector_reward_bps", "value": "150"}],
                }
            ]
        }
    )

    title: Annotated[str, Field(min_length=1, max_length=200)]
    body: Annotated[str, Field(min_length=1, max_length=20_000)]
    proposer: Address
    actions: Annotated[
        list[Annotated[ParameterAction | GrantAction, Field(discriminator="kind")]],
        Field(min_length=1, max_length=20),
    ]


class ParameterActionRead(ReadModel):
    """A parameter's new value."""

    kind: Literal["parameter"]
    name: str
    value: DigitsOrInt


class GrantActionRead(ReadModel):
    """A grant; `grant_id` is what the chain will know it by."""

    kind: Literal["grant"]
    grant_id: UUID
    beneficiary_id: UUID
    amount_wei: Wei


class CallRead(ReadModel):
    """One call the proposal carries on chain."""

    target: str
    value_wei: Wei
    calldata: str


class ProposalRead(ReadModel):
    """A proposal. `actions_hash` = keccak256(abi.encode(targets, values, calldatas)) of `calls`."""

    id: UUID
    created_at: Timestamp
    status: Status
    author_id: UUID
    proposer: str
    title: str
    body: str
    actions: list[Annotated[ParameterActionRead | GrantActionRead, Field(discriminator="kind")]]
    calls: list[CallRead]
    actions_hash: str
    effective_at: Timestamp | None = Field(description="When the parameters it sets would take effect")
    snapshot_at: Timestamp = Field(description="Chain time: votes as of this moment count")
    opens_at: Timestamp
    closes_at: Timestamp
    quorum_wei: Wei

    @classmethod
    def of(cls, row: Any, status: Status) -> "ProposalRead":
        """The answer for a row whose status right now is `status`."""
        return cls.model_validate({**row._mapping, "status": status})


class ResultsRead(ReadModel):
    """How the ballots stand; `outcome` is null until they are counted, and final then."""

    proposal_id: UUID
    status: Status
    for_wei: Wei
    against_wei: Wei
    abstain_wei: Wei
    quorum_wei: Wei
    outcome: Outcome | None
    ballots: int

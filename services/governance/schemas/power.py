"""Bodies of voting power and of delegations."""

from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field, WithJsonSchema

from chassis.clock import Timestamp
from chassis.money import MAX_UINT256, Wei
from chassis.web import ReadModel, StrictModel
from services.governance.schemas.fields import Address, Signature

# Without a maximum in the document: it would be written as a float, which is another number.
Expiry = Annotated[
    int,
    Field(ge=0, le=MAX_UINT256),
    WithJsonSchema({"type": "integer", "minimum": 0, "description": "Chain time, Unix seconds; at most 2^256 - 1"}),
]


class VotingPowerRead(ReadModel):
    """The votes of an address at a moment of chain time."""

    address: str
    votes_wei: Wei
    at: Timestamp
    block_number: int


class DelegationCreate(StrictModel):
    """A signed delegation: the message's fields, who signed it, and the signature."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "delegator": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
                    "delegatee": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
                    "nonce": 0,
                    "expiry": 1893456000,
                    "signature": "0x" + "1b" * 65,
                }
            ]
        }
    )

    delegator: Address
    delegatee: Address
    nonce: Annotated[int, Field(ge=0, le=2**53 - 1)]
    expiry: Expiry
    signature: Signature


class DelegationRead(ReadModel):
    """A relayed delegation. `chain_tx_hash` is the first attempt's: one replaced with a higher fee has another hash,
    seen on the delegator's logs."""

    id: UUID
    created_at: Timestamp
    status: str
    delegator: str
    delegatee: str
    nonce: int
    expiry: int
    chain_tx_hash: str

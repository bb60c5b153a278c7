"""Bodies of ballots, and of typed data to sign."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field

from chassis.clock import Timestamp
from chassis.money import Wei
from chassis.web import ReadModel, StrictModel
from services.governance.domain.typed_data import Choice
from services.governance.schemas.fields import Address, Reason, Signature


class TypedField(ReadModel):
    """One field of an EIP-712 type."""

    name: str
    type: str


class TypedData(ReadModel):
    """The argument of eth_signTypedData_v4, to be signed unchanged. Source: EIP-712."""

    types: dict[str, list[TypedField]]
    primaryType: str  # noqa: N815 - EIP-712's own name
    domain: dict[str, Any]
    message: dict[str, Any]


class VoteCreate(StrictModel):
    """A signed ballot. `reason` is the text that was signed, empty by default; so is `nonce`, by default the next."""

    model_config = ConfigDict(
        str_strip_whitespace=False,
        json_schema_extra={
            "examples": [
                {
                    "voter": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
                    "choice": "for",
                    "reason": "",
                    "signature": "0x" + "1b" * 65,
                }
            ]
        },
    )

    voter: Address
    choice: Choice
    reason: Reason = ""
    nonce: Annotated[int, Field(ge=1, le=2**53 - 1)] | None = None
    signature: Signature


class VoteRead(ReadModel):
    """A counted ballot with its weight at the snapshot."""

    id: UUID
    created_at: Timestamp
    updated_at: Timestamp
    proposal_id: UUID
    voter: str
    choice: Choice
    reason: str
    nonce: int
    signature: str
    weight_wei: Wei


class OnchainVoteCreate(StrictModel):
    """A signed ballot of the Governor: OpenZeppelin's `Ballot` with a keyed nonce."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "voter": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
                    "choice": "for",
                    "signature": "0x" + "1b" * 65,
                }
            ]
        }
    )

    voter: Address
    choice: Choice
    signature: Signature


class OnchainVoteRead(ReadModel):
    """A ballot on its way to the Governor."""

    chain_tx_hash: str

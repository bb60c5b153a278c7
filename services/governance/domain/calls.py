"""What a proposal carries on chain: targets, values and calldata, and the hash that ballots name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from eth_abi.abi import encode
from eth_utils.crypto import keccak

_SET_PARAMETERS = keccak(text="setParameters(uint64,bytes32[],uint256[],uint64)")[:4]
_APPROVE_GRANT = keccak(text="approveGrant(bytes32,bytes32,uint256)")[:4]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a proposal; it carries no ether."""

    target: str
    calldata: bytes
    value_wei: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """BTRST for a contributor."""

    grant_id: UUID
    beneficiary_id: UUID
    amount_wei: int


def set_parameters(target: str, *, expected_version: int, values: Mapping[str, int], effective_from: int) -> Call:
    """The call that makes `values`, the whole set, the version after `expected_version`.

    `effective_from` is chain time in Unix seconds. Source: NetworkParameters.setParameters.
    """
    names = sorted(values)
    arguments = encode(
        ["uint64", "bytes32[]", "uint256[]", "uint64"],
        [
            expected_version,
            [name.encode().ljust(32, b"\0") for name in names],
            [values[name] for name in names],
            effective_from,
        ],
    )
    return Call(target, _SET_PARAMETERS + arguments)


def approve_grant(target: str, grant: Grant) -> Call:
    """The call that approves one grant; ids are UUIDs in the high 16 bytes. Source: NetworkParameters.approveGrant."""
    arguments = encode(
        ["bytes32", "bytes32", "uint256"],
        [grant.grant_id.bytes.ljust(32, b"\0"), grant.beneficiary_id.bytes.ljust(32, b"\0"), grant.amount_wei],
    )
    return Call(target, _APPROVE_GRANT + arguments)


def actions_hash(calls: Sequence[Call]) -> str:
    """keccak256(abi.encode(targets, values, calldatas)) as 0x text: what a ballot is bound to."""
    encoded = encode(
        ["address[]", "uint256[]", "bytes[]"],
        [[call.target for call in calls], [call.value_wei for call in calls], [call.calldata for call in calls]],
    )
    return "0x" + keccak(encoded).hex()

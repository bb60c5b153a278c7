"""EIP-712: the JSON a wallet signs and the digest it signs, for ballots and for delegations.

The digests are built by hand for the two fixed schemas, several times faster than from a generic description.
Source: EIP-712; OpenZeppelin's Votes (Delegation).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal
from uuid import UUID

from eth_utils.crypto import keccak

Choice = Literal["against", "for", "abstain"]
CHOICES: Final[dict[Choice, int]] = {"against": 0, "for": 1, "abstain": 2}

_DOMAIN_FIELDS: Final = (
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
)
_BALLOT_FIELDS: Final = (
    ("proposal", "bytes32"),
    ("actionsHash", "bytes32"),
    ("voter", "address"),
    ("choice", "uint8"),
    ("nonce", "uint256"),
    ("reason", "string"),
)
_DELEGATION_FIELDS: Final = (("delegatee", "address"), ("nonce", "uint256"), ("expiry", "uint256"))


def _type_hash(name: str, fields: tuple[tuple[str, str], ...]) -> bytes:
    return keccak(text=f"{name}({','.join(f'{kind} {field}' for field, kind in fields)})")


_DOMAIN_TYPE = _type_hash("EIP712Domain", _DOMAIN_FIELDS)
_BALLOT_TYPE = _type_hash("Ballot", _BALLOT_FIELDS)
_DELEGATION_TYPE = _type_hash("Delegation", _DELEGATION_FIELDS)


@dataclass(frozen=True, slots=True)
class SigningDomain:
    """What binds a signature to one contract on one chain."""

    name: str
    version: str
    chain_id: int
    verifying_contract: str


@dataclass(frozen=True, slots=True)
class Ballot:
    """One voter's choice on one proposal; `nonce` rises with each replacement."""

    proposal_id: UUID
    actions_hash: str
    voter: str
    choice: Choice
    nonce: int
    reason: str


@dataclass(frozen=True, slots=True)
class Delegation:
    """One holder's wish to give their votes to `delegatee`; `expiry` is chain time in Unix seconds."""

    delegatee: str
    nonce: int
    expiry: int


def ballot_domain(chain_id: int, governor: str) -> SigningDomain:
    """The domain of ballots: this network, this chain, its Governor."""
    return SigningDomain("BTRST Network", "1", chain_id, governor)


def proposal_hash(proposal_id: UUID) -> str:
    """keccak256 of the id's text, as 0x text: how a ballot names its proposal."""
    return "0x" + keccak(text=str(proposal_id)).hex()


def ballot_json(domain: SigningDomain, ballot: Ballot) -> dict[str, Any]:
    """The complete argument of eth_signTypedData_v4 for `ballot`."""
    message = {
        "proposal": proposal_hash(ballot.proposal_id),
        "actionsHash": ballot.actions_hash,
        "voter": ballot.voter,
        "choice": CHOICES[ballot.choice],
        "nonce": ballot.nonce,
        "reason": ballot.reason,
    }
    return _typed_data(domain, "Ballot", _BALLOT_FIELDS, message)


def delegation_json(domain: SigningDomain, delegation: Delegation) -> dict[str, Any]:
    """The complete argument of eth_signTypedData_v4 for `delegation`."""
    message = {"delegatee": delegation.delegatee, "nonce": delegation.nonce, "expiry": delegation.expiry}
    return _typed_data(domain, "Delegation", _DELEGATION_FIELDS, message)


def ballot_digest(domain: SigningDomain, ballot: Ballot) -> bytes:
    """The 32 bytes that are signed for `ballot`."""
    struct = keccak(
        _BALLOT_TYPE
        + bytes.fromhex(proposal_hash(ballot.proposal_id)[2:])
        + bytes.fromhex(ballot.actions_hash[2:])
        + _address(ballot.voter)
        + _uint(CHOICES[ballot.choice])
        + _uint(ballot.nonce)
        + keccak(text=ballot.reason)
    )
    return keccak(b"\x19\x01" + _separator(domain) + struct)


def delegation_digest(domain: SigningDomain, delegation: Delegation) -> bytes:
    """The 32 bytes that are signed for `delegation`."""
    struct = keccak(
        _DELEGATION_TYPE + _address(delegation.delegatee) + _uint(delegation.nonce) + _uint(delegation.expiry)
    )
    return keccak(b"\x19\x01" + _separator(domain) + struct)


@lru_cache(maxsize=16)
def _separator(domain: SigningDomain) -> bytes:
    return keccak(
        _DOMAIN_TYPE
        + keccak(text=domain.name)
        + keccak(text=domain.version)
        + _uint(domain.chain_id)
        + _address(domain.verifying_contract)
    )


def _uint(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _address(value: str) -> bytes:
    return bytes.fromhex(value[2:]).rjust(32, b"\0")


def _typed_data(
    domain: SigningDomain, primary_type: str, fields: tuple[tuple[str, str], ...], message: dict[str, Any]
) -> dict[str, Any]:
    return {
        "types": {"EIP712Domain": _described(_DOMAIN_FIELDS), primary_type: _described(fields)},
        "primaryType": primary_type,
        "domain": {
            "name": domain.name,
            "version": domain.version,
            "chainId": domain.chain_id,
            "verifyingContract": domain.verifying_contract,
        },
        "message": message,
    }


def _described(fields: tuple[tuple[str, str], ...]) -> list[dict[str, str]]:
    return [{"name": name, "type": kind} for name, kind in fields]

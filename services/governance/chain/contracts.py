"""Typed calls of the contracts governance deals with: BTRST, NetworkParameters."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from chassis.chain.abi import Contract
from chassis.chain.artifacts import load_artifact
from chassis.chain.client import ChainClient
from chassis.chain.errors import RpcError, RpcUnavailable
from chassis.chain.values import Log, hex_text
from chassis.errors import Forbidden, Unprocessable
from services.governance.domain.typed_data import Delegation, SigningDomain
from services.governance.errors import ChainUnavailable, DelegationNonceUsed

DELEGATION_SECONDS = 3_600
"""How long a delegation offered for signing can be relayed."""

ZERO_ADDRESS = "0x0000000000000000000000000000000000000000"


@dataclass(frozen=True, slots=True)
class VotesChanged:
    """A log: `account` has `votes_wei` now."""

    account: str
    votes_wei: int


@dataclass(frozen=True, slots=True)
class SupplyChanged:
    """A log: so many wei were minted (positive) or burned (negative)."""

    change_wei: int


@dataclass(frozen=True, slots=True)
class ParametersSet:
    """A log: a new version of the whole set."""

    version: int
    values: dict[str, int]
    effective_at: datetime


class Contracts:
    """The contracts at their addresses, seen through one client."""

    def __init__(self, client: ChainClient, *, btrst: str, network_parameters: str) -> None:
        self.client = client
        self.btrst = Contract(btrst, load_artifact("BTRST").abi)
        self.network_parameters = Contract(network_parameters, load_artifact("NetworkParameters").abi)
        self._token_domain: SigningDomain | None = None

    async def token_domain(self) -> SigningDomain:
        """The token's own EIP-712 domain, asked once. Raises: ChainUnavailable. Source: EIP-5267."""
        if self._token_domain is None:
            try:
                found = await self.client.read(self.btrst, "eip712Domain")
            except (RpcUnavailable, RpcError) as error:
                raise ChainUnavailable("No node answers") from error
            _, name, version, chain_id, contract, *_ = found
            self._token_domain = SigningDomain(name, version, chain_id, contract)
        return self._token_domain

    async def next_delegation(self, *, delegator: str, delegatee: str) -> Delegation:
        """What `delegator` would sign now: the token's next nonce, an hour to relay it. Raises: ChainUnavailable."""
        nonce, now = await self._nonce_and_time(delegator)
        return Delegation(delegatee, nonce, max(now, int(time.time())) + DELEGATION_SECONDS)

    async def check_delegation(
        self, *, delegator: str, delegation: Delegation, calldata: bytes, min_balance_wei: int
    ) -> None:
        """Ask the node whether the token would take this delegation now.

        Raises: DelegationNonceUsed; Unprocessable when it has expired or the token refuses it; Forbidden when the
        delegator holds less than `min_balance_wei`; ChainUnavailable.
        """
        nonce, now = await self._nonce_and_time(delegator)
        if delegation.nonce != nonce:
            raise DelegationNonceUsed(f"The token expects the nonce {nonce}")
        if delegation.expiry < max(now, int(time.time())):
            raise Unprocessable.field("expiry", "the signature has expired", code="delegation_expired")
        try:
            if min_balance_wei and await self.client.read(self.btrst, "balanceOf", delegator) < min_balance_wei:
                raise Forbidden("The delegator holds too little BTRST to relay for", code="balance_too_low")
            await self.client.rpc.call("eth_call", {"to": self.btrst.address, "data": hex_text(calldata)}, "latest")
        except RpcError as error:
            raise Unprocessable("The token refuses this delegation", code="delegation_refused") from error
        except RpcUnavailable as error:
            raise ChainUnavailable("No node answers") from error

    def delegation_call(self, delegation: Delegation, signature: bytes) -> bytes:
        """The calldata of delegateBySig for a signature r ‖ s ‖ v."""
        r, s, v = signature[:32], signature[32:64], signature[64]
        parity = v if v >= 27 else v + 27
        return self.btrst.encode(
            "delegateBySig", delegation.delegatee, delegation.nonce, delegation.expiry, parity, r, s
        )

    async def block_times(self, numbers: Sequence[int]) -> dict[int, int]:
        """Chain time (Unix seconds) of each block the node has. Raises: RpcUnavailable, RpcError."""
        blocks = await self.client.blocks(list(numbers)) if numbers else []
        return {block.number: block.timestamp for block in blocks if block is not None}

    def read_votes_log(self, log: Log) -> VotesChanged | SupplyChanged | None:
        """What a log of the token means for votes; None for a transfer between holders."""
        event = self.btrst.decode_log(log)
        if event is None:
            return None
        if event.name == "DelegateVotesChanged":
            return VotesChanged(event.args["delegate"], event.args["newVotes"])
        if event.name == "Transfer" and event.args["from"] == ZERO_ADDRESS:
            return SupplyChanged(event.args["value"])
        if event.name == "Transfer" and event.args["to"] == ZERO_ADDRESS:
            return SupplyChanged(-event.args["value"])
        return None

    def read_parameters_log(self, log: Log) -> ParametersSet | None:
        """The new version a log of NetworkParameters tells of, or None for another log."""
        event = self.network_parameters.decode_log(log)
        if event is None or event.name != "ParametersSet":
            return None
        names = [name.rstrip(b"\0").decode("ascii") for name in event.args["names"]]
        values = dict(zip(names, event.args["values"], strict=True))
        return ParametersSet(event.args["version"], values, datetime.fromtimestamp(event.args["effectiveFrom"], UTC))

    async def _nonce_and_time(self, account: str) -> tuple[int, int]:
        try:
            nonce: int = await self.client.read(self.btrst, "nonces", account)
            block = await self.client.block("latest")
        except (RpcUnavailable, RpcError) as error:
            raise ChainUnavailable("No node answers") from error
        if block is None:
            raise ChainUnavailable("The node has no block yet")
        return nonce, block.timestamp

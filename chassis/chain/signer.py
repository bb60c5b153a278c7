"""The typed-intent signer: EIP-1559 transactions for known (contract, method) pairs, under a gas-price ceiling.

Sources: EIP-1559, EIP-2718, EIP-155 (chain id in the signed content).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import rlp  # type: ignore[import-untyped]
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from chassis.chain.abi import Contract
from chassis.chain.errors import IntentRefused
from chassis.chain.fees import Fees
from chassis.chain.keys import Key, refuse_development_key
from chassis.chain.values import hex_bytes, hex_text

_TYPE_2 = b"\x02"
_GAS_CAP = 2**24
"""The most gas one transaction may ask for. Source: EIP-7825."""


@dataclass(frozen=True)
class AllowedCall:
    """One method of one contract that this key may call."""

    address: str
    selector: bytes


@dataclass(frozen=True)
class SignedTransaction:
    """A transaction ready to send: the bytes and their hash."""

    raw: bytes
    hash: str
    fees: Fees


def allow(contract: Contract, *methods: str) -> list[AllowedCall]:
    """The allow-list entries for `methods` of `contract`."""
    return [AllowedCall(contract.address, contract.selector(method)) for method in methods]


class IntentSigner:
    """Signs calls on the allow-list for one chain, and nothing else: no value, no creation, no other method."""

    def __init__(self, key: Key, *, chain_id: int, allowed: Iterable[AllowedCall], max_fee_per_gas_wei: int) -> None:
        """Raises: KeyRefused for a published development key off the local chain."""
        refuse_development_key(key.address, chain_id)
        self._key = key
        self.chain_id = chain_id
        self._allowed = frozenset(allowed)
        self.max_fee_per_gas_wei = max_fee_per_gas_wei

    @property
    def address(self) -> str:
        """The address that pays for and signs the transactions."""
        return self._key.address

    async def sign(self, *, to: str, calldata: bytes, nonce: int, gas_limit: int, fees: Fees) -> SignedTransaction:
        """The signed transaction that calls `to` with `calldata` and no value.

        Raises: IntentRefused when the call is not on the allow-list or the fees are over the ceiling.
        """
        self._check(to, calldata, gas_limit, fees)
        content = [
            self.chain_id,
            nonce,
            fees.max_priority_fee_per_gas_wei,
            fees.max_fee_per_gas_wei,
            gas_limit,
            hex_bytes(to),
            0,
            calldata,
            [],
        ]
        digest = keccak(_TYPE_2 + rlp.encode(content))
        signature = await self._key.sign_digest(digest)
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
        raw = _TYPE_2 + rlp.encode([*content, signature[64], r, s])
        return SignedTransaction(raw, hex_text(keccak(raw)), fees)

    def _check(self, to: str, calldata: bytes, gas_limit: int, fees: Fees) -> None:
        if AllowedCall(to_checksum_address(to), calldata[:4]) not in self._allowed:
            raise IntentRefused(f"{to} {hex_text(calldata[:4])} is not a call this key signs")
        if not 21_000 <= gas_limit <= _GAS_CAP:
            raise IntentRefused(f"gas limit {gas_limit} is not within 21,000 and 2^24")
        if fees.max_fee_per_gas_wei > self.max_fee_per_gas_wei:
            raise IntentRefused(
                f"{fees.max_fee_per_gas_wei} wei per gas is over the ceiling of {self.max_fee_per_gas_wei}"
            )
        if not 0 <= fees.max_priority_fee_per_gas_wei <= fees.max_fee_per_gas_wei:
            raise IntentRefused("the priority fee is over the whole fee")

"""Plain values of the chain: blocks, logs, receipts, read from the node's JSON.

Hashes are 0x lower-case text, addresses EIP-55 text, data bytes, amounts integers of wei.
"""

from dataclasses import dataclass
from typing import Any

from eth_utils.address import to_checksum_address

Json = dict[str, Any]


@dataclass(frozen=True)
class Block:
    """A block's head; `timestamp` is chain time in Unix seconds."""

    number: int
    hash: str
    parent_hash: str
    timestamp: int
    base_fee_per_gas_wei: int


@dataclass(frozen=True)
class Log:
    """One event log of a transaction that succeeded."""

    address: str
    topics: tuple[str, ...]
    data: bytes
    block_number: int
    block_hash: str
    transaction_hash: str
    log_index: int


@dataclass(frozen=True)
class Receipt:
    """What became of a mined transaction; `status` 1 is success."""

    transaction_hash: str
    block_number: int
    block_hash: str
    status: int
    gas_used: int
    effective_gas_price_wei: int
    contract_address: str | None
    logs: tuple[Log, ...]

    def has_log(self, address: str, topic: str) -> bool:
        """Whether `address` emitted a log with this first topic."""
        return any(log.address == address and log.topics[:1] == (topic,) for log in self.logs)


def hex_text(data: bytes) -> str:
    """Bytes as 0x lower-case text."""
    return "0x" + data.hex()


def hex_bytes(text: str) -> bytes:
    """0x text as bytes.

    Raises: ValueError when it is not whole bytes of hexadecimal.
    """
    return bytes.fromhex(text.removeprefix("0x"))


def to_block(answer: Json) -> Block:
    """A block from `eth_getBlockByNumber` or `…ByHash`."""
    return Block(
        number=int(answer["number"], 16),
        hash=answer["hash"],
        parent_hash=answer["parentHash"],
        timestamp=int(answer["timestamp"], 16),
        base_fee_per_gas_wei=int(answer.get("baseFeePerGas") or "0x0", 16),
    )


def to_log(answer: Json) -> Log:
    """A log from `eth_getLogs` or a receipt."""
    return Log(
        address=to_checksum_address(answer["address"]),
        topics=tuple(answer["topics"]),
        data=hex_bytes(answer["data"]),
        block_number=int(answer["blockNumber"], 16),
        block_hash=answer["blockHash"],
        transaction_hash=answer["transactionHash"],
        log_index=int(answer["logIndex"], 16),
    )


def to_receipt(answer: Json) -> Receipt:
    """A receipt from `eth_getTransactionReceipt`."""
    created = answer.get("contractAddress")
    return Receipt(
        transaction_hash=answer["transactionHash"],
        block_number=int(answer["blockNumber"], 16),
        block_hash=answer["blockHash"],
        status=int(answer["status"], 16),
        gas_used=int(answer["gasUsed"], 16),
        effective_gas_price_wei=int(answer.get("effectiveGasPrice") or "0x0", 16),
        contract_address=to_checksum_address(created) if created else None,
        logs=tuple(to_log(log) for log in answer["logs"]),
    )

"""Reading the chain: blocks, receipts, logs, nonces and typed contract calls, on top of the thin RPC client."""

from collections.abc import Sequence
from typing import Any

from chassis.chain.abi import Contract
from chassis.chain.errors import RpcError, RpcUnavailable
from chassis.chain.rpc import JsonRpc
from chassis.chain.values import Block, Log, Receipt, hex_bytes, hex_text, to_block, to_log, to_receipt

BlockTag = str | int
Read = tuple[Contract, str, Sequence[Any]]

_PER_BATCH = 100


class ChainClient:
    """Typed questions to the chain. Every method raises RpcUnavailable when no node answers, and RpcError when
    the node refuses; a read that reverts is an RpcError whose `data` holds the revert bytes."""

    def __init__(self, rpc: JsonRpc) -> None:
        self.rpc = rpc

    async def chain_id(self) -> int:
        """The chain's EIP-155 id."""
        return int(await self.rpc.call("eth_chainId"), 16)

    async def block_number(self) -> int:
        """The newest block's number."""
        return int(await self.rpc.call("eth_blockNumber"), 16)

    async def block(self, tag: BlockTag = "latest") -> Block | None:
        """The block at a number or tag (`latest`, `safe`, `finalized`), or None when there is none yet."""
        answer = await self.rpc.call("eth_getBlockByNumber", block_tag(tag), False)
        return to_block(answer) if answer else None

    async def blocks(self, tags: Sequence[BlockTag]) -> list[Block | None]:
        """Several blocks in one round trip."""
        answers = await self._batch([("eth_getBlockByNumber", (block_tag(tag), False)) for tag in tags])
        return [to_block(answer) if answer else None for answer in answers]

    async def receipt(self, transaction_hash: str) -> Receipt | None:
        """The receipt on the current best chain, or None while it is not mined."""
        return (await self.receipts([transaction_hash]))[0]

    async def receipts(self, transaction_hashes: Sequence[str]) -> list[Receipt | None]:
        """Receipts in the order of the hashes, in as few round trips as the node takes."""
        answers = await self._batch([("eth_getTransactionReceipt", (each,)) for each in transaction_hashes])
        return [to_receipt(answer) if answer else None for answer in answers]

    async def transaction(self, transaction_hash: str) -> dict[str, Any] | None:
        """The node's own JSON of a transaction, pending or mined."""
        answer: dict[str, Any] | None = await self.rpc.call("eth_getTransactionByHash", transaction_hash)
        return answer

    async def transaction_count(self, address: str, tag: BlockTag = "latest") -> int:
        """The next nonce of `address` as of a block."""
        return int(await self.rpc.call("eth_getTransactionCount", address, block_tag(tag)), 16)

    async def balance(self, address: str, tag: BlockTag = "latest") -> int:
        """The native balance in wei."""
        return int(await self.rpc.call("eth_getBalance", address, block_tag(tag)), 16)

    async def code(self, address: str, tag: BlockTag = "latest") -> bytes:
        """The contract's code; empty when there is no contract."""
        return hex_bytes(await self.rpc.call("eth_getCode", address, block_tag(tag)))

    async def logs(
        self,
        *,
        from_block: BlockTag,
        to_block: BlockTag,
        addresses: Sequence[str],
        topics: Sequence[Any] = (),
    ) -> list[Log]:
        """Logs of both ends' blocks and all between, in chain order. `topics` is as in `eth_getLogs`."""
        answer = await self.rpc.call(
            "eth_getLogs",
            {
                "fromBlock": block_tag(from_block),
                "toBlock": block_tag(to_block),
                "address": list(addresses),
                "topics": list(topics),
            },
        )
        logs = [to_log(each) for each in answer if not each.get("removed")]
        return sorted(logs, key=lambda log: (log.block_number, log.log_index))

    async def read(
        self, contract: Contract, method: str, *args: Any, block: BlockTag = "latest", sender: str | None = None
    ) -> Any:
        """What a view method returns: the value, or a tuple of several. Nothing is sent to the chain."""
        answer = await self.rpc.call("eth_call", _call(contract, method, args, sender), block_tag(block))
        return _decoded(contract, method, args, answer)

    async def read_many(self, reads: Sequence[Read], *, block: BlockTag = "latest") -> list[Any]:
        """Several views in one round trip, in order. They agree on one block only if `block` is a number."""
        calls = [("eth_call", (_call(*read, None), block_tag(block))) for read in reads]
        answers = await self._batch(calls)
        return [_decoded(*read, answer) for read, answer in zip(reads, answers, strict=True)]

    async def close(self) -> None:
        """Close the connections."""
        await self.rpc.close()

    async def _batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        answers: list[Any] = []
        for start in range(0, len(calls), _PER_BATCH):
            answers += await self.rpc.batch(calls[start : start + _PER_BATCH])
        for answer in answers:
            if isinstance(answer, RpcError):
                raise answer
        return answers


def block_tag(tag: BlockTag) -> str:
    """A block number as the 0x quantity JSON-RPC wants; names stay."""
    return hex(tag) if isinstance(tag, int) else tag


def _call(contract: Contract, method: str, args: Sequence[Any], sender: str | None) -> dict[str, str]:
    call = {"to": contract.address, "data": hex_text(contract.encode(method, *args))}
    return call | ({"from": sender} if sender else {})


def _decoded(contract: Contract, method: str, args: Sequence[Any], answer: Any) -> Any:
    data = hex_bytes(answer)
    if not data:
        # Every method read here returns something: no bytes means no contract at that address on this node.
        raise RpcUnavailable(f"no answer from {method} of {contract.address}: no contract there")
    return contract.decode_result(method, data, len(args))

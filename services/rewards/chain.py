"""Typed calls of the minter and the token: what rewards reads from the chain and writes to it."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from chassis.chain.abi import Contract
from chassis.chain.artifacts import load_artifact
from chassis.chain.client import ChainClient, Read
from chassis.chain.errors import ChainError, RpcUnavailable
from chassis.chain.signer import AllowedCall, allow
from chassis.chain.values import Log, hex_bytes
from services.rewards.domain.planning import ChainView, Supply
from services.rewards.domain.prices import to_usd_e8
from services.rewards.domain.recovery import Settled, split_reward_ids
from services.rewards.domain.states import Reason
from services.rewards.errors import PriceUnknown, SettlementMismatch

CLOCK_SKEW_SECONDS = 5
"""How far the chain's clock may be behind ours."""


class Chain:
    """The contracts of this deployment, behind one client.

    Rewards are minted, or (`pays_from_reserve`) paid from the reserve that a ReservePayer holds of a token without
    mint; `minter_address` is that of the one or the other, and to settle is the same call of both.
    """

    def __init__(
        self, client: ChainClient, *, btrst_address: str, minter_address: str, pays_from_reserve: bool = False
    ) -> None:
        self.client = client
        self.token = Contract(btrst_address, load_artifact("BTRST").abi)
        self._minter_name = "reserve_payer" if pays_from_reserve else "rewards_minter"
        artifact = "ReservePayer" if pays_from_reserve else "RewardsMinter"
        self.minter = Contract(minter_address, load_artifact(artifact).abi)
        self.pays_from_reserve = pays_from_reserve
        self.settled_topic = self.minter.topic("Settled")

    def contracts(self) -> dict[str, str]:
        """Name → address, for the pins."""
        return {"btrst": self.token.address, self._minter_name: self.minter.address}

    def allowed_calls(self) -> list[AllowedCall]:
        """All that the signer may ever sign."""
        return allow(self.minter, "settle")

    def encode_settle(self, first_id: int, reward_ids: bytes, leaves_root: bytes, packed: list[bytes]) -> bytes:
        """Calldata of `settle`; nothing is asked of the chain."""
        return self.minter.encode("settle", first_id, reward_ids, leaves_root, packed)

    async def look(self, signer: str) -> ChainView:
        """What planning needs to know of the chain's newest block, all of it as of that one block; `signer` settles.

        Raises: RpcUnavailable, RpcError.
        """
        newest = await self.client.block("latest")
        if newest is None:
            raise RpcUnavailable("the node has no block yet")
        nonce = await self.client.transaction_count(signer, newest.number)
        figures = await self.client.read_many(
            [
                (self.minter, "nextId", ()),
                (self.minter, "availableWei", ()),
                (self.minter, "capacityWei", ()),
                (self.minter, "pausedUntil", ()),
                *self._room_reads(),
            ],
            block=newest.number,
        )
        next_id, available, capacity, paused_until, *room = figures
        return ChainView(
            minter=self.minter.address,
            settled_topic=self.settled_topic,
            encode_settle=self.encode_settle,
            next_id=next_id,
            available_wei=available,
            capacity_wei=capacity,
            room_wei=self._supply(room).remaining_wei,
            room_reason=Reason.RESERVE_EMPTY if self.pays_from_reserve else Reason.SUPPLY_CAP,
            paused_until=paused_until,
            # The chain's own time, which may be ahead of ours; but a chain without blocks stands still.
            timestamp=max(newest.timestamp, int(time.time()) - CLOCK_SKEW_SECONDS),
            chain_nonce=nonce,
        )

    async def read_supply(self) -> Supply:
        """The token's figures as of the newest block. Raises: RpcUnavailable, RpcError."""
        return self._supply(await self.client.read_many(self._room_reads()))

    def _room_reads(self) -> list[Read]:
        last: Read = (self.minter, "reserveWei", ()) if self.pays_from_reserve else (self.token, "cap", ())
        return [(self.token, "totalSupply", ()), last]

    def _supply(self, figures: Sequence[int]) -> Supply:
        """From what `_room_reads` brought. A token without mint has its whole supply for its cap."""
        total, last = figures
        if self.pays_from_reserve:
            return Supply(total_wei=total, cap_wei=total, remaining_wei=last)
        return Supply(total_wei=total, cap_wei=last, remaining_wei=last - total)

    async def read_next_id(self) -> int:
        """The number the minter expects next. Raises: RpcUnavailable, RpcError."""
        found: int = await self.client.read(self.minter, "nextId")
        return found

    def decode_settled(self, log: Log) -> Mapping[str, Any] | None:
        """firstId, count, sum and leavesRoot of a `Settled` log, or None for another one."""
        event = self.minter.decode_log(log)
        return event.args if event is not None and event.name == "Settled" else None

    async def read_settlement(self, log: Any) -> Settled:
        """A settlement with the calldata it came from; `log` is a row of `settled_logs`.

        Raises: SettlementMismatch when the chain tx is no call of `settle`; RpcUnavailable, also while the node does
        not have the chain tx in the block of the log; RpcError.
        """
        found = await self.client.transaction(log.chain_tx_hash)
        receipt = await self.client.receipt(log.chain_tx_hash)
        block = await self.client.block(log.block_number)
        # A local chain that went back may have the chain tx elsewhere, and there it may have failed.
        if found is None or block is None or receipt is None or receipt.block_hash != log.block_hash:
            raise RpcUnavailable(f"the node does not have chain tx {log.chain_tx_hash} in block {log.block_number}")
        try:
            method, arguments = self.minter.decode_call(hex_bytes(found["input"]))
        except LookupError as problem:
            raise SettlementMismatch(f"chain tx {log.chain_tx_hash} does not call the minter itself") from problem
        if method != "settle" or arguments["firstId"] != log.first_id:
            raise SettlementMismatch(f"chain tx {log.chain_tx_hash} is not the settlement of {log.first_id}")
        return Settled(
            first_id=log.first_id,
            sum_wei=log.sum_wei,
            leaves_root=bytes(log.leaves_root),
            minter=self.minter.address,
            chain_tx_hash=log.chain_tx_hash,
            block_number=log.block_number,
            block_hash=log.block_hash,
            settled_at=datetime.fromtimestamp(block.timestamp, UTC),
            reward_ids=tuple(split_reward_ids(arguments["rewardIds"])),
            packed=tuple(bytes(word) for word in arguments["packed"]),
        )


FEED_ABI = (
    {"type": "function", "name": "decimals", "inputs": [], "outputs": [{"name": "", "type": "uint8"}]},
    {
        "type": "function",
        "name": "latestRoundData",
        "inputs": [],
        "outputs": [
            {"name": "roundId", "type": "uint80"},
            {"name": "answer", "type": "int256"},
            {"name": "startedAt", "type": "uint256"},
            {"name": "updatedAt", "type": "uint256"},
            {"name": "answeredInRound", "type": "uint80"},
        ],
    },
)


class FeedPrice:
    """A price feed on a chain, of the shape of Chainlink's AggregatorV3Interface. A `PriceSource`."""

    name = "aggregator"

    def __init__(self, client: ChainClient, address: str, *, max_age_seconds: float) -> None:
        self._client = client
        self._feed = Contract(address, [dict(entry) for entry in FEED_ABI])
        self._max_age_seconds = max_age_seconds

    async def usd_e8(self) -> int:
        """The answer of the feed's last round, scaled to 10^-8 USD and rounded down.

        Raises: PriceUnknown when the feed has none, an old one, or cannot be read. Source: AggregatorV3Interface
        (an answer that is not above 0, or a round that was not updated, is no price).
        """
        try:
            decimals, round_data = await self._client.read_many(
                [(self._feed, "decimals", ()), (self._feed, "latestRoundData", ())]
            )
        except (ChainError, ValueError) as error:
            raise PriceUnknown(f"the price feed cannot be read: {str(error)[:200]}") from error
        round_id, answer, _, updated_at, answered_in = round_data
        if answer <= 0 or updated_at == 0 or answered_in < round_id:
            raise PriceUnknown(f"the price feed's round {round_id} has no answer")
        if time.time() - updated_at > self._max_age_seconds:
            raise PriceUnknown(f"the price feed's answer is of {datetime.fromtimestamp(updated_at, UTC)}")
        try:
            return to_usd_e8(Decimal(answer).scaleb(-decimals))
        except ValueError as error:
            raise PriceUnknown(f"the price feed's answer is no price: {error}") from error

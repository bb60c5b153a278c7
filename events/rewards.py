"""What rewards tells the others: each reward's way from earned to minted, and stakes."""

from typing import ClassVar, Literal
from uuid import UUID

from chassis.clock import Timestamp
from chassis.envelope import Event
from chassis.money import Wei

Side = Literal["client", "talent"]
Kind = Literal["connector", "screening", "grant"]


class _RewardEvent(Event):
    key_field: ClassVar[str] = "reward_id"
    reward_id: UUID
    beneficiary_id: UUID
    transaction_id: UUID | None
    side: Side | None
    kind: Kind
    amount_wei: Wei
    price_usd_e8: int | None
    chain_tx_hash: str | None = None
    """The chain tx that pays the reward, and its block: null before there is one."""

    block_number: int | None = None
    block_hash: str | None = None


class RewardAccrued(_RewardEvent):
    """A reward was earned and its amount fixed."""

    type_: ClassVar[str] = "rewards.reward.accrued.v1"
    accrued_at: Timestamp


class RewardHeld(_RewardEvent):
    """A reward cannot be paid yet; `reason` says why."""

    type_: ClassVar[str] = "rewards.reward.held.v1"
    reason: str
    held_at: Timestamp


class RewardMinted(_RewardEvent):
    """A reward was paid on chain and its block has the required confirmations.

    `minted_wei` is what was paid: the amount less what was set off against earlier refunds. Comes again with
    the new block after a deep reorganisation.
    """

    type_: ClassVar[str] = "rewards.reward.minted.v1"
    minted_wei: Wei
    chain_tx_hash: str
    block_number: int
    block_hash: str
    minted_at: Timestamp


class RewardCancelled(_RewardEvent):
    """A reward will never be paid; `reason` says why."""

    type_: ClassVar[str] = "rewards.reward.cancelled.v1"
    reason: str
    cancelled_at: Timestamp


class RewardReversed(_RewardEvent):
    """The transaction of a minted reward was refunded in full; the clawback is set off against later rewards."""

    type_: ClassVar[str] = "rewards.reward.reversed.v1"
    reversed_at: Timestamp


class _StakeEvent(Event):
    key_field: ClassVar[str] = "subject"
    subject: str
    staker: str
    amount_wei: Wei


class StakeLocked(_StakeEvent):
    """Tokens were put up as collateral on a bid or an offer."""

    type_: ClassVar[str] = "rewards.stake.locked.v1"
    locked_at: Timestamp


class StakeReleased(_StakeEvent):
    """Collateral went back to its staker."""

    type_: ClassVar[str] = "rewards.stake.released.v1"
    released_at: Timestamp


class StakeSlashed(_StakeEvent):
    """A verdict gave collateral to the harmed side."""

    type_: ClassVar[str] = "rewards.stake.slashed.v1"
    slashed_at: Timestamp

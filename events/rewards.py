"""What rewards tells the others: each reward's way from earned to minted, and stakes."""

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from chassis.clock import Timestamp
from chassis.envelope import Event
from chassis.money import Wei
from events.fields import ADA, ADDRESS, BEN, BLOCK_HASH, HASH, REWARD, TRANSACTION, at, told, wei

Side = Literal["client", "talent"]
Kind = Literal["connector", "screening", "grant"]


class _RewardEvent(Event):
    key_field: ClassVar[str] = "reward_id"
    reward_id: Annotated[UUID, told("The reward.", REWARD)]
    beneficiary_id: Annotated[UUID, told("The member who earned it.", ADA)]
    transaction_id: Annotated[UUID | None, told("The transaction that earned it; null for other kinds.", TRANSACTION)]
    side: Annotated[Side | None, told("Which party the beneficiary had referred; null for other kinds.", "client")]
    kind: Annotated[Kind, told("What was rewarded.", "connector")]
    amount_wei: Annotated[Wei, wei("What was earned")]
    price_usd_e8: Annotated[
        int | None,
        told("The price it was fixed at, in USD × 10^8 for one BTRST; null where none is.", 50_000_000),
    ]
    chain_tx_hash: Annotated[
        str | None, told("The chain tx that pays it, 32 bytes in hex; null before there is one.", HASH)
    ] = None
    block_number: Annotated[int | None, told("The block of that chain tx; null before there is one.", 1_234)] = None
    block_hash: Annotated[
        str | None, told("The hash of that block, 32 bytes in hex; null before there is one.", BLOCK_HASH)
    ] = None


class RewardAccrued(_RewardEvent):
    """A reward was earned and its amount fixed."""

    type_: ClassVar[str] = "rewards.reward.accrued.v1"
    accrued_at: Annotated[Timestamp, at("When it was earned")]


class RewardHeld(_RewardEvent):
    """A reward cannot be paid yet; `reason` says why."""

    type_: ClassVar[str] = "rewards.reward.held.v1"
    reason: Annotated[str, told("Why it waits: a stable code; more may come.", "no_payout_wallet")]
    held_at: Annotated[Timestamp, at("Since when it waits")]


class RewardMinted(_RewardEvent):
    """A reward was paid on chain and its block has the required confirmations.

    `minted_wei` is what was paid: the amount less what was set off against earlier refunds. Comes again with
    the new block after a deep reorganisation.
    """

    type_: ClassVar[str] = "rewards.reward.minted.v1"
    minted_wei: Annotated[Wei, wei("What was paid: the amount less what was set off")]
    chain_tx_hash: Annotated[str, told("The chain tx that paid it, 32 bytes in hex.", HASH)]
    block_number: Annotated[int, told("The block of that chain tx.", 1_234)]
    block_hash: Annotated[str, told("The hash of that block, 32 bytes in hex.", BLOCK_HASH)]
    minted_at: Annotated[Timestamp, at("When it counted as final here")]


class RewardCancelled(_RewardEvent):
    """A reward will never be paid; `reason` says why."""

    type_: ClassVar[str] = "rewards.reward.cancelled.v1"
    reason: Annotated[str, told("Why it is never paid: a stable code; more may come.", "zero_amount")]
    cancelled_at: Annotated[Timestamp, at("When it was cancelled")]


class RewardReversed(_RewardEvent):
    """The transaction of a minted reward was refunded in full; the clawback is set off against later rewards."""

    type_: ClassVar[str] = "rewards.reward.reversed.v1"
    reversed_at: Annotated[Timestamp, at("When the full refund was taken in")]


class _StakeEvent(Event):
    key_field: ClassVar[str] = "subject"
    subject: Annotated[str, told("What the collateral is for: the id of the bid or offer.", BEN)]
    staker: Annotated[str, told("Whose tokens they are: 20 bytes in hex, EIP-55 checksummed.", ADDRESS)]
    amount_wei: Annotated[Wei, wei("How much")]


class StakeLocked(_StakeEvent):
    """Tokens were put up as collateral on a bid or an offer."""

    type_: ClassVar[str] = "rewards.stake.locked.v1"
    locked_at: Annotated[Timestamp, at("When it was put up")]


class StakeReleased(_StakeEvent):
    """Collateral went back to its staker."""

    type_: ClassVar[str] = "rewards.stake.released.v1"
    released_at: Annotated[Timestamp, at("When it went back")]


class StakeSlashed(_StakeEvent):
    """A verdict gave collateral to the harmed side."""

    type_: ClassVar[str] = "rewards.stake.slashed.v1"
    slashed_at: Annotated[Timestamp, at("When it was given away")]

"""Bodies of rewards' answers."""

from typing import Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from chassis.clock import Timestamp
from chassis.money import Wei
from chassis.web import ReadModel

Side = Literal["client", "talent"]
Kind = Literal["connector", "screening", "grant"]
Status = Literal["waiting", "accrued", "held", "queued", "submitted", "minted", "reversed", "cancelled"]
Reason = Literal[
    "no_payout_wallet",
    "refund_window",
    "stale_price",
    "epoch_budget",
    "supply_cap",
    "reserve_empty",
    "below_minimum",
    "paused",
    "under_review",
    "unverified",
    "unknown_party",
    "zero_amount",
]


class RewardRead(ReadModel):
    """What a member earned, and how far it is on its way to their wallet."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "id": "01932c4e-6b7a-7c3d-8e9f-0a1b2c3d4e5f",
                    "kind": "connector",
                    "side": "client",
                    "beneficiary_id": "01932c4e-1111-7c3d-8e9f-0a1b2c3d4e5f",
                    "transaction_id": "01932c4e-2222-7c3d-8e9f-0a1b2c3d4e5f",
                    "status": "minted",
                    "reason": None,
                    "amount_wei": "20000000000000000000",
                    "offset_wei": "0",
                    "minted_wei": "20000000000000000000",
                    "clawed_back_wei": "0",
                    "price_usd_e8": 50000000,
                    "price_window": "fixed",
                    "price_source": "fixed",
                    "parameters_version": 0,
                    "payout_address": "0x52908400098527886E0F7030069857D2E4169EE7",
                    "chain_tx_hash": "0x5f" + "00" * 31,
                    "block_number": 42,
                    "created_at": "2026-11-22T10:00:00Z",
                }
            ]
        },
    )

    id: UUID
    kind: Kind
    side: Side | None
    beneficiary_id: UUID
    transaction_id: UUID | None
    status: Status
    reason: Reason | None
    amount_wei: Wei = Field(description="Earned, after the refunds that came before it was reserved")
    offset_wei: Wei = Field(description="Set against earlier refunds")
    minted_wei: Wei = Field(description="amount_wei − offset_wei once minted, else 0")
    clawed_back_wei: Wei = Field(description="Taken back by refunds since; set against later rewards")
    price_usd_e8: int | None
    price_window: str | None
    price_source: str | None
    parameters_version: int | None
    payout_address: str | None
    chain_tx_hash: str | None
    block_number: int | None
    created_at: Timestamp


class StepRead(ReadModel):
    """One step of a reward."""

    at: Timestamp
    step: str = Field(description="The stage: transaction_recorded, facts_known, accrued, held, verified, queued …")
    code: str = Field(description="How the stage went: the reason of a hold, else mostly the stage itself")
    data: dict[str, Any] = Field(description="The inputs of the stage; wei are digit strings")


class TraceRead(ReadModel):
    """Why a reward is what it is, step by step."""

    reward_id: UUID
    steps: list[StepRead]


class LeafRead(ReadModel):
    """What a leaf says; abi.encode of these seven, hashed twice, is the leaf."""

    minter: str
    seq: int
    kind: Literal["connector", "screening", "grant", "offset"]
    source_id: UUID
    beneficiary_id: UUID
    payout_address: str
    amount_wei: Wei


class ProofRead(ReadModel):
    """That a reward is part of a chain tx: hash the leaf with each of `path`, the lower first, to reach `root`."""

    reward_id: UUID
    leaf: str
    path: list[str]
    root: str
    chain_tx_hash: str
    values: LeafRead
    offset_leaf: str | None
    offset_path: list[str]
    offset_values: LeafRead | None


class LedgerLineRead(ReadModel):
    """One line of the ledger as the beneficiary sees it. Earned and minted are above 0, taken away below."""

    id: str
    reward_id: UUID
    transaction_id: UUID | None
    code: Literal["accrual", "mint", "refund", "offset", "cancel"]
    amount_wei: Wei
    created_at: Timestamp


class SummaryRead(ReadModel):
    """A member's rewards in sums."""

    accrued_wei: Wei = Field(description="All that was earned and not cancelled, paid or not")
    held_wei: Wei
    queued_wei: Wei = Field(description="On its way: queued or in a chain tx, less offsets")
    minted_wei: Wei
    receivable_wei: Wei = Field(description="Owed after refunds; later rewards make it good")
    by_reason: dict[str, Wei] = Field(description="What is held, by reason")


class ForecastRead(ReadModel):
    """How long what is left lasts at the pace of the last 30 days."""

    window_days: int
    minted_wei: Wei
    months_remaining: int | None = Field(description="null: nothing was minted in the window")


class TokenRead(ReadModel):
    """BTRST as the network sees it."""

    address: str
    chain_id: int
    cap_wei: Wei
    total_supply_wei: Wei
    rewards_minted_wei: Wei
    remaining_wei: Wei = Field(
        description="What rewards can still be paid of: cap_wei − total_supply_wei, or the reserve"
    )
    price_usd_e8: int | None
    forecast: ForecastRead


class SupplyAuditRead(ReadModel):
    """The ledger beside the chain, both at one final block."""

    ledger_minted_wei: Wei
    onchain_minted_wei: Wei
    difference_wei: Wei
    as_of_block: int
    checked_at: Timestamp


class EpochRead(ReadModel):
    """An emission epoch: what its budget was charged, and what was minted in it."""

    number: int = Field(description="1, 2, 3 …")
    starts_at: Timestamp
    ends_at: Timestamp
    charged_wei: Wei = Field(description="Taken from the epoch's budget: minted, or on its way")
    minted_wei: Wei
    settlements: int = Field(description="How many settlements are minted")


class AuditLineRead(LeafRead):
    """A leaf of a settlement, and the reward that says so."""

    reward_id: UUID
    leaf: str = Field(description="Its hash as it stands under the root")


class SettlementAuditRead(ReadModel):
    """A settlement with all of its leaves, in their order under the root that its chain tx carries."""

    first_id: int
    reward_count: int
    sum_wei: Wei
    minter: str
    leaves_root: str
    chain_tx_hash: str
    block_number: int
    is_proven: bool = Field(
        description="Whether the leaves make the root. Not where a restored database read a settlement back from the "
        "chain and does not know what was set off in it: there only ids and sums can be checked"
    )
    leaves: list[AuditLineRead]


class EpochAuditRead(EpochRead):
    """A page of an epoch's settlements."""

    items: list[SettlementAuditRead]
    next_cursor: str | None

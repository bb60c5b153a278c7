"""Endpoints of rewards: what a member earned and why, proofs, the token, the audit."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query

from chassis.auth import CallerDep, Principal
from chassis.clock import utc_now
from chassis.errors import BadRequest
from chassis.web import ContextDep, Page, PageRequest, Paging, SessionDep, new_router, page_of, problems
from services.rewards.domain.leaves import Leaf
from services.rewards.schemas import (
    ForecastRead,
    LeafRead,
    LedgerLineRead,
    ProofRead,
    RewardRead,
    Status,
    StepRead,
    SummaryRead,
    SupplyAuditRead,
    TokenRead,
    TraceRead,
)
from services.rewards.service import reading

router = new_router("rewards")
token_router = new_router("token")

WINDOW_DAYS = 30


def _as_reward(row: Any) -> RewardRead:
    side = None if row.side == "none" else row.side
    return RewardRead.model_validate({**row._asdict(), "side": side})


def _owner(caller: Principal) -> UUID | None:
    """Whose reward it must be; None for an admin, who sees all."""
    return None if caller.is_admin else caller.member_id


@router.get(
    "/v1/rewards",
    operation_id="list_rewards",
    summary="List what I earned",
    response_model=Page[RewardRead],
    responses=problems(401),
)
async def list_rewards(
    session: SessionDep,
    caller: CallerDep,
    paging: Paging,
    status: Annotated[Status | None, Query(description="Only those with this status")] = None,
    transaction_id: Annotated[UUID | None, Query(description="Only those of this transaction")] = None,
) -> Page[RewardRead]:
    """The caller's rewards, newest first."""
    rows = await reading.list_rewards(
        session,
        beneficiary_id=caller.member_id,
        status=status,
        transaction_id=transaction_id,
        after=paging.after_time_id(),
        limit=paging.limit + 1,
    )
    items, cursor = page_of(rows, paging, key=lambda row: (row.created_at, row.id))
    return Page(items=[_as_reward(row) for row in items], next_cursor=cursor)


@router.get(
    "/v1/rewards/ledger",
    operation_id="list_ledger_lines",
    summary="List my ledger lines",
    response_model=Page[LedgerLineRead],
    responses=problems(401),
)
async def list_ledger_lines(
    session: SessionDep,
    caller: CallerDep,
    paging: Paging,
    reward_id: Annotated[UUID | None, Query(description="Only those of this reward")] = None,
) -> Page[LedgerLineRead]:
    """Every change of what the caller has earned, was paid and owes, newest first. Lines never change."""
    rows = await reading.list_ledger(
        session,
        beneficiary_id=caller.member_id,
        reward_id=reward_id,
        after=_after_number(paging),
        limit=paging.limit + 1,
    )
    items, cursor = page_of(rows, paging, key=lambda row: (row.id,))
    lines = [LedgerLineRead.model_validate({**row._asdict(), "id": str(row.id)}) for row in items]
    return Page(items=lines, next_cursor=cursor)


def _after_number(paging: PageRequest) -> int | None:
    if paging.after is None:
        return None
    number = paging.after[0] if len(paging.after) == 1 else ""
    if not (number.isascii() and number.isdigit() and len(number) <= 18):
        raise BadRequest("cursor is what next_cursor of the same list gave", code="bad_page")
    return int(number)


@router.get(
    "/v1/rewards/summary",
    operation_id="get_reward_summary",
    summary="Sum up what I earned",
    response_model=SummaryRead,
    responses=problems(401),
)
async def get_reward_summary(session: SessionDep, caller: CallerDep) -> SummaryRead:
    """The caller's rewards in sums, and why what is held is held."""
    return SummaryRead.model_validate(await reading.summarize_rewards(session, beneficiary_id=caller.member_id))


@router.get(
    "/v1/rewards/{reward_id}",
    operation_id="get_reward",
    summary="Read a reward",
    response_model=RewardRead,
    responses=problems(401, 404),
)
async def get_reward(reward_id: UUID, session: SessionDep, caller: CallerDep) -> RewardRead:
    """For its beneficiary and admins."""
    return _as_reward(await reading.get_reward(session, reward_id=reward_id, beneficiary_id=_owner(caller)))


@router.get(
    "/v1/rewards/{reward_id}/trace",
    operation_id="trace_reward",
    summary="See why a reward is what it is",
    response_model=TraceRead,
    responses=problems(401, 404),
)
async def trace_reward(reward_id: UUID, session: SessionDep, caller: CallerDep) -> TraceRead:
    """Every step from the transaction to the block, for its beneficiary and admins."""
    steps = await reading.trace_reward(session, reward_id=reward_id, beneficiary_id=_owner(caller))
    return TraceRead(reward_id=reward_id, steps=[StepRead.model_validate(step) for step in steps])


@router.get(
    "/v1/rewards/{reward_id}/proof",
    operation_id="prove_reward",
    summary="Prove that a reward is on chain",
    response_model=ProofRead,
    responses=problems(404),
)
async def prove_reward(reward_id: UUID, session: SessionDep) -> ProofRead:
    """For anyone: the leaf, the path to the root that the chain tx carries, and that chain tx."""
    proof = await reading.prove_reward(session, reward_id=reward_id)
    offset = proof.offset_leaf
    return ProofRead(
        reward_id=reward_id,
        leaf=_hex(proof.leaf.hash()),
        path=[_hex(node) for node in proof.path],
        root=_hex(proof.root),
        chain_tx_hash=proof.chain_tx_hash,
        values=_as_leaf(proof.leaf),
        offset_leaf=_hex(offset.hash()) if offset else None,
        offset_path=[_hex(node) for node in proof.offset_path],
        offset_values=_as_leaf(offset) if offset else None,
    )


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _as_leaf(leaf: Leaf) -> LeafRead:
    return LeafRead.model_validate(leaf)


@token_router.get(
    "/v1/token",
    operation_id="get_token",
    summary="Read the token's figures",
    response_model=TokenRead,
    responses=problems(),
)
async def get_token(session: SessionDep, context: ContextDep) -> TokenRead:
    """Supply, price, and how long rewards last."""
    figures = await reading.get_chain_figures(session)
    remaining = figures.cap_wei - figures.total_supply_wei
    minted = figures.minted_month_wei
    return TokenRead(
        address=context.settings.btrst_address,
        chain_id=context.settings.chain_id,
        cap_wei=figures.cap_wei,
        total_supply_wei=figures.total_supply_wei,
        rewards_minted_wei=figures.onchain_minted_wei,
        remaining_wei=remaining,
        price_usd_e8=await reading.current_price_usd_e8(session, now=utc_now()),
        forecast=ForecastRead(
            window_days=WINDOW_DAYS,
            minted_wei=minted,
            months_remaining=remaining // minted if minted else None,
        ),
    )


@token_router.get(
    "/v1/audit/supply",
    operation_id="audit_supply",
    summary="Compare ledger and chain",
    response_model=SupplyAuditRead,
    responses=problems(),
)
async def audit_supply(session: SessionDep) -> SupplyAuditRead:
    """What the ledger says was minted beside what the chain says, both at one final block."""
    figures = await reading.get_chain_figures(session)
    return SupplyAuditRead(
        ledger_minted_wei=figures.ledger_minted_wei,
        onchain_minted_wei=figures.onchain_minted_wei,
        difference_wei=figures.ledger_minted_wei - figures.onchain_minted_wei,
        as_of_block=figures.as_of_block,
        checked_at=figures.checked_at,
    )

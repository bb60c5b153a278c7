"""Endpoints of rewards: what a member earned and why, proofs, the token, the audit."""

from dataclasses import asdict
from datetime import date, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Query, Response

from chassis.auth import CallerDep
from chassis.clock import utc_now
from chassis.errors import BadRequest
from chassis.token_cache import Principal
from chassis.web import (
    ContextDep,
    Page,
    PageRequest,
    Paging,
    PlainDigits,
    SessionDep,
    cursor_behind,
    new_router,
    page_of,
    problems,
)
from services.rewards.domain.statements import period, to_csv
from services.rewards.schemas import (
    AuditLineRead,
    EpochAuditRead,
    EpochRead,
    ForecastRead,
    LeafRead,
    LedgerLineRead,
    ProofRead,
    RewardRead,
    SettlementAuditRead,
    Status,
    StepRead,
    SummaryRead,
    SupplyAuditRead,
    TokenRead,
    TraceRead,
)
from services.rewards.service import proofs, reading
from services.rewards.service.proofs import Line, Settlement

router = new_router("rewards")
token_router = new_router("token")

WINDOW_DAYS = 30
RESOLUTION = timedelta(microseconds=1)


class CsvResponse(Response):
    """A table to download."""

    media_type = "text/csv"


EpochNumber = Annotated[int, Path(ge=1, lt=2**31, description="1, 2, 3 …"), PlainDigits]


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


@router.get(
    "/v1/rewards/statement",
    operation_id="get_reward_statement",
    summary="Download my ledger as CSV",
    response_class=CsvResponse,
    responses=problems(401),
)
async def get_reward_statement(
    session: SessionDep,
    caller: CallerDep,
    first: Annotated[date | None, Query(alias="from", description="The first day, UTC")] = None,
    last: Annotated[date | None, Query(alias="to", description="The last day, UTC; today if left out")] = None,
) -> CsvResponse:
    """The caller's ledger lines of up to 366 days, oldest first; by default of the last year."""
    now = utc_now()
    start, end = period(first, last, now.date())
    lines = await reading.statement_of(session, beneficiary_id=caller.member_id, start=start, end=end)
    name = f"btrst-rewards-{start.date()}-{(end - RESOLUTION).date()}.csv"
    return CsvResponse(to_csv(lines), headers={"Content-Disposition": f'attachment; filename="{name}"'})


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
    proof = await proofs.prove_reward(session, reward_id=reward_id)
    offset = proof.offset
    return ProofRead(
        reward_id=reward_id,
        leaf=_hex(proof.line.hash),
        path=[_hex(node) for node in proof.path],
        root=_hex(proof.root),
        chain_tx_hash=proof.chain_tx_hash,
        values=_as_leaf(proof.line),
        offset_leaf=_hex(offset.hash) if offset else None,
        offset_path=[_hex(node) for node in proof.offset_path],
        offset_values=_as_leaf(offset) if offset else None,
    )


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _as_leaf(line: Line) -> LeafRead:
    return LeafRead.model_validate(line.leaf)


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
    remaining = figures.remaining_wei
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


@token_router.get(
    "/v1/audit/epochs",
    operation_id="list_epochs",
    summary="List the emission epochs",
    response_model=Page[EpochRead],
    responses=problems(),
)
async def list_epochs(session: SessionDep, paging: Paging) -> Page[EpochRead]:
    """Every epoch in which rewards were settled, newest first."""
    rows = await proofs.list_epochs(session, before=_after_number(paging), limit=paging.limit + 1)
    items, cursor = page_of(rows, paging, key=lambda row: (row.number,))
    return Page(items=[EpochRead.model_validate(_as_epoch(row)) for row in items], next_cursor=cursor)


@token_router.get(
    "/v1/audit/epochs/{epoch_number}",
    operation_id="audit_epoch",
    summary="Read every leaf of an epoch",
    response_model=EpochAuditRead,
    responses=problems(404),
)
async def audit_epoch(epoch_number: EpochNumber, session: SessionDep, paging: Paging) -> EpochAuditRead:
    """The epoch's minted settlements by number, each with all of its leaves: enough to compute the roots that the chain
    has. A page may hold fewer settlements than `limit` when they are large."""
    epoch, found, has_more = await proofs.audit_epoch(
        session, number=epoch_number, after_first_id=_after_number(paging) or 0, limit=paging.limit
    )
    cursor = cursor_behind(found[-1].row.first_id) if has_more else None
    items = [_as_settlement(settlement) for settlement in found]
    return EpochAuditRead.model_validate({**_as_epoch(epoch), "items": items, "next_cursor": cursor})


def _as_epoch(row: Any) -> dict[str, Any]:
    return {**row._asdict(), "starts_at": row.epoch_start}


def _as_settlement(settlement: Settlement) -> SettlementAuditRead:
    return SettlementAuditRead.model_validate(
        {
            **settlement.row._asdict(),
            "leaves_root": _hex(settlement.row.leaves_root),
            "is_proven": settlement.is_proven,
            "leaves": [
                AuditLineRead.model_validate(
                    {**asdict(line.leaf), "reward_id": line.reward_id, "leaf": _hex(line.hash)}
                )
                for line in settlement.lines
            ],
        }
    )

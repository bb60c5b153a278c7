"""Use cases of proposals: made, opened, counted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import UUID

from chassis.db import Session
from chassis.errors import InvalidState, Unprocessable
from chassis.ids import new_id
from chassis.outbox import publish
from events.governance import ProposalClosed, ProposalOpened
from services.governance.domain import calls, parameters
from services.governance.domain import proposals as rules
from services.governance.errors import BelowThreshold, TooManyProposals
from services.governance.repository import parameters as versions
from services.governance.repository import power as index
from services.governance.repository import proposals as repository
from services.governance.repository import votes
from services.governance.service import power
from services.governance.settings import GovernanceSettings


@dataclass(frozen=True, slots=True)
class ParameterChange:
    """A proposal's wish to give a parameter another value."""

    name: str
    value: int


@dataclass(frozen=True, slots=True)
class GrantWish:
    """A proposal's wish to give a contributor BTRST."""

    beneficiary_id: UUID
    amount_wei: int


Action = ParameterChange | GrantWish


@dataclass(frozen=True, slots=True)
class Results:
    """How the ballots stand, or stood when they were counted."""

    proposal_id: UUID
    status: rules.Status
    tally: rules.Tally
    quorum_wei: int
    outcome: rules.Outcome | None


async def create_proposal(
    session: Session,
    *,
    author_id: UUID,
    proposer: str,
    title: str,
    body: str,
    actions: Sequence[Action],
    settings: GovernanceSettings,
) -> Any:
    """A new proposal with its snapshot, its times and the exact calls it would carry on chain; its row.

    Raises: Unprocessable for actions the contract would refuse; IndexBehind; BelowThreshold when the proposer had
    too few votes at the snapshot; TooManyProposals.
    """
    now = await repository.database_now(session)
    times = rules.schedule(
        now,
        delay_seconds=settings.voting_delay_seconds,
        period_seconds=settings.voting_period_seconds,
        effective_after_seconds=settings.effective_after_seconds,
    )
    plan = await _plan(session, actions, target=settings.parameters_address, effective_from=times.effective_from)
    snapshot = await power.take_snapshot(session)
    proposer_votes_wei = await index.votes_at(session, proposer, snapshot.block_number)
    if proposer_votes_wei < settings.proposal_threshold_wei:
        raise BelowThreshold(f"A proposal needs {settings.proposal_threshold_wei} wei of votes at its snapshot")
    await _check_limit(session, author_id, settings.max_live_proposals_per_author)
    quorum_wei = await power.read_quorum(
        session, snapshot, percent=settings.quorum_percent, floor_wei=settings.quorum_floor_wei
    )
    row = await repository.insert_proposal(
        session,
        {
            "id": new_id(),
            "author_id": author_id,
            "proposer": proposer,
            "proposer_votes_wei": proposer_votes_wei,
            "title": title,
            "body": body,
            "actions": plan.actions,
            "calls": [_call_json(call) for call in plan.calls],
            "actions_hash": calls.actions_hash(plan.calls),
            "effective_at": rules.from_unix(times.effective_from) if plan.sets_parameters else None,
            "snapshot_at": rules.from_unix(snapshot.timestamp),
            "snapshot_block": snapshot.block_number,
            "opens_at": times.opens_at,
            "closes_at": times.closes_at,
            "status": rules.status_at("pending", opens_at=times.opens_at, now=now),
            "quorum_wei": quorum_wei,
            "created_at": now,
        },
    )
    if row.status == "open":
        _publish_opened(session, row)
    return row


async def read_proposal(session: Session, proposal_id: UUID) -> tuple[Any, rules.Status]:
    """The row and its status right now. Raises: ProposalNotFound."""
    row = await repository.get_proposal(session, proposal_id)
    now = await repository.database_now(session)
    return row, rules.status_at(row.status, opens_at=row.opens_at, now=now)


async def list_proposals(
    session: Session, *, limit: int, before_id: UUID | None, status: rules.Status | None
) -> list[tuple[Any, rules.Status]]:
    """Rows, newest first, each with its status right now."""
    rows = await repository.list_proposals(session, limit=limit, before_id=before_id, status=status)
    now = await repository.database_now(session)
    return [(row, rules.status_at(row.status, opens_at=row.opens_at, now=now)) for row in rows]


async def read_results(session: Session, proposal_id: UUID) -> Results:
    """The count so far, or the final one. Raises: ProposalNotFound."""
    row, status = await read_proposal(session, proposal_id)
    if row.outcome is None:
        return Results(row.id, status, await _count(session, row.id), row.quorum_wei, None)
    final = rules.Tally(row.for_wei, row.against_wei, row.abstain_wei, row.ballots)
    return Results(row.id, status, final, row.quorum_wei, row.outcome)


async def open_next_proposal(session: Session) -> bool:
    """Open one proposal whose time has come and tell of it; False when none is due."""
    row = await repository.lock_next_to_open(session)
    if row is None:
        return False
    await repository.update_proposal(session, row.id, status="open")
    _publish_opened(session, row)
    return True


async def close_next_proposal(session: Session) -> bool:
    """Count one proposal whose time is over, for good, and tell of it; False when none is due."""
    row = await repository.lock_next_to_close(session)
    if row is None:
        return False
    counted = await _count(session, row.id)
    result = rules.outcome(counted, row.quorum_wei)
    closed_at = await repository.database_now(session)
    await repository.update_proposal(
        session,
        row.id,
        status=result,
        outcome=result,
        for_wei=counted.for_wei,
        against_wei=counted.against_wei,
        abstain_wei=counted.abstain_wei,
        ballots=counted.ballots,
        closed_at=closed_at,
    )
    publish(
        session,
        ProposalClosed(
            proposal_id=row.id,
            author_id=row.author_id,
            outcome=result,
            for_wei=counted.for_wei,
            against_wei=counted.against_wei,
            abstain_wei=counted.abstain_wei,
            quorum_wei=row.quorum_wei,
            closed_at=closed_at,
        ),
    )
    return True


async def refuse_onchain_vote(session: Session, proposal_id: UUID) -> NoReturn:
    """Say why there is no vote on chain to take part in: proposals are not handed to the Governor yet.

    Raises: ProposalNotFound; else InvalidState.
    """
    _, status = await read_proposal(session, proposal_id)
    raise InvalidState(f"The proposal is {status}: the Governor does not have it")


@dataclass(frozen=True, slots=True)
class _Plan:
    actions: list[dict[str, str]]
    calls: list[calls.Call]
    sets_parameters: bool


async def _plan(session: Session, actions: Sequence[Action], *, target: str, effective_from: int) -> _Plan:
    """What `actions` come to on chain: one call with the whole set of parameters, then one for each grant."""
    changes = [(action.name, action.value) for action in actions if isinstance(action, ParameterChange)]
    planned: list[calls.Call] = []
    if changes:
        base = await versions.get_latest(session)
        values = _changed({name: int(value) for name, value in base.entries.items()}, changes)
        planned.append(
            calls.set_parameters(target, expected_version=base.version, values=values, effective_from=effective_from)
        )
    stored: list[dict[str, str]] = []
    for action in actions:
        if isinstance(action, ParameterChange):
            stored.append({"kind": "parameter", "name": action.name, "value": str(action.value)})
            continue
        grant = calls.Grant(new_id(), action.beneficiary_id, action.amount_wei)
        planned.append(calls.approve_grant(target, grant))
        stored.append(
            {
                "kind": "grant",
                "grant_id": str(grant.grant_id),
                "beneficiary_id": str(grant.beneficiary_id),
                "amount_wei": str(grant.amount_wei),
            }
        )
    return _Plan(stored, planned, bool(changes))


def _changed(base: dict[str, int], changes: list[tuple[str, int]]) -> dict[str, int]:
    try:
        return parameters.changed_set(base, changes)
    except parameters.ParameterRefused as error:
        raise Unprocessable.field("actions", str(error), code=error.code) from error


async def _check_limit(session: Session, author_id: UUID, maximum: int) -> None:
    await repository.lock_author(session, author_id)
    if await repository.count_live_by_author(session, author_id) >= maximum:
        raise TooManyProposals(f"You have {maximum} proposals that are not counted yet; wait until one closes")


async def _count(session: Session, proposal_id: UUID) -> rules.Tally:
    groups = await votes.sum_by_choice(session, proposal_id)
    return rules.tally((row.choice, row.weight_wei, row.ballots) for row in groups)


def _call_json(call: calls.Call) -> dict[str, str]:
    return {"target": call.target, "value_wei": str(call.value_wei), "calldata": "0x" + call.calldata.hex()}


def _publish_opened(session: Session, row: Any) -> None:
    publish(
        session,
        ProposalOpened(
            proposal_id=row.id,
            author_id=row.author_id,
            title=row.title,
            actions_hash=row.actions_hash,
            snapshot_at=row.snapshot_at,
            opens_at=row.opens_at,
            closes_at=row.closes_at,
        ),
    )

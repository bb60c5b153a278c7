"""Endpoints of proposals and their results."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from chassis.auth import CallerDep
from chassis.web import ContextDep, Page, Paging, SessionDep, created, new_router, page_of, problems
from services.governance import clients
from services.governance.domain.proposals import Status
from services.governance.errors import NotYourWallet, UnknownBeneficiary
from services.governance.schemas.proposals import (
    GrantAction,
    ParameterAction,
    ProposalCreate,
    ProposalRead,
    ResultsRead,
)
from services.governance.service import proposals as service

router = new_router("governance")


@router.post(
    "/v1/proposals",
    operation_id="create_proposal",
    summary="Propose a change",
    status_code=201,
    response_model=ProposalRead,
    responses=problems(401, 403, 409),
)
async def create_proposal(
    body: ProposalCreate, caller: CallerDep, session: SessionDep, context: ContextDep, response: Response
) -> ProposalRead:
    """The proposer's wallet must be linked to the caller and have the threshold of votes at the snapshot.

    All parameter actions become one call with the whole set, grants one call each, in this order.
    """
    await _ask_identity(context, caller, body)
    row = await service.create_proposal(
        session,
        author_id=caller.member_id,
        proposer=body.proposer,
        title=body.title,
        body=body.body,
        actions=_actions(body.actions),
        settings=context.settings,
    )
    created(response, f"/v1/proposals/{row.id}")
    return ProposalRead.of(row, row.status)


@router.get(
    "/v1/proposals",
    operation_id="list_proposals",
    summary="All proposals, newest first",
    response_model=Page[ProposalRead],
    responses=problems(),
)
async def list_proposals(
    session: SessionDep, paging: Paging, status: Annotated[Status | None, Query()] = None
) -> Page[ProposalRead]:
    """Anyone may read them."""
    found = await service.list_proposals(session, limit=paging.limit + 1, before_id=paging.after_id(), status=status)
    items, next_cursor = page_of(found, paging, key=lambda pair: (pair[0].id,))
    return Page(items=[ProposalRead.of(row, now) for row, now in items], next_cursor=next_cursor)


@router.get(
    "/v1/proposals/{proposal_id}",
    operation_id="get_proposal",
    summary="One proposal",
    response_model=ProposalRead,
    responses=problems(404),
)
async def get_proposal(proposal_id: UUID, session: SessionDep) -> ProposalRead:
    """With the calls it carries and the hash that ballots name."""
    row, status = await service.read_proposal(session, proposal_id)
    return ProposalRead.of(row, status)


@router.get(
    "/v1/proposals/{proposal_id}/results",
    operation_id="get_proposal_results",
    summary="How the ballots stand",
    response_model=ResultsRead,
    responses=problems(404),
)
async def get_proposal_results(proposal_id: UUID, session: SessionDep) -> ResultsRead:
    """Final and unchangeable once `outcome` is not null."""
    found = await service.read_results(session, proposal_id)
    return ResultsRead(
        proposal_id=found.proposal_id,
        status=found.status,
        for_wei=found.tally.for_wei,
        against_wei=found.tally.against_wei,
        abstain_wei=found.tally.abstain_wei,
        quorum_wei=found.quorum_wei,
        outcome=found.outcome,
        ballots=found.tally.ballots,
    )


def _actions(bodies: Sequence[ParameterAction | GrantAction]) -> list[service.Action]:
    return [
        service.ParameterChange(body.name, body.value)
        if isinstance(body, ParameterAction)
        else service.GrantWish(body.beneficiary_id, body.amount_wei)
        for body in bodies
    ]


async def _ask_identity(context: ContextDep, caller: CallerDep, body: ProposalCreate) -> None:
    """The wallet is the caller's, and whoever is to get a grant exists. Before the first statement.

    Raises: NotYourWallet; UnknownBeneficiary; IdentityUnavailable.
    """
    where = {"identity_url": context.base.identity_url, "internal_secret": context.base.internal_secret}
    if await clients.find_wallet_owner(context.http, address=body.proposer, **where) != caller.member_id:
        raise NotYourWallet("The proposer must be one of your linked wallets")
    for member_id in {action.beneficiary_id for action in body.actions if isinstance(action, GrantAction)}:
        if not await clients.is_member(context.http, member_id=member_id, **where):
            raise UnknownBeneficiary.field("actions", f"there is no member {member_id}", code=UnknownBeneficiary.code)

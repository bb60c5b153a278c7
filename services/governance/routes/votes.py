"""Endpoints of ballots: what to sign, signed ballots, and the vote on chain."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Query, Response

from chassis.auth import MaybeCallerDep
from chassis.signatures import SignatureInvalid
from chassis.web import (
    ContextDep,
    Page,
    Paging,
    SessionDep,
    created,
    idempotency_required,
    new_router,
    page_of,
    problems,
)
from services.governance.chain.resources import Resources
from services.governance.domain.typed_data import (
    Ballot,
    Choice,
    SigningDomain,
    ballot_digest,
    ballot_domain,
    ballot_json,
)
from services.governance.schemas.fields import Address, Reason
from services.governance.schemas.votes import OnchainVoteCreate, OnchainVoteRead, TypedData, VoteCreate, VoteRead
from services.governance.service import proposals
from services.governance.service import votes as service
from services.governance.settings import GovernanceSettings

router = new_router("governance")

_REPLACED: Final[dict[int | str, dict[str, Any]]] = {200: {"model": VoteRead, "description": "Replaced"}}

OLD_NONCES: Final = 16
"""How many earlier nonces a signature is tried against, to call an old ballot old rather than wrong."""


@router.get(
    "/v1/proposals/{proposal_id}/ballot",
    operation_id="get_ballot",
    summary="The ballot to sign",
    response_model=TypedData,
    responses=problems(404),
)
async def get_ballot(
    *,
    proposal_id: UUID,
    voter: Annotated[Address, Query()],
    choice: Annotated[Choice, Query()],
    session: SessionDep,
    context: ContextDep,
    reason: Annotated[Reason, Query()] = "",
) -> TypedData:
    """The complete JSON for eth_signTypedData_v4, with the voter's next nonce. Source: EIP-712."""
    terms = await service.read_ballot_terms(session, proposal_id=proposal_id, voter=voter)
    ballot = terms.ballot(voter=voter, choice=choice, reason=reason)
    return TypedData.model_validate(ballot_json(_domain(context.settings), ballot))


@router.post(
    "/v1/proposals/{proposal_id}/votes",
    operation_id="create_vote",
    summary="Cast a signed ballot, or replace it",
    status_code=201,
    response_model=VoteRead,
    responses={**_REPLACED, **problems(401, 403, 404, 409, 429)},
)
async def create_vote(
    proposal_id: UUID,
    body: VoteCreate,
    _: MaybeCallerDep,
    session: SessionDep,
    context: ContextDep,
    response: Response,
) -> VoteRead:
    """The signature is the authority; no token is needed. One ballot per address, replaceable until the close."""
    ballot = await _signed_ballot(context, proposal_id, body)
    row, is_first = await service.record_vote(session, ballot=ballot, signature=body.signature.lower())
    if is_first:
        created(response, f"/v1/proposals/{proposal_id}/votes?voter={row.voter}")
    else:
        response.status_code = 200
    return VoteRead.model_validate(row)


@router.get(
    "/v1/proposals/{proposal_id}/votes",
    operation_id="list_votes",
    summary="The counted ballots",
    response_model=Page[VoteRead],
    responses=problems(404),
)
async def list_votes(
    proposal_id: UUID, session: SessionDep, paging: Paging, voter: Annotated[Address | None, Query()] = None
) -> Page[VoteRead]:
    """With their signatures, so that anyone can check them."""
    rows = await service.list_votes(
        session, proposal_id=proposal_id, limit=paging.limit + 1, after_id=paging.after_id(), voter=voter
    )
    items, next_cursor = page_of(rows, paging, key=lambda row: (row.id,))
    return Page(items=[VoteRead.model_validate(row) for row in items], next_cursor=next_cursor)


@router.post(
    "/v1/proposals/{proposal_id}/onchain-votes",
    operation_id="create_onchain_vote",
    summary="Cast a ballot in the vote on chain",
    status_code=202,
    response_model=OnchainVoteRead,
    responses=problems(401, 404, 409),
)
@idempotency_required
async def create_onchain_vote(
    proposal_id: UUID,
    body: OnchainVoteCreate,  # noqa: ARG001 - its form is checked, and that is all so far
    _: MaybeCallerDep,
    session: SessionDep,
) -> OnchainVoteRead:
    """Refused with 409 `invalid_state` as long as the Governor does not have the proposal."""
    await proposals.refuse_onchain_vote(session, proposal_id)


async def _signed_ballot(context: ContextDep, proposal_id: UUID, body: VoteCreate) -> Ballot:
    """The ballot that was signed: with the nonce the body names, else the next one, else an earlier one, which is
    then refused as stale. No unit of work is open while the signature is checked."""
    async with context.database.unit_of_work() as before:
        terms = await service.read_ballot_terms(before, proposal_id=proposal_id, voter=body.voter)
    resources: Resources = context.resources
    domain = _domain(context.settings)
    nonces = [body.nonce] if body.nonce is not None else _nonces_to_try(terms.last_nonce)
    for nonce in nonces:
        ballot = terms.ballot(voter=body.voter, choice=body.choice, reason=body.reason, nonce=nonce)
        if await resources.signatures.recover(ballot_digest(domain, ballot), body.signature) == body.voter:
            return ballot
    raise SignatureInvalid("This is not the voter's signature over this ballot: choice, reason and nonce must match")


def _nonces_to_try(last: int) -> list[int]:
    return [last + 1, *range(last, max(0, last - OLD_NONCES), -1)]


def _domain(settings: GovernanceSettings) -> SigningDomain:
    return ballot_domain(settings.chain_id, settings.governor_address)

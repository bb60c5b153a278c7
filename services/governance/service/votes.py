"""Use cases of ballots: what to sign, and a signed ballot counted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chassis.db import Session
from chassis.errors import InvalidState
from chassis.ids import new_id
from services.governance.domain import proposals as rules
from services.governance.domain.typed_data import Ballot, Choice
from services.governance.errors import NoVotingPower, StaleBallot
from services.governance.repository import power, proposals, votes


@dataclass(frozen=True, slots=True)
class BallotTerms:
    """What a voter's next ballot on a proposal is bound to."""

    proposal_id: UUID
    actions_hash: str
    last_nonce: int

    def ballot(self, *, voter: str, choice: Choice, reason: str, nonce: int | None = None) -> Ballot:
        """The ballot with these terms, by default with the next nonce."""
        nonce = self.last_nonce + 1 if nonce is None else nonce
        return Ballot(self.proposal_id, self.actions_hash, voter, choice, nonce, reason)


async def read_ballot_terms(session: Session, *, proposal_id: UUID, voter: str) -> BallotTerms:
    """What the next ballot of `voter` must name. Raises: ProposalNotFound."""
    row = await proposals.get_proposal(session, proposal_id)
    return BallotTerms(row.id, row.actions_hash, await votes.last_nonce(session, row.id, voter))


async def record_vote(session: Session, *, ballot: Ballot, signature: str) -> tuple[Any, bool]:
    """Count a ballot whose signature was checked, in place of the voter's earlier one; its row, and whether it is
    the voter's first.

    The weight is computed once, from the snapshot, and stored with the vote.

    Raises: ProposalNotFound; InvalidState before the ballot opens and from its close on, late worker or not;
    NoVotingPower; StaleBallot when a ballot with this nonce or a higher one is counted.
    """
    proposal = await proposals.lock_for_ballot(session, ballot.proposal_id)
    now = await proposals.database_now(session)
    if not rules.takes_ballots(proposal.status, opens_at=proposal.opens_at, closes_at=proposal.closes_at, now=now):
        raise InvalidState("The ballot is not open")
    weight_wei = await power.votes_at(session, ballot.voter, proposal.snapshot_block)
    if weight_wei == 0:
        raise NoVotingPower("This address had no votes at the snapshot; votes count once delegated")
    row = await votes.upsert_vote(
        session,
        {
            "id": new_id(),
            "proposal_id": ballot.proposal_id,
            "voter": ballot.voter,
            "choice": ballot.choice,
            "reason": ballot.reason,
            "nonce": ballot.nonce,
            "signature": signature,
            "weight_wei": weight_wei,
            "created_at": now,
            "updated_at": now,
        },
    )
    if row is None:
        raise StaleBallot("A ballot with this nonce or a higher one is counted; ask for a new one to sign")
    return row, row.is_new


async def list_votes(
    session: Session, *, proposal_id: UUID, limit: int, after_id: UUID | None, voter: str | None
) -> Sequence[Any]:
    """The counted ballots of a proposal. Raises: ProposalNotFound."""
    await proposals.get_proposal(session, proposal_id)
    return await votes.list_votes(session, proposal_id=proposal_id, limit=limit, after_id=after_id, voter=voter)

"""Use cases of delegations: a signed one taken for the relay, and what became of it on chain."""

from typing import Any
from uuid import UUID

from chassis.chain import intents
from chassis.chain.errors import LaneFull, LaneHalted, LaneNotOpen
from chassis.clock import utc_now
from chassis.db import Session
from chassis.ids import new_id
from services.governance.domain.typed_data import Delegation
from services.governance.errors import DelegationNonceUsed, RelayBusy, RelayUnavailable
from services.governance.models import RELAY
from services.governance.repository import delegations as repository

GAS_LIMIT = 300_000
"""A first delegation to a new delegatee costs about half of this."""


async def find_delegation(session: Session, *, delegator: str, delegation: Delegation) -> Any | None:
    """The row of this very delegation if it was taken before, None if its nonce is free.

    Raises: DelegationNonceUsed when another delegation has the nonce.
    """
    row = await repository.find_live(session, delegator, delegation.nonce)
    if row is not None and (row.delegatee, row.expiry) != (delegation.delegatee, delegation.expiry):
        raise DelegationNonceUsed("Another delegation with this nonce is on its way")
    return row


async def take_delegation(
    session: Session,
    *,
    delegator: str,
    delegation: Delegation,
    signature: str,
    calldata: bytes,
    expected_log: tuple[str, str],
) -> Any:
    """Give a checked delegation its place in the relay's lane, once; its row.

    `expected_log` is the token's address and the topic of DelegateChanged: without that log nothing was delegated.

    Raises: DelegationNonceUsed; RelayUnavailable, RelayBusy when the lane takes nothing now.
    """
    await repository.lock_delegator(session, delegator)
    known = await find_delegation(session, delegator=delegator, delegation=delegation)
    if known is not None:
        return known
    delegation_id = new_id()
    intent = await _reserve(session, delegation_id, calldata, expected_log)
    return await repository.insert_delegation(
        session,
        {
            "id": delegation_id,
            "delegator": delegator,
            "delegatee": delegation.delegatee,
            "nonce": delegation.nonce,
            "expiry": delegation.expiry,
            "signature": signature,
            "intent_id": intent.id,
            "status": "submitted",
            "created_at": utc_now(),
        },
    )


async def read_signed(session: Session, delegation_id: UUID) -> Any | None:
    """The delegation's row once its chain tx has a hash, which is kept then; None before."""
    row = await repository.get_delegation(session, delegation_id)
    if row.chain_tx_hash is not None:
        return row
    first = await repository.find_first_hash(session, row.intent_id)
    if first is None:
        return None
    await repository.set_hash(session, delegation_id, first)
    return await repository.get_delegation(session, delegation_id)


async def note_confirmed(session: Session, intent_id: UUID) -> None:
    """The delegation is on chain, as deep as we ask for."""
    await repository.set_by_intent(session, intent_id, status="confirmed", failure=None)


async def note_unconfirmed(session: Session, intent_id: UUID) -> None:
    """Its block left the chain; it is on its way again."""
    await repository.set_by_intent(session, intent_id, status="submitted", failure=None)


async def note_failed(session: Session, intent_id: UUID, reason: str) -> None:
    """The token refused it; the delegator may send another with the same nonce."""
    await repository.set_by_intent(session, intent_id, status="failed", failure=reason)


async def catch_up_lane(session: Session, chain_nonce: int) -> None:
    """Go on behind what the chain has seen of the relay's key: this database was restored and has forgotten some.

    Nothing can be done twice, since the token takes each delegation's nonce once.
    """
    await intents.advance_lane(session, RELAY, chain_nonce)


async def _reserve(
    session: Session, delegation_id: UUID, calldata: bytes, expected_log: tuple[str, str]
) -> intents.Intent:
    try:
        return await intents.reserve(
            session,
            lane=RELAY,
            to=expected_log[0],
            calldata=calldata,
            gas_limit=GAS_LIMIT,
            reference=str(delegation_id),
            expected_log=expected_log,
        )
    except LaneFull as error:
        raise RelayBusy("Many delegations are on their way; try again", headers={"Retry-After": "1"}) from error
    except (LaneNotOpen, LaneHalted) as error:
        raise RelayUnavailable("The relay cannot send now") from error

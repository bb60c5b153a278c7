"""What other services of this deployment ask; the gateway does not route it."""

from typing import Annotated
from uuid import UUID

from fastapi import Query

from chassis.errors import NotFound
from chassis.signatures import AddressInvalid, parse_address
from chassis.web import SessionDep, new_router
from services.identity.schemas import (
    AttributionRead,
    MemberWalletsRead,
    RevocationRead,
    RevocationsRead,
    WalletOwnerRead,
)
from services.identity.service import members as members_service
from services.identity.service import sessions as sessions_service
from services.identity.service import wallets as wallets_service

router = new_router("internal")


@router.get("/members/{member_id}/attribution", operation_id="internal_get_attribution", response_model=AttributionRead)
async def get_attribution(member_id: UUID, session: SessionDep) -> AttributionRead:
    """Roles and connector; attribution is set once, so the answer is final."""
    return AttributionRead.model_validate(await members_service.get_member(session, member_id=member_id))


@router.get("/members/{member_id}/wallets", operation_id="internal_get_wallets", response_model=MemberWalletsRead)
async def get_member_wallets(member_id: UUID, session: SessionDep) -> MemberWalletsRead:
    """Linked addresses, the one that is paid now, and one that is to be."""
    found = await wallets_service.get_member_wallets(session, member_id=member_id)
    return MemberWalletsRead(
        member_id=found.member_id,
        addresses=found.addresses,
        payout_wallet=found.payout.address if found.payout else None,
        payout_effective_at=found.payout.effective_at if found.payout else None,
        pending_payout_wallet=found.pending.address if found.pending else None,
        pending_effective_at=found.pending.effective_at if found.pending else None,
    )


@router.get("/wallets/{address}", operation_id="internal_get_wallet_owner", response_model=WalletOwnerRead)
async def get_wallet_owner(address: str, session: SessionDep) -> WalletOwnerRead:
    """Whose the address is."""
    try:
        checked = parse_address(address)
    except AddressInvalid as error:
        raise NotFound("Not an address") from error
    return WalletOwnerRead(address=checked, member_id=await wallets_service.get_owner(session, address=checked))


@router.get("/revocations", operation_id="internal_list_revocations", response_model=RevocationsRead)
async def list_revocations(session: SessionDep, after: Annotated[int, Query(ge=0, le=2**62)] = 0) -> RevocationsRead:
    """Ended sessions, suspended and reinstated members since the cursor; nothing is ever put in before it."""
    rows, cursor = await sessions_service.list_revocations(session, after=after)
    return RevocationsRead(items=[RevocationRead.model_validate(row) for row in rows], next=str(cursor))

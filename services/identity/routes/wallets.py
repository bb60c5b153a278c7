"""Wallets: challenges to sign, linked addresses, and which one is paid."""

from typing import Any
from uuid import UUID

from fastapi import Response

from chassis.auth import CallerDep, MaybeCallerDep
from chassis.errors import Unauthorized
from chassis.web import (
    Page,
    Paging,
    SessionDep,
    created,
    idempotency_ignored,
    new_router,
    page_of,
    problems,
)
from services.identity.domain.wallets import Challenge
from services.identity.routes.resources import ResourcesDep, SettingsDep, recover_signer
from services.identity.schemas import (
    ChallengeCreate,
    ChallengeRead,
    PayoutWalletRead,
    PayoutWalletUpdate,
    SignedMessage,
    WalletRead,
)
from services.identity.service import wallets as service

router = new_router("wallets", prefix="/v1")
_TOKEN_OR_NOT: dict[str, Any] = {"security": [{}, {"bearer": []}]}


def _challenge(challenge: Challenge) -> ChallengeRead:
    return ChallengeRead(
        id=challenge.id,
        status="used" if challenge.consumed_at else "open",
        purpose=challenge.purpose,
        address=challenge.address,
        message=challenge.message,
        expires_at=challenge.expires_at,
        created_at=challenge.created_at,
    )


@router.post(
    "/wallet-challenges",
    operation_id="create_wallet_challenge",
    summary="Get a message to sign with a wallet",
    status_code=201,
    response_model=ChallengeRead,
    responses=problems(401, 413, 415),
    openapi_extra=_TOKEN_OR_NOT,
)
@idempotency_ignored
async def create_wallet_challenge(
    body: ChallengeCreate, caller: MaybeCallerDep, response: Response, session: SessionDep, settings: SettingsDep
) -> ChallengeRead:
    """EIP-4361, good once and for 300 seconds. `sign_in` is for anybody, `link` needs a token."""
    if body.purpose == "link" and caller is None:
        raise Unauthorized("Log in first: a wallet is linked to the member who asks")
    challenge = await service.create_challenge(
        session,
        address=body.address,
        purpose=body.purpose,
        member_id=caller.member_id if caller and body.purpose == "link" else None,
        origin=settings.public_url,
        chain_id=settings.chain_id,
    )
    created(response, f"/v1/wallet-challenges/{challenge.id}")
    return _challenge(challenge)


@router.get(
    "/wallet-challenges/{challenge_id}",
    operation_id="get_wallet_challenge",
    summary="Read a challenge again",
    response_model=ChallengeRead,
    responses=problems(401, 404),
    openapi_extra=_TOKEN_OR_NOT,
)
async def get_wallet_challenge(challenge_id: UUID, caller: MaybeCallerDep, session: SessionDep) -> ChallengeRead:
    """One for linking shows itself only to the member who asked for it."""
    member_id = caller.member_id if caller else None
    return _challenge(await service.get_challenge(session, challenge_id=challenge_id, member_id=member_id))


@router.post(
    "/members/me/wallets",
    operation_id="link_wallet",
    summary="Link a wallet",
    status_code=201,
    response_model=WalletRead,
    responses=problems(401, 409, 413, 415),
)
async def link_wallet(
    body: SignedMessage, caller: CallerDep, response: Response, session: SessionDep, resources: ResourcesDep
) -> WalletRead:
    """`message` is that of your `link` challenge, unchanged; `signature` is the wallet's (EIP-191)."""
    signer = await recover_signer(resources, body.message, body.signature)
    wallet = await service.link_wallet(session, member_id=caller.member_id, message=body.message, signer=signer)
    created(response, f"/v1/members/me/wallets/{wallet.id}")
    return WalletRead.model_validate(wallet)


@router.get(
    "/members/me/wallets",
    operation_id="list_wallets",
    summary="List your wallets",
    response_model=Page[WalletRead],
    responses=problems(401),
)
async def list_wallets(caller: CallerDep, paging: Paging, session: SessionDep) -> Page[WalletRead]:
    """Oldest first."""
    rows = await service.list_wallets(
        session, member_id=caller.member_id, after=paging.after_id(), limit=paging.limit + 1
    )
    items, next_cursor = page_of(rows, paging, key=lambda row: (row.id,))
    return Page(items=[WalletRead.model_validate(row) for row in items], next_cursor=next_cursor)


@router.get(
    "/members/me/wallets/{wallet_id}",
    operation_id="get_wallet",
    summary="Read one of your wallets",
    response_model=WalletRead,
    responses=problems(401, 404),
)
async def get_wallet(wallet_id: UUID, caller: CallerDep, session: SessionDep) -> WalletRead:
    """A wallet of yours."""
    return WalletRead.model_validate(await service.get_wallet(session, member_id=caller.member_id, wallet_id=wallet_id))


@router.get(
    "/members/me/payout-wallet",
    operation_id="get_payout_wallet",
    summary="Read which wallet is paid",
    response_model=PayoutWalletRead,
    responses=problems(401, 404),
)
async def get_payout_wallet(caller: CallerDep, session: SessionDep) -> PayoutWalletRead:
    """The choice that is in effect now."""
    return PayoutWalletRead.model_validate(await service.get_payout_wallet(session, member_id=caller.member_id))


@router.put(
    "/members/me/payout-wallet",
    operation_id="set_payout_wallet",
    summary="Choose which wallet is paid",
    response_model=PayoutWalletRead,
    responses=problems(401, 413, 415),
)
async def set_payout_wallet(
    body: PayoutWalletUpdate, caller: CallerDep, session: SessionDep, settings: SettingsDep
) -> PayoutWalletRead:
    """The first choice takes effect at once; a change waits, so that it can be noticed and undone."""
    payout = await service.choose_payout_wallet(
        session, member_id=caller.member_id, address=body.address, delay_seconds=settings.payout_delay_seconds
    )
    return PayoutWalletRead.model_validate(payout)

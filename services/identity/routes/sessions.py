"""Sessions: log in by password or wallet, refresh, log out; and the keys that verify access tokens."""

from fastapi import Depends, Response

from chassis.auth import CallerDep
from chassis.web import ContextDep, SessionDep, created, idempotency_ignored, new_router, problems
from services.identity.domain.passwords import verify_password
from services.identity.domain.tokens import jwks
from services.identity.errors import CredentialsInvalid, RefreshTokenInvalid
from services.identity.routes.resources import (
    ResourcesDep,
    RulesDep,
    limit_log_ins,
    recover_signer,
)
from services.identity.schemas import (
    JwksRead,
    SessionCreate,
    SessionInfo,
    SessionRead,
    SessionRefresh,
    SignedMessage,
)
from services.identity.service import keys as keys_service
from services.identity.service import sessions as service
from services.identity.service.sessions import OpenSession

router = new_router("sessions")
JWKS_MAX_AGE_SECONDS = 300


def _answer(response: Response, opened: OpenSession) -> SessionRead:
    created(response, "/v1/sessions/current")
    response.headers["Cache-Control"] = "no-store"
    return SessionRead.model_validate(opened)


@router.post(
    "/v1/sessions",
    operation_id="create_session",
    summary="Log in with e-mail address and password",
    status_code=201,
    response_model=SessionRead,
    responses=problems(401, 403, 413, 415, 429),
    dependencies=[Depends(limit_log_ins)],
)
@idempotency_ignored
async def create_session(  # noqa: PLR0917 - FastAPI fills them by name
    body: SessionCreate,
    response: Response,
    context: ContextDep,
    session: SessionDep,
    resources: ResourcesDep,
    rules: RulesDep,
) -> SessionRead:
    """Answers with an access token and a refresh token. A wrong address and a wrong password look the same."""
    async with context.database.unit_of_work() as lookup:
        known = await service.find_credentials(lookup, email=body.email)
    password_hash = known.password_hash if known else None
    if not await resources.run(verify_password, body.password, password_hash) or known is None:
        raise CredentialsInvalid
    opened = await service.open_session(session, member_id=known.id, password_hash=known.password_hash, rules=rules)
    return _answer(response, opened)


@router.post(
    "/v1/sessions/refresh",
    operation_id="refresh_session",
    summary="Get new tokens with a refresh token",
    status_code=201,
    response_model=SessionRead,
    responses=problems(401, 413, 415),
)
@idempotency_ignored
async def refresh_session(
    body: SessionRefresh, response: Response, context: ContextDep, rules: RulesDep
) -> SessionRead:
    """A refresh token works once. Using one twice ends the session: one of its two holders stole it."""
    # a unit of work of its own: the end of the session must be committed although the answer is 401
    async with context.database.unit_of_work() as session:
        opened = await service.refresh_session(session, refresh_token=body.refresh_token, rules=rules)
    if opened is None:
        raise RefreshTokenInvalid("This refresh token was used before; the session has been ended")
    return _answer(response, opened)


@router.post(
    "/v1/sessions/wallet",
    operation_id="create_wallet_session",
    summary="Log in with a linked wallet",
    status_code=201,
    response_model=SessionRead,
    responses=problems(401, 403, 413, 415, 429),
    dependencies=[Depends(limit_log_ins)],
)
@idempotency_ignored
async def create_wallet_session(
    body: SignedMessage,
    response: Response,
    session: SessionDep,
    resources: ResourcesDep,
    rules: RulesDep,
) -> SessionRead:
    """`message` is that of a `sign_in` challenge, unchanged; `signature` is the wallet's (EIP-191)."""
    signer = await recover_signer(resources, body.message, body.signature)
    opened = await service.open_wallet_session(session, message=body.message, signer=signer, rules=rules)
    return _answer(response, opened)


@router.get(
    "/v1/sessions/current",
    operation_id="get_current_session",
    summary="Read the session of your access token",
    response_model=SessionInfo,
    responses=problems(401, 404),
)
async def get_current_session(caller: CallerDep, session: SessionDep) -> SessionInfo:
    """Until when it can be refreshed."""
    return SessionInfo.model_validate(await service.get_session(session, session_id=caller.session_id))


@router.delete(
    "/v1/sessions/current",
    operation_id="end_current_session",
    summary="Log out",
    status_code=204,
    response_model=None,
    responses=problems(401),
)
async def end_current_session(caller: CallerDep, session: SessionDep) -> None:
    """The session's tokens stop working everywhere within 5 seconds."""
    await service.end_session(session, session_id=caller.session_id, member_id=caller.member_id)


@router.get(
    "/.well-known/jwks.json",
    operation_id="get_jwks",
    summary="The keys that verify access tokens",
    response_model=JwksRead,
    responses=problems(),
)
async def get_jwks(response: Response, session: SessionDep, rules: RulesDep) -> JwksRead:
    """Those that signed, sign, and will sign next (RFC 7517)."""
    response.headers["Cache-Control"] = f"public, max-age={JWKS_MAX_AGE_SECONDS}"
    keys = await keys_service.published_keys(session, rules=rules)
    return JwksRead.model_validate(jwks(keys))

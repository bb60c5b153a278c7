"""Endpoints of voting power and of delegations."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Query

from chassis.auth import MaybeCallerDep
from chassis.clock import Timestamp
from chassis.web import ContextDep, SessionDep, new_router, problems
from services.governance.chain.resources import Resources
from services.governance.domain.typed_data import Delegation, delegation_digest, delegation_json
from services.governance.errors import RelayUnavailable
from services.governance.schemas.fields import Address
from services.governance.schemas.power import DelegationCreate, DelegationRead, VotingPowerRead
from services.governance.schemas.votes import TypedData
from services.governance.service import delegations as service
from services.governance.service import power
from services.governance.settings import GovernanceSettings

router = new_router("governance")

LOOK_AGAIN_SECONDS = 0.05


@router.get(
    "/v1/voting-power/{address}",
    operation_id="get_voting_power",
    summary="The votes of an address at a past moment",
    response_model=VotingPowerRead,
    responses=problems(404),
)
async def get_voting_power(
    address: Annotated[Address, Path()],
    session: SessionDep,
    at: Annotated[
        Timestamp | None, Query(description="Chain time; by default just before the newest indexed block")
    ] = None,
) -> VotingPowerRead:
    """From our own index of the token's logs; votes count once they are delegated."""
    return VotingPowerRead.model_validate(await power.read_voting_power(session, address=address, at=at))


@router.get(
    "/v1/delegations/typed-data",
    operation_id="get_delegation_typed_data",
    summary="The delegation to sign",
    response_model=TypedData,
    responses=problems(),
)
async def get_delegation_typed_data(
    delegator: Annotated[Address, Query()], delegatee: Annotated[Address, Query()], context: ContextDep
) -> TypedData:
    """The complete JSON for eth_signTypedData_v4, with the delegator's next nonce. Source: EIP-712, ERC-5805."""
    resources: Resources = context.resources
    domain = await resources.contracts.token_domain()
    delegation = await resources.contracts.next_delegation(delegator=delegator, delegatee=delegatee)
    return TypedData.model_validate(delegation_json(domain, delegation))


@router.post(
    "/v1/delegations",
    operation_id="create_delegation",
    summary="Relay a signed delegation",
    status_code=202,
    response_model=DelegationRead,
    responses=problems(401, 403, 409, 429),
)
async def create_delegation(body: DelegationCreate, _: MaybeCallerDep, context: ContextDep) -> DelegationRead:
    """The network pays the gas; the signature is the authority. Sent twice, the same delegation has the same hash."""
    resources: Resources = context.resources
    delegation = Delegation(body.delegatee, body.nonce, body.expiry)
    digest = delegation_digest(await resources.contracts.token_domain(), delegation)
    await resources.signatures.require(digest, body.signature, signer=body.delegator)
    taken = await _take(context, resources, body, delegation)
    return DelegationRead.model_validate(await _signed(context, taken.id))


async def _take(context: ContextDep, resources: Resources, body: DelegationCreate, delegation: Delegation) -> Any:
    """The delegation's row, made unless it is there. The node is asked between two units of work."""
    async with context.database.unit_of_work() as before:
        known = await service.find_delegation(before, delegator=body.delegator, delegation=delegation)
    if known is not None:
        return known
    settings: GovernanceSettings = context.settings
    if resources.key is None and settings.role != "api":  # the key of an api's deployment is with its worker
        raise RelayUnavailable("This deployment has no relay key")
    contracts = resources.contracts
    calldata = contracts.delegation_call(delegation, bytes.fromhex(body.signature[2:]))
    await contracts.check_delegation(
        delegator=body.delegator,
        delegation=delegation,
        calldata=calldata,
        min_balance_wei=settings.relay_min_balance_wei,
    )
    async with context.database.unit_of_work() as session:
        return await service.take_delegation(
            session,
            delegator=body.delegator,
            delegation=delegation,
            signature=body.signature.lower(),
            calldata=calldata,
            expected_log=(contracts.btrst.address, contracts.btrst.topic("DelegateChanged")),
        )


async def _signed(context: ContextDep, delegation_id: UUID) -> Any:
    """The row once the relay's worker, wherever it runs, has signed its chain tx."""
    settings: GovernanceSettings = context.settings
    try:
        async with asyncio.timeout(settings.relay_wait_seconds):
            while True:
                async with context.database.unit_of_work() as session:
                    row = await service.read_signed(session, delegation_id)
                if row is not None:
                    return row
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
    except TimeoutError as error:
        raise RelayUnavailable("The delegation is taken but not signed yet; send it again to learn its hash") from error

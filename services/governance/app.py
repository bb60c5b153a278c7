"""The governance service put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from chassis.app import Context, Service, create_app
from chassis.chain.intents import lane_status
from services.governance import workers
from services.governance.chain.resources import Resources, open_resources
from services.governance.models import RELAY, metadata
from services.governance.routes import parameters, power, proposals, votes
from services.governance.settings import GovernanceSettings


@asynccontextmanager
async def _resources(context: Context) -> AsyncIterator[Resources]:
    settings: GovernanceSettings = context.settings
    async with open_resources(settings) as opened:
        opened.votes_indexer = workers.votes_indexer(context.database, opened.contracts, settings)
        opened.parameters_indexer = workers.parameters_indexer(context.database, opened.contracts, settings)
        opened.relay = workers.relay_manager(context.database, opened, settings)
        yield opened


async def _readiness(context: Context) -> dict[str, str]:
    resources: Resources = context.resources
    if resources.key is None and context.base.role != "api":
        return {"relay": "no key"}
    async with context.database.unit_of_work() as session:
        status = await lane_status(session, RELAY)
    trouble = "not open yet" if status is None else status.halted or status.problem or status.alarm
    return {"relay": trouble or "ok"}


SERVICE = Service(
    name="governance",
    settings=GovernanceSettings,
    metadata=metadata,
    routers=[proposals.router, votes.router, parameters.router, power.router],
    workers=workers.WORKERS,
    resources=_resources,
    readiness=_readiness,
    summary="Proposals, signed votes, voting power, delegations and the parameters in force.",
    tags=[{"name": "governance", "description": "Proposals, votes, voting power, delegations, parameters"}],
)


def build() -> FastAPI:
    """The application, for `uvicorn services.governance.app:build --factory`."""
    return create_app(SERVICE)

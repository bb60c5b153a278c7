"""Composition of the identity service: `uvicorn services.identity.app:build --factory`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from chassis.app import Service, Worker, create_app
from chassis.context import Context
from chassis.retries import is_transient
from chassis.telemetry import log
from services.identity.models import metadata
from services.identity.routes import internal, members, sessions, wallets
from services.identity.routes.resources import Resources, open_resources
from services.identity.settings import IdentitySettings
from services.identity.workers import OwnTokenSource, ensure_admin, forget_old, rotate_keys


@asynccontextmanager
async def open_service(context: Context) -> AsyncIterator[Resources]:
    """The threads and limits; keys and the first administrator exist before the first request, if they can."""
    try:
        await rotate_keys(context)
        await ensure_admin(context)
    except Exception as error:
        if not is_transient(error):
            raise
        log.warning("database_unavailable_at_start", error=str(error)[:300])  # the workers try again
    resources = open_resources(context.settings)
    try:
        yield resources
    finally:
        resources.pool.shutdown(wait=False, cancel_futures=True)


SERVICE = Service(
    name="identity",
    settings=IdentitySettings,
    metadata=metadata,
    routers=[members.router, sessions.router, wallets.router],
    internal_routers=[internal.router],
    workers=[
        Worker("rotate_keys", rotate_keys, 60.0),
        Worker("ensure_admin", ensure_admin, 3_600.0),
        Worker("forget_old", forget_old, 60.0),
    ],
    resources=open_service,
    token_source=OwnTokenSource,
    summary="Members, sessions, wallets and referrals",
    tags=[
        {"name": "members", "description": "Who takes part, in which roles, and who brought whom"},
        {"name": "sessions", "description": "Logging in by password or wallet; access and refresh tokens"},
        {"name": "wallets", "description": "Addresses proved to be a member's, and which one is paid"},
    ],
)


def build() -> FastAPI:
    """The application, configured by the environment."""
    return create_app(SERVICE)

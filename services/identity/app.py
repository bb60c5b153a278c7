"""Composition of the identity service: `uvicorn services.identity.app:build --factory`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from chassis.app import Service, Worker, create_app
from chassis.context import Context
from chassis.notifications import Listener
from chassis.retries import is_transient
from chassis.telemetry import log
from services.identity.handlers import subscriptions
from services.identity.models import metadata
from services.identity.routes import internal, members, sessions, stream, wallets
from services.identity.routes.resources import Resources, open_resources
from services.identity.service.feed import FEED_CHANNEL
from services.identity.settings import IdentitySettings
from services.identity.workers import OwnTokenSource, ensure_admin, forget_feed, forget_old, rotate_keys


@asynccontextmanager
async def open_service(context: Context) -> AsyncIterator[Resources]:
    """Threads, limits and the bell of the streams; keys and the first administrator exist before the first request, if
    they can."""
    try:
        await rotate_keys(context)
        await ensure_admin(context)
    except Exception as error:
        if not is_transient(error):
            raise
        log.warning("database_unavailable_at_start", error=str(error)[:300])  # the workers try again
    resources = open_resources(context.settings)
    listener = Listener(
        context.base.database_url, FEED_CHANNEL, on_payload=resources.ring, on_gap=resources.streams.ring_all
    )
    if context.base.role != "worker":
        await listener.start()
    try:
        yield resources
    finally:
        await listener.stop()
        resources.pool.shutdown(wait=False, cancel_futures=True)


SERVICE = Service(
    name="identity",
    settings=IdentitySettings,
    metadata=metadata,
    routers=[members.router, sessions.router, wallets.router, stream.router],
    internal_routers=[internal.router],
    subscriptions=subscriptions,
    workers=[
        Worker("rotate_keys", rotate_keys, 60.0),
        Worker("ensure_admin", ensure_admin, 3_600.0),
        Worker("forget_old", forget_old, 60.0),
        Worker("forget_feed", forget_feed, 60.0),
    ],
    resources=open_service,
    token_source=OwnTokenSource,
    summary="Members, sessions, wallets and referrals",
    tags=[
        {"name": "members", "description": "Who takes part, in which roles, and who brought whom"},
        {"name": "sessions", "description": "Logging in by password or wallet; access and refresh tokens"},
        {"name": "stream", "description": "What concerns a member, told as it happens"},
        {"name": "wallets", "description": "Addresses proved to be a member's, and which one is paid"},
    ],
)


def build() -> FastAPI:
    """The application, configured by the environment."""
    return create_app(SERVICE)

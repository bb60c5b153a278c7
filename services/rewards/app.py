"""The composition of the rewards service."""

from typing import Final

from fastapi import FastAPI

from chassis.app import Service, create_app
from services.rewards.handlers import subscriptions
from services.rewards.models import metadata
from services.rewards.routes import router, token_router
from services.rewards.settings import RewardsSettings
from services.rewards.workers import WORKERS, open_resources, readiness

SERVICE: Final = Service(
    name="rewards",
    settings=RewardsSettings,
    metadata=metadata,
    routers=[router, token_router],
    subscriptions=subscriptions,
    workers=WORKERS,
    resources=open_resources,
    readiness=readiness,
    summary="Who earned what, why, and how it became BTRST.",
    tags=[
        {"name": "rewards", "description": "What members earned, traced to the wei."},
        {"name": "token", "description": "BTRST: supply, price, and the audit against the chain."},
    ],
)


def build() -> FastAPI:
    """The application; `uvicorn services.rewards.app:build --factory`."""
    return create_app(SERVICE)

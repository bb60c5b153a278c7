"""The composition of the jobs service."""

from typing import Final

from fastapi import FastAPI

from chassis.app import Service, create_app
from services.jobs.handlers import subscriptions
from services.jobs.models import metadata
from services.jobs.routes import bids, engagements, invoices, jobs, offers, transactions
from services.jobs.settings import JobsSettings

SERVICE: Final = Service(
    name="jobs",
    settings=JobsSettings,
    metadata=metadata,
    routers=[jobs.router, bids.router, offers.router, engagements.router, invoices.router, transactions.router],
    internal_routers=[transactions.internal_router],
    subscriptions=subscriptions,
    summary="From a posted job to a paid invoice, and back by refund.",
    tags=[
        {"name": "jobs", "description": "Work that clients offer."},
        {"name": "bids", "description": "What a Talent would do a job for."},
        {"name": "offers", "description": "A client's answer to a bid."},
        {"name": "engagements", "description": "Client and Talent working together."},
        {"name": "invoices", "description": "What a Talent asks for, and its payment."},
        {"name": "transactions", "description": "Settled payments and their refunds."},
    ],
)


def build() -> FastAPI:
    """The application; `uvicorn services.jobs.app:build --factory`."""
    return create_app(SERVICE)

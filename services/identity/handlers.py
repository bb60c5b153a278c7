"""What identity does about events: each goes into the feeds of the members it concerns."""

from chassis.bus import Subscriptions
from chassis.db import Session
from chassis.envelope import Envelope, Event
from events.audience import AUDIENCES
from services.identity.service.feed import record_event

subscriptions = Subscriptions("identity")


async def on_event(session: Session, event: Event, envelope: Envelope) -> None:
    """Record it for whom it concerns."""
    await record_event(session, event=event, envelope=envelope)


for _event in AUDIENCES:
    subscriptions.on(_event)(on_event)

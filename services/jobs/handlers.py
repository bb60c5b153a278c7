"""What jobs does about other services' events."""

from chassis.bus import Subscriptions
from chassis.db import Session
from chassis.envelope import Envelope
from events.governance import ParameterChanged
from services.jobs.service.parameters import record_parameters

subscriptions = Subscriptions("jobs")


@subscriptions.on(ParameterChanged)
async def on_parameter_changed(session: Session, event: ParameterChanged, envelope: Envelope) -> None:  # noqa: ARG001
    """A new version of the network's parameters: invoices follow it from `effective_at` on."""
    await record_parameters(session, version=event.version, values=event.parameters, effective_at=event.effective_at)

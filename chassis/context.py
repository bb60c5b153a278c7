"""What a running service has at hand; built once at start, passed to workers and endpoints."""

from dataclasses import dataclass, field
from typing import Any

from chassis.auth import Authenticator
from chassis.bus import Bus
from chassis.consumer import Consumer
from chassis.db import Database
from chassis.http import HttpClient
from chassis.lifecycle import Lifecycle
from chassis.settings import ServiceSettings


@dataclass(slots=True)
class Context:
    """A running service. `resources` is what the service itself opened at start (its chain client, say)."""

    service: str
    settings: Any
    database: Database
    bus: Bus | None
    """None in a process that only answers requests: its events wait in the outbox for the worker."""

    http: HttpClient
    auth: Authenticator
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    resources: Any = None
    consumer: Consumer | None = None

    @property
    def base(self) -> ServiceSettings:
        """The settings every service has, typed."""
        settings: ServiceSettings = self.settings
        return settings

"""The language of events: `Event` is what happened, `Envelope` is how it travels (CloudEvents 1.0)."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from chassis.clock import Timestamp


class Event(BaseModel):
    """The data of one event. Subclasses live in `events/`, are named in the past tense and are never changed
    but by additions.

    `type_` is the CloudEvents type (`jobs.transaction.completed.v1`); the topic is its first two parts, the
    source its first. Unknown fields are ignored, since a newer producer may add some.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    type_: ClassVar[str]
    key_field: ClassVar[str]
    """Which field is the message key, and so the unit of order."""

    @classmethod
    def topic(cls) -> str:
        """`jobs.transaction` for `jobs.transaction.completed.v1`."""
        return ".".join(cls.type_.split(".")[:2])

    @classmethod
    def source(cls) -> str:
        """`/services/jobs` for `jobs.transaction.completed.v1`."""
        return f"/services/{cls.type_.split('.')[0]}"

    def key(self) -> str:
        """The message key: the id of the aggregate the event is about."""
        return str(getattr(self, self.key_field))


class Envelope(BaseModel):
    """CloudEvents 1.0 in structured JSON, with the extensions `sequence` and `traceparent`.

    Source: CloudEvents specification 1.0.2, its JSON format, and its sequence and distributed-tracing extensions.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: Literal["1.0"] = "1.0"
    id: UUID
    source: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    type: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    subject: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    time: Timestamp
    datacontenttype: Literal["application/json"] = "application/json"
    sequence: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,18}$")]
    """1, 2, 3 … for each key, without a gap."""

    traceparent: str | None = None
    data: dict[str, Any] = Field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The bytes that go on the bus."""
        return self.model_dump_json(exclude_none=True).encode()


CONTENT_TYPE = "application/cloudevents+json"


def wrap(event: Event, *, event_id: UUID, sequence: int, time: datetime, traceparent: str | None) -> Envelope:
    """`event` in its envelope, as the `sequence`-th of its key."""
    return Envelope(
        id=event_id,
        source=event.source(),
        type=event.type_,
        subject=event.key(),
        time=time,
        sequence=str(sequence),
        traceparent=traceparent,
        data=event.model_dump(mode="json"),
    )

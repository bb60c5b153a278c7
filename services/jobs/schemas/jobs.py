"""Bodies of jobs."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from chassis.clock import Timestamp
from chassis.money import AmountCents
from chassis.web import StrictModel
from services.jobs.schemas.fields import Currency, JobKind, LongText, Resource, Skill, Title

JobState = Literal["draft", "open", "closed"]

_EXAMPLE: dict[str, Any] = {
    "title": "Solidity engineer for a vesting contract",
    "description": "Write and test a vesting contract with cliff and revocation.",
    "skills": ["solidity", "foundry"],
    "kind": "hourly",
    "rate_min_cents": 8_000,
    "rate_max_cents": 12_000,
}


class JobCreate(StrictModel):
    """A job to post."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    title: Title
    description: LongText
    skills: Annotated[list[Skill], Field(max_length=20)]
    kind: JobKind
    rate_min_cents: AmountCents
    rate_max_cents: AmountCents
    currency: Currency = "USD"


class JobUpdate(StrictModel):
    """What to change about a job: the fields that are given. The factories only keep the defaults, which are never
    used, out of the schema."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"rate_max_cents": 15_000}]})

    title: Title = Field(default_factory=str)
    description: LongText = Field(default_factory=str)
    skills: list[Skill] = Field(default_factory=list, max_length=20)
    kind: JobKind = Field(default_factory=lambda: "hourly")
    rate_min_cents: AmountCents = Field(default_factory=int)
    rate_max_cents: AmountCents = Field(default_factory=int)

    def changes(self) -> dict[str, Any]:
        """The fields that were sent."""
        return self.model_dump(exclude_unset=True)


class JobRead(Resource):
    """A job."""

    updated_at: Timestamp
    client_id: UUID
    title: str
    description: str
    skills: list[str]
    kind: JobKind
    rate_min_cents: int
    rate_max_cents: int
    currency: Currency
    status: JobState
    opened_at: Timestamp | None
    closed_at: Timestamp | None

"""The kinds of fields that bodies of jobs are made of."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BeforeValidator, Field, StringConstraints

from chassis.clock import Timestamp
from chassis.money import MAX_CENTS
from chassis.web import ReadModel

Currency = Literal["USD"]
JobKind = Literal["hourly", "fixed"]

Title = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"\S")]
LongText = Annotated[str, StringConstraints(min_length=1, max_length=20_000, pattern=r"\S")]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"\S")]
Skill = Annotated[str, StringConstraints(min_length=1, max_length=50, pattern=r"^[^,]*[^,\s][^,]*$")]
"""A skill has no comma, since commas separate skills in a search."""


def _ascii_digits(value: Any) -> Any:
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) <= 20):
        raise ValueError("digits are expected")
    return value


QueryCents = Annotated[int, Field(ge=0, le=MAX_CENTS), BeforeValidator(_ascii_digits)]
"""An amount in a query string."""


class Resource(ReadModel):
    """What every resource has."""

    id: UUID
    created_at: Timestamp


class PartiesResource(Resource):
    """A resource between a client and a Talent."""

    client_id: UUID
    talent_id: UUID

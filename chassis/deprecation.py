"""How a route goes: marked at its endpoint, told in the OpenAPI document, said by the gateway in every answer.

Source: RFC 9745 section 4 (a route cannot end before it is deprecated).
"""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from chassis.clock import Timestamp

E = TypeVar("E", bound=Callable[..., Any])

_REFERENCE = re.compile(r"(?:https://[a-z0-9.-]+(?::[0-9]{1,5})?)?/[A-Za-z0-9._~!$&'()*+,;=:@%/?#{}-]*", re.ASCII)


def _checked(text: str) -> str:
    if not _REFERENCE.fullmatch(text):
        raise ValueError("a path or an https:// URL is expected")
    return text


def _checked_page(text: str) -> str:
    if "{" in text or "}" in text:
        raise ValueError("a page has no parameters")
    return _checked(text)


class Deprecation(BaseModel):
    """Since when a route should not be called any more, and what comes then. The aliases are its words in OpenAPI."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    since: Timestamp = Field(alias="x-deprecated-at")
    sunset: Timestamp | None = Field(None, alias="x-sunset-at")
    """From when on it may be gone."""

    successor: Annotated[str, AfterValidator(_checked)] | None = Field(None, alias="x-successor")
    """What to call instead: a path as the document has it, or an URL."""

    page: Annotated[str, AfterValidator(_checked_page)] | None = Field(None, alias="x-deprecation-page")
    """Where people read about it."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.sunset is not None and self.sunset < self.since:
            raise ValueError("a route cannot end before it is deprecated")
        return self

    def describe(self) -> dict[str, Any]:
        """What an operation of the document says about it."""
        return {"deprecated": True, **self.model_dump(mode="json", by_alias=True, exclude_none=True)}

    @classmethod
    def of(cls, operation: Mapping[str, Any]) -> Self | None:
        """What an operation of a document says; None if it is not deprecated.

        Raises: ValueError when it is without saying since when, or says when but not that it is.
        """
        said = {word: operation[word] for word in _WORDS if word in operation}
        if not operation.get("deprecated"):
            if said:
                raise ValueError(f"{min(said)} means nothing without `deprecated: true`")
            return None
        return cls.model_validate(said)


_WORDS = tuple(field.alias for field in Deprecation.model_fields.values() if field.alias is not None)


def deprecated(
    *, since: str, sunset: str | None = None, successor: str | None = None, page: str | None = None
) -> Callable[[E], E]:
    """Mark an endpoint, below its router's decorator: its route goes. Moments are RFC 3339 text.

    Raises: ValueError at import when that is no deprecation (`Deprecation` tells the rules).
    """
    found = Deprecation.model_validate({"since": since, "sunset": sunset, "successor": successor, "page": page})

    def mark(endpoint: E) -> E:
        endpoint.__deprecation__ = found  # type: ignore[attr-defined]
        return endpoint

    return mark

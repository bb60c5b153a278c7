"""Time: aware UTC only, RFC 3339 with a Z outside."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, PlainSerializer, WithJsonSchema

_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)


def utc_now() -> datetime:
    """The current moment, aware, in UTC."""
    return datetime.now(UTC)


def to_rfc3339(moment: datetime) -> str:
    """`moment` as RFC 3339 text in UTC ending in Z, with microseconds when there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _parse(value: Any) -> Any:
    """Text in the form of RFC 3339 only: a bare number is no moment."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, str) and _RFC3339.fullmatch(value):
        return datetime.fromisoformat(value.upper())
    raise ValueError("a moment as in 2026-11-22T10:00:00Z is expected")


def _to_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:  # an offset that leads out of the years 1 to 9999
        raise ValueError("a moment within the years 1 to 9999 is expected") from error


Timestamp = Annotated[
    AwareDatetime,
    BeforeValidator(_parse),
    AfterValidator(_to_utc),
    PlainSerializer(to_rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A moment in a body or an event: aware, kept in UTC, written with a Z. Source: RFC 3339 (its form)."""

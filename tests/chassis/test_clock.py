"""Moments: the form of RFC 3339, kept in UTC."""

from datetime import UTC, datetime

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from chassis.clock import Timestamp

pytestmark = pytest.mark.unit


class Body(BaseModel):
    model_config = ConfigDict(strict=True)
    at: Timestamp


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
        ("2026-11-22t10:00:00z", "2026-11-22T10:00:00Z"),
        ("2026-11-22T10:00:00.25+02:00", "2026-11-22T08:00:00.250000Z"),
        ("2026-11-22T10:00:00.123456789-00:30", "2026-11-22T10:30:00.123456Z"),
    ],
)
def test_a_moment_is_kept_in_utc(text: str, written: str) -> None:
    body = Body.model_validate_json(f'{{"at": "{text}"}}')
    assert body.at.tzinfo is UTC
    assert body.model_dump(mode="json") == {"at": written}


@pytest.mark.parametrize(
    "json",
    [
        "0.5",
        "1763805600",
        "null",
        '"0.5"',
        '"2026-11-22"',
        '"2026-11-22T10:00:00"',
        '"2026-11-22 10:00:00Z"',
        '"2026-13-22T10:00:00Z"',
        '"2026-11-22T10:00:60Z"',
        '"0001-01-01T00:00:00+01:00"',
        '"9999-12-31T23:59:59-01:00"',
        '"٢٠٢٦-11-22T10:00:00Z"',
    ],
)
def test_nothing_else_is_a_moment(json: str) -> None:
    with pytest.raises(ValidationError):
        Body.model_validate_json(f'{{"at": {json}}}')


def test_a_row_gives_its_moment_as_it_is() -> None:
    moment = datetime(2026, 11, 22, tzinfo=UTC)
    assert Body(at=moment).at == moment

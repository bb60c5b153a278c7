"""Identifiers: UUIDv7 (RFC 9562), so that ids sort by the time they were made."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A fresh UUIDv7. Source: RFC 9562 section 5.7."""
    return uuid7()

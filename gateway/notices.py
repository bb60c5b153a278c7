"""What every answer of a deprecated route says: since when, until when, and what to call instead.

Source: RFC 9745 (`Deprecation`: a structured date; the link to its page), RFC 8594 (`Sunset`), RFC 5829 section 3.1
(`successor-version`), RFC 9652 (`Link-Template`, for a successor with parameters), RFC 9110 section 5.6.7 (dates).
"""

from collections.abc import Mapping
from email.utils import format_datetime
from typing import Any

from chassis.deprecation import Deprecation
from gateway.fields import NO_FIELDS, Fields


def notice_of(operation: Mapping[str, Any]) -> Fields:
    """The header fields of an operation of the document; none if it is not deprecated. Raises: ValueError."""
    found = Deprecation.of(operation)
    if found is None:
        return NO_FIELDS
    pairs = [(b"deprecation", b"@%d" % found.since.timestamp())]
    if found.sunset is not None:
        pairs.append((b"sunset", format_datetime(found.sunset, usegmt=True).encode("ascii")))
    if found.page is not None:
        pairs.append((b"link", f'<{found.page}>; rel="deprecation"'.encode("ascii")))
    if found.successor is not None and "{" in found.successor:
        pairs.append((b"link-template", f'"{found.successor}"; rel="successor-version"'.encode("ascii")))
    elif found.successor is not None:
        pairs.append((b"link", f'<{found.successor}>; rel="successor-version"'.encode("ascii")))
    return Fields(*pairs)

"""Which other origins' pages may read our answers: an allow-list, none by default.

No answer ever says `Access-Control-Allow-Credentials`: who calls is told by the `Authorization` header, which a page
sets itself, and never by a cookie that a browser would add. What services say about the matter is dropped.

Source: the Fetch standard, section 3.3 (CORS protocol), with 3.3.5 on caches: an answer that depends on the origin says
so to every request, of a page or not.
"""

import re
from collections.abc import Sequence

from chassis.errors import Forbidden
from gateway.fields import Fields

ALLOWED_HEADERS = (
    "authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id, traceparent, tracestate, "
    "x-request-id"
)
"""What a page may send beside what it always may."""

EXPOSED_HEADERS = (
    "allow, deprecation, etag, link, link-template, location, ratelimit, ratelimit-policy, retry-after, sunset, "
    "traceparent, www-authenticate, x-request-id"
)
"""What a page may read beside what it always may."""

PAGES = frozenset({b"/openapi.json", b"/asyncapi.json", b"/healthz", b"/readyz"})
"""The gateway's own, for pages that describe or watch it."""

Headers = Sequence[tuple[bytes, bytes]]

_PAGE_METHODS = "GET, HEAD"
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_ORIGIN = re.compile(r"(https?)://([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::([1-9][0-9]{0,4}))?")
_VARY = (b"vary", b"Origin")


def origin_of(text: str) -> str:
    """An origin as browsers state it. Raises: ValueError for anything else, `*` and `null` among it.

    `*` would be no list, and `null` is what any sandboxed page says. Source: RFC 6454 section 6.2 (lower case, no
    default port, no path).
    """
    found = _ORIGIN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no origin: https://host or https://host:port, in lower case, and nothing after")
    if found.group(3) == _DEFAULT_PORTS[found.group(1)] or int(found.group(3) or 1) > 65_535:
        raise ValueError(f"{text!r} is no origin that a browser states: leave out the port {found.group(3)}")
    return text


class Cors:
    """The allow-list, and the header fields that follow from it."""

    def __init__(self, origins: Sequence[str], *, max_age_seconds: int) -> None:
        self._max_age = b"%d" % max_age_seconds
        self._stranger = Fields(_VARY)
        self._known = {origin.encode("ascii"): _fields_for(origin.encode("ascii")) for origin in origins}

    def fields_for(self, origin: bytes | None) -> Fields:
        """What every answer gets whose request came from `origin`, or from no page."""
        return self._known.get(origin, self._stranger) if origin is not None else self._stranger

    def preflight(self, headers: Headers, methods: str) -> list[tuple[bytes, bytes]]:
        """What the answer to a page gets that asks whether it may use `methods`, beside `fields_for` its origin.

        Raises: Forbidden when it may not.
        """
        if not any(name == b"origin" and value in self._known for name, value in headers):
            raise Forbidden("Pages of this origin may not call this API", code="origin_not_allowed")
        return [
            (b"access-control-allow-methods", methods.encode("ascii")),
            (b"access-control-allow-headers", ALLOWED_HEADERS.encode("ascii")),
            (b"access-control-max-age", self._max_age),
        ]


def is_preflight(method: str, headers: Headers) -> bool:
    """Whether a browser asks before it lets a page call. Source: the Fetch standard, section 3.3.2."""
    return method == "OPTIONS" and {b"origin", b"access-control-request-method"} <= {name for name, _ in headers}


def methods_of(page: bytes) -> str | None:
    """The methods of one of the gateway's own pages that others may read; None for any other path."""
    return _PAGE_METHODS if page in PAGES else None


def _fields_for(origin: bytes) -> Fields:
    return Fields(
        _VARY,
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", EXPOSED_HEADERS.encode("ascii")),
    )

"""What a request must look like to be let in, and which of its headers go on.

Source: RFC 9112 sections 3.2 and 6 (one Host, one framing), RFC 9110 section 7.6.1 (headers of one hop).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from chassis import tracing
from chassis.auth import bearer_of
from chassis.errors import BadRequest, DomainError, PayloadTooLarge
from chassis.telemetry import request_id_from
from chassis.tracing import Span, traceparent_from
from chassis.upstreams.messages import WRITTEN_HERE
from gateway.cors import Cors
from gateway.errors import HeadersTooLarge, TargetTooLong
from gateway.fields import NO_FIELDS, Fields
from gateway.settings import GatewaySettings

_SINGLE = frozenset(
    b"host content-length transfer-encoding authorization content-type idempotency-key origin x-request-id "
    b"traceparent".split()
)
"""Headers that may come once; all but the last two make the request ambiguous when they come twice."""

_OURS = frozenset(b"x-request-id traceparent forwarded via proxy-authorization x-real-ip x-client-ip".split())
_IDENTITY_PREFIXES = (
    b"x-forwarded-", b"x-user", b"x-member", b"x-role", b"x-auth", b"x-internal", b"x-btrst", b"x-original",
    b"x-rewrite", b"x-http-method", b"x-method", b"x-envoy-", b"x-ssl-", b"x-client-",
)  # fmt: skip
"""What inner servers of any kind take for facts about the caller; nobody outside may state them."""

_HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_DIGITS = re.compile(rb"[0-9]{1,15}")


@dataclass(slots=True)
class Inbound:
    """A request as the edge understood it. `fault` is why it is refused, if it is."""

    method: str
    target: bytes
    raw_path: bytes
    request_id: str
    traceparent: str
    host: bytes
    peer: str
    client: str
    """The address that limits are counted for."""

    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    """What goes on to the service."""

    authorization: bytes | None = None
    content_length: int | None = None
    has_body: bool = False
    close: bool = False
    """Whether the connection has to end with the answer."""

    knows_chunks: bool = True
    """Whether the client can read a body without a length: not in HTTP/1.0."""

    fault: DomainError | None = None
    span: Span | None = None
    extra: Fields = NO_FIELDS
    """What every answer to it gets."""

    @property
    def token(self) -> str | None:
        """The bearer token; empty when the header is of another form, None without the header."""
        if self.authorization is None:
            return None
        return bearer_of({"authorization": self.authorization.decode("latin-1")}) or ""


class Edge:
    """Reads requests by the operator's caps and the list of proxies to believe."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self.cors = (
            Cors(settings.cors_origins, max_age_seconds=settings.cors_seconds) if settings.cors_origins else None
        )
        self._trusted: Sequence[IPv4Network | IPv6Network] = settings.trusted_proxies

    def read(self, scope: Any) -> Inbound:
        """The request behind an ASGI scope, refused or not."""
        sorted_ = _sort_headers(scope["headers"])
        single, repeated = sorted_.single, sorted_.repeated
        peer = (scope.get("client") or ("", 0))[0]
        believed = bool(self._trusted) and self.trusts(peer)
        forwarded = _forwarded_of(scope["headers"]) if believed else {}
        client = self._client_of(peer, forwarded.get(b"x-forwarded-for", ""))
        query = scope["query_string"]
        raw_path = scope["raw_path"]
        caller = _text_of(b"traceparent", single, repeated)
        span = tracing.begin_request(scope["method"], scope["path"], caller) if tracing.is_on() else None
        inbound = Inbound(
            method=scope["method"],
            target=b"%b?%b" % (raw_path, query) if query else raw_path,
            raw_path=raw_path,
            request_id=request_id_from(_text_of(b"x-request-id", single, repeated)),
            traceparent=span.traceparent if span else traceparent_from(caller),
            span=span,
            host=single.get(b"host", b""),
            peer=peer,
            client=client,
            headers=sorted_.kept,
            authorization=single.get(b"authorization"),
            knows_chunks=scope["http_version"] != "1.0",
        )
        if self.cors is not None:
            inbound.extra = self.cors.fields_for(single.get(b"origin"))
        try:
            self._check(inbound, scope, sorted_)
        except DomainError as error:
            inbound.fault = error
            inbound.close = not isinstance(error, PayloadTooLarge)  # a reset could overtake the answer
        _add_ours(inbound, scope, forwarded)
        return inbound

    def _check(self, inbound: Inbound, scope: Any, headers: "_Headers") -> None:
        settings = self._settings
        if scope["http_version"] not in ("1.1", "1.0"):
            raise BadRequest("Only HTTP/1.1 and HTTP/1.0 are spoken here", code="invalid_version")
        if headers.size > settings.max_header_bytes or len(scope["headers"]) > settings.max_headers:
            raise HeadersTooLarge(f"Up to {settings.max_headers} headers and {settings.max_header_bytes} bytes")
        if len(inbound.target) > settings.max_target_bytes:
            raise TargetTooLong(f"Path and query may have {settings.max_target_bytes} bytes")
        if ambiguous := headers.repeated - {b"x-request-id", b"traceparent"}:
            raise BadRequest(f"{min(ambiguous).decode()} may come once", code="repeated_header")
        if not _HOST.fullmatch(inbound.host):
            raise BadRequest("Exactly one valid Host header is needed", code="invalid_host")
        _check_framing(inbound, scope["http_version"], headers.single)
        if inbound.content_length is not None and inbound.content_length > settings.max_body_bytes:
            raise PayloadTooLarge(f"A body may have {settings.max_body_bytes} bytes")
        if b"upgrade" in headers.hops:
            inbound.close = True
            if inbound.has_body:
                raise BadRequest("An upgrade cannot carry a body", code="invalid_framing")

    def trusts(self, address: str) -> bool:
        """Whether this is a proxy whose word is believed."""
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._trusted)

    def _client_of(self, peer: str, forwarded_for: str) -> str:
        """The last address in the chain of proxies that is not one of ours."""
        client = peer
        for hop in reversed([part.strip() for part in forwarded_for.split(",") if part.strip()]):
            if not self.trusts(client) or not _is_address(hop):
                break
            client = hop
        return client


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text


@dataclass(slots=True)
class _Headers:
    kept: list[tuple[bytes, bytes]] = field(default_factory=list)
    """What goes on."""

    single: dict[bytes, bytes] = field(default_factory=dict)
    repeated: set[bytes] = field(default_factory=set)
    """Those of the single ones that came more than once."""

    hops: set[bytes] = field(default_factory=set)
    """What `connection` names."""

    size: int = 0


def _sort_headers(headers: Sequence[tuple[bytes, bytes]]) -> _Headers:
    found = _Headers()
    kept, single, hops = found.kept, found.single, found.hops
    size = 0
    for pair in headers:
        name, value = pair
        size += len(name) + len(value) + 4
        if name in _SINGLE:
            if name in single:
                found.repeated.add(name)
            single[name] = value
        elif name == b"connection":
            hops.update(part.strip().lower() for part in value.split(b","))
        if name not in WRITTEN_HERE and name not in _OURS and not name.startswith(_IDENTITY_PREFIXES):
            kept.append(pair)
    if hops - {b"close", b"keep-alive"}:
        found.kept = [pair for pair in kept if pair[0] not in hops or pair[0] in _SINGLE]
    found.size = size
    return found


def _check_framing(inbound: Inbound, http_version: str, single: dict[bytes, bytes]) -> None:
    length, coding = single.get(b"content-length"), single.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise BadRequest("Content-Length and Transfer-Encoding exclude each other", code="invalid_framing")
        if coding.strip().lower() != b"chunked" or http_version != "1.1":
            raise BadRequest("The only Transfer-Encoding is chunked, in HTTP/1.1", code="invalid_framing")
        inbound.has_body = True
    elif length is not None:
        if not _DIGITS.fullmatch(length):
            raise BadRequest("Content-Length is not a number", code="invalid_framing")
        inbound.content_length = int(length)
        inbound.has_body = inbound.content_length > 0


def _text_of(name: bytes, single: dict[bytes, bytes], repeated: set[bytes]) -> str | None:
    value = single.get(name)
    return None if value is None or name in repeated else value.decode("latin-1")


def _forwarded_of(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, str]:
    found: dict[bytes, str] = {}
    for name, value in headers:
        if name in (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"):
            text = value.decode("latin-1").strip()
            found[name] = f"{found[name]}, {text}" if name in found else text
    return found


def _add_ours(inbound: Inbound, scope: Any, forwarded: dict[bytes, str]) -> None:
    before = forwarded.get(b"x-forwarded-for")
    chain = f"{before}, {inbound.peer}" if before else inbound.peer
    proto = forwarded.get(b"x-forwarded-proto", scope["scheme"])
    inbound.headers += (
        (b"x-request-id", inbound.request_id.encode("ascii")),
        (b"traceparent", inbound.traceparent.encode("ascii")),
        (b"x-forwarded-for", chain.encode("latin-1")),
        (b"x-forwarded-proto", (proto if proto in ("http", "https") else scope["scheme"]).encode("ascii")),
        (b"x-forwarded-host", forwarded.get(b"x-forwarded-host", inbound.host.decode("latin-1")).encode("latin-1")),
    )

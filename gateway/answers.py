"""What the client gets: problem documents of our own, and the heads of the services' answers."""

import json
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from math import ceil

from starlette.types import Message, Send

from chassis.errors import DomainError, Unavailable
from chassis.problems import MEDIA_TYPE, problem
from chassis.upstreams import UpstreamError, UpstreamOpen, UpstreamTimeout, UpstreamUnreachable
from chassis.upstreams.messages import WRITTEN_HERE
from chassis.upstreams.whole import Head
from gateway.edge import Inbound
from gateway.fields import Fields

Headers = Sequence[tuple[bytes, bytes]]


def problem_bytes(error: DomainError, *, instance: str, request_id: str) -> bytes:
    """`error` as the body of an answer. Source: RFC 9457."""
    document = problem(
        status=error.status,
        code=error.code,
        title=error.title,
        detail=error.detail,
        instance=instance,
        request_id=request_id,
        errors=error.fields,
    )
    return json.dumps(document, separators=(",", ":")).encode()


def problem_answer(inbound: Inbound, error: DomainError) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of the answer to `inbound` that says `error`."""
    instance = inbound.raw_path.decode("latin-1")[:2_000]
    body = problem_bytes(error, instance=instance, request_id=inbound.request_id)
    headers = [
        (b"content-type", MEDIA_TYPE.encode("ascii")),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", inbound.request_id.encode("ascii")),
        (b"traceparent", inbound.traceparent.encode("ascii")),
    ]
    headers += [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in error.headers.items()]
    headers += inbound.extra.pairs
    if inbound.close:
        headers.append((b"connection", b"close"))
    return headers, body


def with_extra(extra: Fields, send: Send) -> Send:
    """`send` for an application that knows nothing of the fields which every answer gets."""

    async def send_more(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *extra.pairs]
        await send(message)

    return send_more if extra.pairs else send


async def send_problem(inbound: Inbound, error: DomainError, send: Send) -> None:
    """Answer `inbound` with `error`."""
    headers, body = problem_answer(inbound, error)
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


_SHARING = frozenset(
    b"access-control-allow-" + name for name in (
        b"origin", b"credentials", b"methods", b"headers", b"private-network", b"local-network"
    )
) | {b"access-control-expose-headers", b"access-control-max-age"}  # fmt: skip
"""What a server says about pages of other origins: here only the gateway does."""

NOT_RETURNED = (
    (WRITTEN_HERE - {b"content-length"}) | {b"server", b"date", b"x-request-id", b"traceparent"} | _SHARING
)  # fmt: skip
"""Headers of a service's answer that stay here: those of one hop, and those we state ourselves."""


def passed(head: Head) -> Fields:
    """The fields of a service's answer that go on to the client, made once for each head."""
    fields: Fields | None = head.passed
    if fields is None:
        fields = head.passed = Fields(*[pair[:2] for pair in head.fields if pair.name not in NOT_RETURNED])
    return fields


def returned_headers(
    inbound: Inbound, status: int, headers: Sequence[tuple[bytes, bytes]]
) -> list[tuple[bytes, bytes]]:
    """The headers of the answer to the client, from those of the service's."""
    kept = [pair for pair in headers if pair[0] not in NOT_RETURNED]
    if status in (204, 304):
        kept = [pair for pair in kept if pair[0] != b"content-length"]
    kept.append((b"x-request-id", inbound.request_id.encode("ascii")))
    kept.append((b"traceparent", inbound.traceparent.encode("ascii")))
    kept += inbound.extra.pairs
    if inbound.close:
        kept.append((b"connection", b"close"))
    return kept


def is_plain_text(headers: Headers) -> bool:
    """Whether an error has the form in which servers, not applications, put theirs."""
    for name, value in headers:
        if name == b"content-type":
            return value.startswith(b"text/plain")
    return True


def as_problem(status: int) -> DomainError:
    """What stands for a server's own error."""
    phrase = "Error"
    with suppress(ValueError):
        phrase = HTTPStatus(status).phrase
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    error = DomainError(f"The service could not take the request: {phrase}", code=code)
    error.status, error.title = status, phrase
    return error


def unavailable(service: str, error: UpstreamError, *, repeatable: bool) -> Unavailable:
    """What the client is told when the exchange with a service failed."""
    if isinstance(error, UpstreamOpen):
        headers = {"Retry-After": f"{max(1, ceil(error.seconds))}"}
        return Unavailable(
            f"The {service} service has not answered for a while", code="upstream_unavailable", headers=headers
        )
    if isinstance(error, UpstreamUnreachable):
        return Unavailable(f"The {service} service cannot be reached", code="upstream_unavailable")
    code = "upstream_timeout" if isinstance(error, UpstreamTimeout) else "upstream_broken"
    if repeatable:
        return Unavailable(f"The {service} service did not answer", code=code)
    return Unavailable(
        f"The {service} service did not answer; whether it did the work is unknown. "
        "Send the same request with the same Idempotency-Key again",
        code=code,
    )

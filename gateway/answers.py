"""What the gateway itself answers: problem documents, written straight to ASGI."""

import json

from starlette.types import Send

from chassis.errors import DomainError
from chassis.problems import MEDIA_TYPE, problem
from gateway.edge import Inbound


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


async def send_problem(inbound: Inbound, error: DomainError, send: Send) -> None:
    """Answer `inbound` with `error`."""
    instance = inbound.raw_path.decode("latin-1")[:2_000]
    body = problem_bytes(error, instance=instance, request_id=inbound.request_id)
    headers = [
        (b"content-type", MEDIA_TYPE.encode("ascii")),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", inbound.request_id.encode("ascii")),
        (b"traceparent", inbound.traceparent.encode("ascii")),
    ]
    headers += [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in error.headers.items()]
    if inbound.close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

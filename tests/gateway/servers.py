"""Real servers for tests of the gateway: an upstream that tells what it got, the gateway itself, and a raw client."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.types import Message, Receive, Scope, Send

from chassis.testing import TokenMint
from gateway.__main__ import protocol_of
from gateway.app import Gateway, create_gateway
from gateway.settings import GatewaySettings

Answer = Callable[[Scope, Receive, Send], Awaitable[None]]


class QuietServer(uvicorn.Server):
    """A server inside the test's own loop, which leaves signals alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@asynccontextmanager
async def served(app: Any, *, port: int = 0, **options: Any) -> AsyncIterator[int]:
    """Serve `app` on loopback; the port."""
    config = uvicorn.Config(app, port=port, log_level="critical", ws="none", timeout_graceful_shutdown=1, **options)
    server = QuietServer(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done(), task
        await asyncio.sleep(0.005)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


@dataclass
class Upstream:
    """An ASGI application that remembers requests and answers by script; by default it echoes what it got."""

    seen: list[dict[str, Any]] = field(default_factory=list)
    answer: Answer | None = None
    port: int = 0
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry point."""
        if scope["type"] == "lifespan":
            return
        if scope["path"] in {"/readyz", "/v1/warm-up"}:
            await reply(send, 200, b"{}")
            return
        self.seen.append(
            {
                "method": scope["method"],
                "target": (
                    scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
                ).decode(),
                "headers": [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]],
            }
        )
        if self.answer is not None:
            await self.answer(scope, receive, send)
            return
        body = await read_body(receive)
        self.seen[-1]["body"] = body
        await reply(send, 200, json.dumps({"length": len(body)}).encode())

    @property
    def last(self) -> dict[str, Any]:
        """The last request."""
        return self.seen[-1]

    def values(self, name: str) -> list[str]:
        """The values of a header of the last request."""
        return [value for key, value in self.last["headers"] if key == name]


async def read_body(receive: Receive) -> bytes:
    """The whole body. Raises: ConnectionError when the client goes away."""
    body = b""
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def reply(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    """Answer with a length."""
    fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


def operation(method: str, path: str, *, token: bool = False, service: str = "jobs") -> tuple[str, str, dict[str, Any]]:
    """An entry for `document`."""
    return path, method.lower(), {"x-service": service, "security": [{"bearer": []}] if token else []}


def document(*operations: tuple[str, str, dict[str, Any]]) -> bytes:
    """A merged document with these operations."""
    paths: dict[str, dict[str, Any]] = {}
    for path, method, described in operations:
        paths.setdefault(path, {})[method] = described
    return json.dumps({"openapi": "3.1.0", "paths": paths}).encode()


DOCUMENT = document(
    operation("GET", "/v1/things"),
    operation("POST", "/v1/things"),
    operation("GET", "/v1/things/{thing_id}"),
    operation("PUT", "/v1/things/{thing_id}"),
    operation("DELETE", "/v1/things/{thing_id}"),
    operation("GET", "/v1/things/summary"),
    operation("POST", "/v1/things/{thing_id}/parts", token=True),
    operation("GET", "/v1/mine", token=True),
    operation("POST", "/v1/sessions", service="identity"),
    operation("DELETE", "/v1/sessions/current", service="identity", token=True),
    operation("GET", "/v1/rewards", service="rewards"),
    operation("GET", "/v1/warm-up"),
)


@asynccontextmanager
async def gateway_before(
    upstream_port: int,
    mint: TokenMint,
    *,
    identity_port: int | None = None,
    warm: bool = True,
    described: bytes = DOCUMENT,
    **settings: Any,
) -> AsyncIterator["Client"]:
    """The gateway as it is really served, in front of an upstream; a client of it."""
    url = f"http://127.0.0.1:{upstream_port}"
    chosen: dict[str, Any] = {
        "identity_url": f"http://127.0.0.1:{identity_port}" if identity_port else url,
        "jobs_url": url,
        "governance_url": url,
        "rewards_url": url,
        "access_log": False,
    }
    made: GatewaySettings = GatewaySettings(**{**chosen, **settings})
    app: Gateway = create_gateway(made, document=described, token_source=mint)

    async with served(
        app, http=protocol_of(app), proxy_headers=False, server_header=False, timeout_keep_alive=75
    ) as port:
        yield Client(port, warm=warm)


@dataclass
class RawAnswer:
    """An answer as it came over the wire."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The one value of a header. Raises: AssertionError when it came more than once."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) < 2, f"{name} came {len(values)} times"
        return values[0] if values else None

    def problem(self, status: int, code: str) -> dict[str, Any]:
        """The problem document, checked. Raises: AssertionError."""
        assert (self.status, self.header("content-type")) == (status, "application/problem+json"), self
        found: dict[str, Any] = json.loads(self.body)
        assert {"type", "title", "status", "detail", "instance", "code", "request_id"} <= set(found)
        assert (found["status"], found["code"]) == (status, code), found
        assert found["request_id"] == self.header("x-request-id")
        return found


@dataclass
class Client:
    """Speaks to the gateway byte by byte."""

    port: int
    warm: bool = False
    """Whether connections come with an upstream connection open and a header section known: all that is needed to be
    answered by what an earlier request taught."""

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Wire"]:
        """One connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)
        wire = Wire(reader, writer)
        try:
            for _ in range(2 * self.warm):
                assert (await wire.call("GET", "/v1/warm-up")).status in {200, 429, 503}
            yield wire
        finally:
            writer.close()

    async def send(self, request: bytes, *, method: str = "GET") -> RawAnswer:
        """Send these bytes on a connection of their own; the first answer."""
        async with self.connection() as wire:
            wire.writer.write(request)
            return await wire.answer(method)

    async def call(self, method: str, target: str, *headers: str, body: bytes = b"") -> RawAnswer:
        """A well-formed request; the answer."""
        async with self.connection() as wire:
            return await wire.call(method, target, *headers, body=body)


@dataclass
class Wire:
    """One raw connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def call(self, method: str, target: str, *headers: str, body: bytes = b"") -> RawAnswer:
        """A well-formed request; the answer."""
        lines = [f"{method} {target} HTTP/1.1", "Host: gateway.test", *headers]
        if body or method in {"POST", "PUT", "PATCH"}:
            lines.append(f"Content-Length: {len(body)}")
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        return await self.answer(method)

    async def answer(self, method: str = "GET") -> RawAnswer:
        """Read one answer, interim ones left out."""
        while True:
            head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 15)
            status = int(re.match(rb"HTTP/1\.[01] (\d{3}) ", head)[1])  # type: ignore[index]
            if status >= 200:
                break
        fields = [line.split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:-2]]
        headers = [(name.lower(), value) for name, value in fields]
        return RawAnswer(status, headers, await self._body(method, status, dict(headers)))

    async def _body(self, method: str, status: int, headers: dict[str, str]) -> bytes:
        if method == "HEAD" or status in (204, 304):
            return b""
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await self.reader.readuntil(b"\n"), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readline()
            return body
        return await self.reader.readexactly(int(headers.get("content-length", 0)))

    async def ended(self) -> bool:
        """Whether the gateway has closed the connection without sending more."""
        return await asyncio.wait_for(self.reader.read(), 15) == b""

"""The gateway without a network: its real protocol class and its real pool, on transports that are lists of bytes."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httptools
import uvicorn
from uvicorn.lifespan.on import LifespanOn
from uvicorn.server import ServerState

from chassis.testing import TokenMint
from gateway.__main__ import protocol_of
from gateway.app import create_gateway
from gateway.settings import GatewaySettings
from tests.gateway.servers import DOCUMENT

_SPINS = 200


class Memory(asyncio.Transport):
    """One side of a connection; what is written to it is kept, or given to `on_write`."""

    def __init__(self, protocol: Any, quiet: socket.socket | None = None) -> None:
        super().__init__({"peername": ("127.0.0.1", 4711), "sockname": ("127.0.0.1", 80), "socket": quiet})
        self.protocol = protocol
        self.written = bytearray()
        self.closing = False
        self.ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        if not self.closing:
            self.written += data

    def is_closing(self) -> bool:
        """Whether no more is taken."""
        return self.closing

    def close(self) -> None:
        """Tell the protocol soon, once."""
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self._lose)

    abort = close

    def _lose(self) -> None:
        self.ended = True
        self.protocol.connection_lost(None)

    def can_write_eof(self) -> bool:
        """Yes."""
        return True

    def write_eof(self) -> None:
        """Nothing more is written."""

    def pause_reading(self) -> None:
        """What is fed, is fed."""

    def resume_reading(self) -> None:
        """As above."""


@dataclass(slots=True)
class Served:
    """A request as the service's parser read it."""

    number: int
    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes


class ServiceSide(Memory):
    """The service behind one pool connection: reads as uvicorn does, and answers in several ways."""

    def __init__(self, protocol: Any, quiet: socket.socket, service: "Service") -> None:
        super().__init__(protocol, quiet)
        self._service = service
        self._parser = httptools.HttpRequestParser(self)
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._request = Served(0, b"", b"", [], b"")
        self.within = False
        self.fault = ""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Read it at once."""
        super().write(data)
        try:
            self._parser.feed_data(bytes(data))
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.fault = self.fault or f"the service cannot read: {error!r}"

    def on_message_begin(self) -> None:
        """The next request."""
        self._request = Served(0, b"", b"", [], b"")
        self.within = True

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        self._request.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer."""
        self._request.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._request.body += body

    def on_message_complete(self) -> None:
        """Answer."""
        self.within = False
        request = self._request
        request.method = self._parser.get_method()
        request.number = len(self._service.served)
        self._service.served.append(request)
        asyncio.get_running_loop().call_soon(self._answer, _answer(request.number))

    def _answer(self, parts: tuple[bytes, ...]) -> None:
        if not self.closing and parts:
            self.protocol.data_received(parts[0])
            asyncio.get_running_loop().call_soon(self._answer, parts[1:])


def _answer(number: int) -> tuple[bytes, ...]:
    head = b"HTTP/1.1 200 OK\r\nx-number: %d\r\n" % number
    body = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"  # what a confused reader would take for an answer
    whole = head + b"content-length: %d\r\n\r\n" % len(body) + body
    chunked = head + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    empty = head.replace(b"200 OK", b"204 No Content") + b"\r\n"
    return ((whole,), (chunked,), (whole[:30], whole[30:]), (empty,), (chunked[:-20], chunked[-20:]))[number % 5]


@dataclass
class Service:
    """All of the services, and what they got."""

    served: list[Served] = field(default_factory=list)
    sides: list[ServiceSide] = field(default_factory=list)


@dataclass
class Bench:
    """A running gateway to put connections on."""

    config: uvicorn.Config
    state: ServerState
    service: Service
    protocol: type[Any]

    def connect(self) -> tuple[Any, Memory]:
        """A client's connection: the gateway's protocol, and the transport that keeps what the client gets."""
        protocol = self.protocol(self.config, self.state, {})
        transport = Memory(protocol)
        protocol.connection_made(transport)
        return protocol, transport

    async def settle(self) -> None:
        """Return once nothing is left to do but wait for the client."""
        ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
        for _ in range(_SPINS):
            if not ready:
                return
            await asyncio.sleep(0)
        raise AssertionError("the gateway does not come to rest")

    async def reset(self) -> None:
        """Close whatever is open."""
        for protocol in list(self.state.connections):
            protocol.transport.close()
        for side in self.service.sides:
            side.close()
        self.service.sides.clear()
        await self.settle()


@asynccontextmanager
async def bench(mint: TokenMint, plane: str) -> AsyncIterator[Bench]:
    """A gateway on the running loop, which must be asyncio's own; its connections to services stay in memory."""
    loop = asyncio.get_running_loop()
    service = Service()
    quiet, other = socket.socketpair()
    connect = loop.create_connection

    async def in_memory(make: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        protocol = make()
        side = ServiceSide(protocol, quiet, service)
        service.sides.append(side)
        protocol.connection_made(side)
        return side, protocol

    settings: Any = {"data_plane": plane, "access_log": False, "log_level": "ERROR", "rate_limit": 10**9}
    app = create_gateway(GatewaySettings(**settings), document=DOCUMENT, token_source=mint)
    config = uvicorn.Config(app, http=protocol_of(app), ws="none", log_level="critical", proxy_headers=False)
    config.load()
    lifespan = LifespanOn(config)
    await lifespan.startup()
    loop.create_connection = in_memory  # type: ignore[method-assign, assignment]
    try:
        yield Bench(config, ServerState(), service, config.http_protocol_class)
    finally:
        loop.create_connection = connect  # type: ignore[method-assign]
        await lifespan.shutdown()
        quiet.close()
        other.close()

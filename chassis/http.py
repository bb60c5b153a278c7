"""Calls to the outside world: the only module that imports httpx.

Plain http goes over the pool of `chassis/upstreams.py`, https over httpx' own transport, which verifies certificates.
Redirects are not followed and the environment's proxy variables are not read.
"""

import asyncio
import json as jsonlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Any, NoReturn, Self

import httpx

from chassis.strict_json import check_depth
from chassis.upstreams import (
    Origin,
    PoolLimits,
    UpstreamError,
    UpstreamPool,
    UpstreamRequest,
    UpstreamResponse,
    UpstreamTimeout,
    UpstreamUnreachable,
)

MAX_ANSWER_BYTES = 16 * 1024 * 1024


class HttpUnavailable(Exception):
    """The other side could not be reached, broke off, or did not answer in time."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer, whatever its status. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self, *, decimals: bool = False) -> Any:
        """The body as JSON; with `decimals` every number is an exact Decimal.

        Raises: ValueError when it is not JSON, or nested too deeply to be anything we asked for.
        """
        check_depth(self.body)
        if decimals:
            return jsonlib.loads(self.body, parse_constant=_refuse_constant, parse_float=Decimal, parse_int=Decimal)
        return jsonlib.loads(self.body, parse_constant=_refuse_constant)


class HttpClient:
    """A client with pooled connections; one per process is enough, and any task may use it."""

    def __init__(
        self,
        timeout_seconds: float = 10.0,
        max_connections: int = 100,
        *,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._max_answer_bytes = max_answer_bytes
        limits = PoolLimits(
            max_connections=max_connections,
            connect_seconds=timeout_seconds,
            first_byte_seconds=timeout_seconds,
            idle_seconds=timeout_seconds,
        )
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(timeout_seconds),
            limits=httpx.Limits(max_connections=max_connections),
            mounts={"http://": _PoolTransport(UpstreamPool(limits))},
            follow_redirects=False,
            trust_env=False,
        )

    async def get_json(self, url: str, headers: Mapping[str, str] | None = None) -> HttpResponse:
        """GET `url`, asking for JSON. Raises: HttpUnavailable."""
        return await self._call("GET", url, {"accept": "application/json", **(headers or {})}, None)

    async def post_json(self, url: str, json: Any, headers: Mapping[str, str] | None = None) -> HttpResponse:
        """POST `json` to `url`; never sent twice. Raises: HttpUnavailable."""
        body = jsonlib.dumps(json, separators=(",", ":"), allow_nan=False).encode()
        sent = {"accept": "application/json", "content-type": "application/json", **(headers or {})}
        return await self._call("POST", url, sent, body)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> HttpResponse:
        """POST these very bytes; never sent twice. Raises: HttpUnavailable."""
        return await self._call("POST", url, headers, body)

    async def send_json(
        self, method: str, url: str, json: Any = None, headers: Mapping[str, str] | None = None
    ) -> HttpResponse:
        """Any method, with `json` as the body unless it is None. Raises: HttpUnavailable."""
        sent = {"accept": "application/json", **(headers or {})}
        if json is None:
            return await self._call(method, url, sent, None)
        body = jsonlib.dumps(json, separators=(",", ":"), allow_nan=False).encode()
        return await self._call(method, url, {"content-type": "application/json", **sent}, body)

    async def _call(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> HttpResponse:
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),
                self._client.stream(method, url, headers=dict(headers), content=body) as response,
            ):
                content = await self._read(response)
                return HttpResponse(response.status_code, dict(response.headers), content)
        except TimeoutError as error:
            raise HttpUnavailable(f"{method} {_without_query(url)}: no answer in {self._timeout_seconds} s") from error
        except (httpx.TransportError, httpx.InvalidURL, httpx.DecodingError) as error:
            raise HttpUnavailable(f"{method} {_without_query(url)}: {type(error).__name__} {error}") from error

    async def _read(self, response: httpx.Response) -> bytes:
        content = bytearray()
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > self._max_answer_bytes:
                raise httpx.ReadError(f"the answer is longer than {self._max_answer_bytes} bytes")
        return bytes(content)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class _PoolTransport(httpx.AsyncBaseTransport):
    """What httpx sends plain http through: our own pool."""

    def __init__(self, pool: UpstreamPool) -> None:
        self._pool = pool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send over the pool, its errors as those of httpx."""
        url = request.url
        sent = UpstreamRequest(
            method=request.method.encode("ascii"),
            target=url.raw_path,
            headers=request.headers.raw,
            body=await request.aread(),
        )
        try:
            answer = await self._pool.send(Origin(url.raw_host.decode("ascii"), url.port or 80), sent)
        except (UpstreamError, ValueError) as error:
            raise _as_httpx(error) from error
        return httpx.Response(answer.status, headers=answer.headers, stream=_BodyStream(answer))

    async def aclose(self) -> None:
        """Close the pool."""
        await self._pool.close()


class _BodyStream(httpx.AsyncByteStream):
    """An upstream's body as httpx reads it."""

    def __init__(self, answer: UpstreamResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._answer.chunks():
                yield part
        except UpstreamError as error:
            raise _as_httpx(error) from error

    async def aclose(self) -> None:
        """Give up what was not read."""
        self._answer.close()


def _as_httpx(error: Exception) -> httpx.TransportError:
    if isinstance(error, UpstreamUnreachable):
        return httpx.ConnectError(str(error))
    if isinstance(error, UpstreamTimeout):
        return httpx.ReadTimeout(str(error))
    return httpx.RemoteProtocolError(str(error))


def _without_query(url: str) -> str:
    return url.partition("?")[0]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")

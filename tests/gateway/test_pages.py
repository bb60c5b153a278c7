"""The gateway's own pages."""

import json
import re

import pytest

from chassis.testing import TokenMint
from tests.gateway.servers import DOCUMENT, Client, Upstream, gateway_before, served

pytestmark = pytest.mark.usefixtures("plane")


async def test_the_document_is_served_as_it_was_committed(client: Client) -> None:
    async with client.connection() as wire:
        answer = await wire.call("GET", "/openapi.json", "X-Request-Id: r1")
        assert (answer.status, answer.body, answer.header("x-request-id")) == (200, DOCUMENT, "r1")
        etag = answer.header("etag")
        assert (await wire.call("GET", "/openapi.json", f"If-None-Match: {etag}")).status == 304
        assert (await wire.call("HEAD", "/openapi.json")).status == 200


async def test_the_docs_page_needs_no_other_host(client: Client) -> None:
    async with client.connection() as wire:
        for path in ("/docs", "/redoc"):
            page = (await wire.call("GET", path)).body.decode()
            assert "/openapi.json" in page
            links = re.findall(r"""(?:src|href)=["']([^"']+)["']""", page)
            assert links
            for link in links:
                assert link.startswith("/"), f"{path} loads {link}"
                assert (await wire.call("GET", link)).status == 200, link
        (await wire.call("GET", "/static-offline-docs/..%2f..%2fcore.py")).problem(404, "not_found")


async def test_health_readiness_and_metrics(client: Client, upstream: Upstream, mint: TokenMint) -> None:
    async with client.connection() as wire:
        assert json.loads((await wire.call("GET", "/healthz")).body) == {"status": "ok"}
        ready = await wire.call("GET", "/readyz")
        checks = {"identity": "ok", "jobs": "ok", "rewards": "ok", "governance": "ok"}
        assert (ready.status, json.loads(ready.body)) == (200, {"status": "ready", "checks": checks})
        await wire.call("GET", "/v1/things/7")
        metrics = (await wire.call("GET", "/metrics")).body.decode()
        assert 'service="gateway",status="200"' in metrics
        assert 'route="/v1/things/{thing_id}"' in metrics
        assert "/v1/things/7" not in metrics
    async with served(Upstream()) as gone:
        pass
    async with gateway_before(upstream.port, mint, rewards_url=f"http://127.0.0.1:{gone}") as partly:
        ready = await partly.call("GET", "/readyz")
        assert ready.status == 503
        assert json.loads(ready.body)["checks"] == {**checks, "rewards": "unreachable"}
        assert (await partly.call("GET", "/healthz")).status == 200


async def test_other_methods_and_pages_are_problems(client: Client) -> None:
    answer = await client.call("POST", "/healthz", body=b"{}")
    answer.problem(405, "method_not_allowed")
    assert answer.header("allow")
    (await client.call("GET", "/favicon.ico")).problem(404, "not_found")
    (await client.send(b"GET /healthz HTTP/1.1\r\n\r\n")).problem(400, "invalid_host")

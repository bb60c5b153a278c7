"""An upstream and a gateway in front of it, both real servers on loopback."""

from collections.abc import AsyncIterator

import pytest

from chassis.testing import TokenMint
from tests.gateway.servers import Client, Upstream, gateway_before, served


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """The service behind the gateway."""
    app = Upstream()
    async with served(app, lifespan="off", timeout_keep_alive=30, proxy_headers=False) as port:
        app.port = port
        yield app


@pytest.fixture
async def client(upstream: Upstream, mint: TokenMint) -> AsyncIterator[Client]:
    """A client of a gateway with default settings."""
    async with gateway_before(upstream.port, mint) as made:
        yield made


@pytest.fixture(params=["lane", "asgi"])
def plane(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways in which the gateway moves data, one after the other: what clients see is the same."""
    monkeypatch.setenv("GATEWAY_DATA_PLANE", request.param)
    chosen: str = request.param
    return chosen

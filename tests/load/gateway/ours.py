"""The gateway under test, as it is really served; its first line of output is a token it takes."""

import json
import sys

from chassis.ids import new_id
from chassis.serve import serve
from chassis.testing import TokenMint
from gateway.__main__ import protocol_of
from gateway.app import create_gateway
from gateway.settings import GatewaySettings

DOCUMENT = {
    "openapi": "3.1.0",
    "paths": {
        f"/v1/things/{name}": {"get": {"x-service": "jobs", "security": [{"bearer": []}]}} for name in ("{id}", "large")
    },
}


def main() -> int:
    """Serve until a signal; the exit code."""
    settings = GatewaySettings.from_environment()
    mint = TokenMint()
    gateway = create_gateway(settings, document=json.dumps(DOCUMENT).encode(), token_source=mint)
    print(mint.token(new_id(), "client", exp=4_000_000_000), flush=True)
    return serve(
        gateway,
        settings,
        gateway.lifecycle,
        name="gateway",
        http=protocol_of(gateway),
        timeout_keep_alive=settings.keep_alive_seconds,
    )


if __name__ == "__main__":
    sys.exit(main())

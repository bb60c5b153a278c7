"""`python -m gateway`: the gateway on uvicorn, with the options its promises need."""

import sys

from chassis.serve import cannot_start, serve
from gateway.app import create_gateway
from gateway.protocol import EdgeProtocol
from gateway.settings import GatewaySettings


def main() -> int:
    """Serve until a signal to stop; the exit code."""
    try:
        settings = GatewaySettings.from_environment()
        gateway = create_gateway(settings)
    except (ValueError, OSError) as error:
        return cannot_start("gateway", error)
    EdgeProtocol.max_header_bytes = settings.max_header_bytes + settings.max_target_bytes
    EdgeProtocol.head_seconds = settings.head_seconds
    EdgeProtocol.stall_seconds = settings.stall_seconds
    return serve(
        gateway,
        settings,
        gateway.lifecycle,
        name="gateway",
        http=EdgeProtocol,
        timeout_keep_alive=settings.keep_alive_seconds,
    )


if __name__ == "__main__":
    sys.exit(main())

"""`python -m gateway`: the gateway on uvicorn, with the options its promises need."""

import uvicorn

from gateway.app import create_gateway
from gateway.protocol import EdgeProtocol
from gateway.settings import GatewaySettings


def serve(settings: GatewaySettings) -> None:
    """Serve until a signal to stop."""
    EdgeProtocol.max_header_bytes = settings.max_header_bytes + settings.max_target_bytes
    EdgeProtocol.head_seconds = settings.head_seconds
    EdgeProtocol.stall_seconds = settings.stall_seconds
    uvicorn.run(
        create_gateway(settings),
        host=settings.host,
        port=settings.port,
        http=EdgeProtocol,
        ws="none",
        lifespan="on",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="warning",
        backlog=2048,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=10,
    )


if __name__ == "__main__":
    serve(GatewaySettings())

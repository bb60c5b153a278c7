"""`python -m gateway`: the gateway on uvicorn, with the options its promises need."""

import sys

from chassis.serve import cannot_start, serve
from chassis.telemetry import log
from gateway import lane
from gateway.app import Gateway, create_gateway
from gateway.connections import Connections, raise_file_limit
from gateway.protocol import EdgeProtocol
from gateway.settings import GatewaySettings

_OTHER_FILES = 256


def protocol_of(gateway: Gateway) -> type[EdgeProtocol]:
    """The class of the gateway's client connections, by its settings and by what uvicorn is installed."""
    settings = gateway.settings
    base: type[EdgeProtocol] = EdgeProtocol
    if settings.data_plane == "lane":
        reason = lane.why_not()
        if reason is None:
            base, gateway.has_short_way = lane.LaneProtocol, False
        else:
            log.warning("lane_unusable", reason=reason, data_plane="asgi")
    limits = {
        "gateway": gateway,
        "open_ones": Connections(
            most=settings.max_connections,
            most_of_address=settings.address_connections,
            spared=gateway.edge.trusts,
        ),
        "cors": gateway.edge.cors,
        "max_header_bytes": settings.max_header_bytes + settings.max_target_bytes,
        "head_seconds": settings.head_seconds,
        "stall_seconds": settings.stall_seconds,
    }
    return type("ClientConnection", (base,), limits)


def main() -> int:
    """Serve until a signal to stop; the exit code."""
    try:
        settings = GatewaySettings.from_environment()
        gateway = create_gateway(settings)
    except (ValueError, OSError) as error:
        return cannot_start("gateway", error)
    raise_file_limit(settings.max_connections + 4 * settings.upstream_connections + _OTHER_FILES)
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

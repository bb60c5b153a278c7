"""The breakers of all upstream addresses: one for each, whichever pool uses it; told in metrics and in the log."""

from functools import partial

from prometheus_client import Counter, Gauge

from chassis.telemetry import log
from chassis.upstreams import Breaker, BreakerLimits, CircuitState, Origin
from gateway.settings import GatewaySettings

STATE = Gauge(
    "btrst_gateway_circuit_state",
    "Circuit of an upstream address: 0 closed, 1 open, 2 half-open",
    ["service", "address"],
)
CHANGES = Counter("btrst_gateway_circuit_changes_total", "Circuits that changed", ["service", "address", "state"])


class Circuits:
    """Breakers by address."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._limits = BreakerLimits(
            failures=settings.breaker_failures,
            cool_down_seconds=settings.breaker_seconds,
            longest_seconds=max(settings.breaker_seconds, settings.breaker_longest_seconds),
        )
        self._breakers: dict[Origin, Breaker] = {}
        for service, origins in settings.origins().items():
            for origin in origins:
                self._add(service, origin)

    def of(self, origin: Origin) -> Breaker:
        """The breaker of an upstream address."""
        return self._breakers[origin]

    def _add(self, service: str, origin: Origin) -> None:
        if origin in self._breakers:
            return
        address = origin.authority.decode("ascii")
        gauge = STATE.labels(service, address)
        gauge.set(0)
        self._breakers[origin] = Breaker(self._limits, partial(_tell, service, address, gauge))


def _tell(service: str, address: str, gauge: Gauge, state: CircuitState) -> None:
    gauge.set(state.value)
    name = state.name.lower()
    CHANGES.labels(service, address, name).inc()
    told = log.warning if state is CircuitState.OPEN else log.info
    told("circuit", service=service, address=address, state=name)

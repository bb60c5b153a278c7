"""How many client connections are open: a cap for all of them and one for each address.

When a cap is reached, room is made: of the connections that wait for a request, some are closed, those that never asked
anything first, then those that were quiet longest. Where all are busy, the new one is answered with 503 and closed.
Addresses of proxies that the operator trusts stand for many clients and have no cap of their own.
"""

import resource
from collections.abc import Callable, Collection
from typing import Protocol

from prometheus_client import Gauge

from chassis.telemetry import log

OPEN = Gauge("btrst_gateway_connections", "Client connections that are open")
_POLITE = 64
"""So many that were turned away at once get to read why; the rest of a flood is cut off."""


class Client(Protocol):
    """A client connection, as it is counted."""

    address: str

    def idle_since(self) -> tuple[bool, float] | None:
        """Whether it ever asked for anything, and since when it is quiet (monotonic); None while it is busy."""

    def close_idle(self) -> None:
        """Close it: nothing is under way."""


class Connections:
    """The open ones. To be used within one event loop."""

    def __init__(self, *, most: int, most_of_address: int, spared: Callable[[str], bool]) -> None:
        self._most = most
        self._most_of_address = most_of_address
        self._spared = spared
        self._open: set[Client] = set()
        self._of_address: dict[str, set[Client]] = {}
        self._turned_away: set[Client] = set()
        OPEN.set_function(lambda: len(self._open))

    def enter(self, client: Client) -> bool:
        """Count a new connection; False when there is no room for it."""
        same = self._of_address.get(client.address, ())
        over = len(same) >= self._most_of_address and not self._spared(client.address)
        if over and not _make_room(same):
            return False
        if len(self._open) >= self._most and not _make_room(self._open):
            return False
        self._open.add(client)
        self._of_address.setdefault(client.address, set()).add(client)
        return True

    def turn_away(self, client: Client) -> bool:
        """Whether there is time to tell a connection that did not get in."""
        self._turned_away.add(client)
        return len(self._turned_away) <= _POLITE

    def leave(self, client: Client) -> None:
        """A connection is gone."""
        self._turned_away.discard(client)
        self._open.discard(client)
        same = self._of_address.get(client.address)
        if same is not None:
            same.discard(client)
            if not same:
                del self._of_address[client.address]


def _make_room(clients: Collection[Client]) -> bool:
    """Close one in a hundred, so that a flood does not have us look through all of them each time."""
    idle = [(since, client) for client in clients if (since := client.idle_since()) is not None]
    idle.sort(key=lambda entry: entry[0])
    for _, client in idle[: max(1, len(clients) // 100)]:
        client.close_idle()
    return bool(idle)


def raise_file_limit(wanted: int) -> None:
    """Let the process open so many files, as far as the system allows; say so when it does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited or soft >= wanted:
        return
    limit = wanted if hard == unlimited else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    if limit < wanted:
        log.warning("file_limit_low", allowed=limit, wanted=wanted)

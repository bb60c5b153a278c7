"""Clients that go away while the gateway waits for a service: the ASGI plane has to ask whether they have.

Asking costs more than most answers take, so a request is watched only when it has waited for a while: one timer looks
after all of them, a timer each would be a third of what a short request costs.
"""

import asyncio

from starlette.types import Receive

from gateway.bodies import InboundBody

_ROUND_SECONDS = 0.25


class Watch:
    """Cancels the request's task when the client goes away. Its watching begins within two rounds, if ever."""

    __slots__ = ("_body", "_gone", "_owner", "_receive", "_watcher", "_watches")

    def __init__(self, watches: "Watches", receive: Receive, body: InboundBody | None) -> None:
        self._watches = watches
        self._receive = receive
        self._body = body
        self._owner = asyncio.current_task()
        self._gone = False
        self._watcher: asyncio.Task[None] | None = None

    def end(self) -> None:
        """The request waits no more."""
        self._watches.forget(self)
        if self._watcher is not None:
            self._watcher.cancel()

    def begin(self) -> bool:
        """Watch from now on; False while somebody reads the request's body, who will notice."""
        if self._body is not None and not self._body.done:
            return False
        self._watcher = asyncio.get_running_loop().create_task(self._watch())
        return True

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        if self._owner is not None:
            self._owner.cancel()

    def forgive(self) -> bool:
        """Whether the cancellation was ours; then it is taken back."""
        if self._gone and self._owner is not None:
            self._owner.uncancel()
        return self._gone


class Watches:
    """The requests under way that are not watched yet: those of this round, and those of the one before."""

    def __init__(self) -> None:
        self._young: dict[Watch, None] = {}
        self._old: dict[Watch, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, receive: Receive, body: InboundBody | None = None) -> Watch:
        """Watch the request of this task, whose body may still come in, until `end`."""
        watch = Watch(self, receive, body)
        self._young[watch] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_ROUND_SECONDS, self._turn)
        return watch

    def forget(self, watch: Watch) -> None:
        """It has ended."""
        if watch in self._young:
            del self._young[watch]
        else:
            self._old.pop(watch, None)

    def _turn(self) -> None:
        waiting = [watch for watch in self._old if not watch.begin()]
        self._old = self._young | dict.fromkeys(waiting)
        self._young = {}
        self._timer = asyncio.get_running_loop().call_later(_ROUND_SECONDS, self._turn) if self._old else None

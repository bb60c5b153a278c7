"""`python -m chassis.serve services.<name>.app:build`: a service on uvicorn, from its settings to its last word.

SIGTERM: not ready at once, still serving → `DRAIN_SECONDS` → no new connections, requests under way are finished →
the background drains and leaves its group → exit 0, within 30 s. What keeps it from starting is one line.
"""

import asyncio
import contextlib
import gc
import importlib
import logging
import signal
import sys
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any

import uvicorn

from chassis.chain.errors import ChainError
from chassis.lifecycle import Lifecycle
from chassis.settings import ServiceSettings, SettingsFault

BACKGROUND_SECONDS = 8.0
"""What requests under way leave to the background at least."""

LINGER_SECONDS = 0.2
"""How long connections that are open already may still bring a request, once no new ones are taken."""

START_FAILED = 3
EXPLAINED = (ValueError, OSError, ChainError)
"""What a wrong setting or a missing file raises."""


class GracefulServer(uvicorn.Server):
    """uvicorn, but a signal first makes the process unready and asks clients to go elsewhere."""

    def __init__(self, config: uvicorn.Config, lifecycle: Lifecycle, *, drain_seconds: float) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._drain_seconds = drain_seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Begin to stop; a second Ctrl-C does so at once."""
        if sig == signal.SIGINT and self._lifecycle.is_stopping:
            self.should_exit = self.force_exit = True
        if not self._lifecycle.is_stopping:
            self._lifecycle.begin_stop()
            # A kept-alive connection would lead its client here for ever.
            self.config.encoded_headers = [*self.config.encoded_headers, (b"connection", b"close")]
            self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]

    async def startup(self, sockets: Any = None) -> None:
        """Start; then leave out of every later garbage collection what lives as long as the process."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()

    async def on_tick(self, counter: int) -> bool:
        """True when it is time to take no more connections."""
        if await super().on_tick(counter):
            return True
        return self._lifecycle.is_stopping and self._lifecycle.stopping_seconds() >= self._drain_seconds

    async def shutdown(self, sockets: Any = None) -> None:
        """Take no more connections, answer what is under way, then let the application end."""
        for server in self.servers:
            server.close()
        await asyncio.sleep(LINGER_SECONDS)
        self.config.timeout_graceful_shutdown = max(1, int(self._lifecycle.seconds_left() - BACKGROUND_SECONDS))
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Hear the signals; unlike uvicorn's own, do not raise them again at the end: an orderly end is exit code 0."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Startup(logging.Filter):
    """Holds back what uvicorn says while it starts: a traceback for every wrong setting."""

    def __init__(self, server: uvicorn.Server) -> None:
        super().__init__()
        self._server = server
        self.last = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a record through once the server runs."""
        if not self._server.started:
            self.last = record.getMessage()
        return self._server.started


def serve(app: Any, settings: ServiceSettings, lifecycle: Lifecycle, *, name: str, **options: Any) -> int:
    """Serve `app` until a signal; the exit code. `options` are uvicorn's."""
    known: dict[str, Any] = {"http": "httptools", "loop": "uvloop", "ws": "none", "lifespan": "on", "backlog": 2048}
    known |= {"proxy_headers": False, "server_header": False, "access_log": False, "log_level": "warning"}
    known |= {"timeout_keep_alive": 30} | options
    config = uvicorn.Config(app, host=settings.host, port=settings.port, **known)
    server = GracefulServer(config, lifecycle, drain_seconds=settings.drain_seconds)
    startup = _Startup(server)
    logging.getLogger("uvicorn.error").addFilter(startup)
    try:
        server.run()
    except SystemExit:
        if server.started:
            raise
        return cannot_start(name, lifecycle.failure or OSError(startup.last))
    return 0


def cannot_start(name: str, error: BaseException) -> int:
    """Say why in one line, with a traceback before it only for what no setting explains; the exit code."""
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    if not isinstance(error, EXPLAINED):
        traceback.print_exception(error)
        text = f"{type(error).__name__}: {text}"
    print(f"{name} cannot start: {' '.join(text.split())}", file=sys.stderr)
    return START_FAILED


def main(target: str) -> int:
    """Serve the service that `module:function` builds; the exit code."""
    name = target.removeprefix("services.").partition(".")[0]
    try:
        module, _, function = target.partition(":")
        app = getattr(importlib.import_module(module), function)()
        settings = app.state.service.settings.from_environment()
    except SettingsFault as error:
        return cannot_start(name, error)
    return serve(app, settings, app.state.lifecycle, name=name)


if __name__ == "__main__":
    if len(sys.argv) != 2 or ":" not in sys.argv[1]:
        sys.exit("usage: python -m chassis.serve services.<name>.app:build")
    sys.exit(main(sys.argv[1]))

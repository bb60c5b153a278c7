"""What PostgreSQL says by NOTIFY, heard in a process for as long as it runs.

A notification can be missed while the line is down; whoever listens is told so, and looks for itself then.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import asyncpg

from chassis.db import plain_dsn
from chassis.retries import is_transient, pause_seconds
from chassis.telemetry import log

CHECK_SECONDS = 10.0
"""How often the line is tried: a machine that vanished does not hang up."""


class Listener:
    """Listens on one channel of one database. `on_payload` gets what is said; `on_gap` is called whenever something
    may have been missed, and so at each beginning. Neither may fail or block."""

    def __init__(
        self, dsn: str, channel: str, *, on_payload: Callable[[str], None], on_gap: Callable[[], None]
    ) -> None:
        self._dsn = plain_dsn(dsn)
        self._channel = channel
        self._on_payload = on_payload
        self._on_gap = on_gap
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to listen in the background; comes back by itself however often the line breaks."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Hang up."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                await self._listen()
                failures = 0
            except Exception as error:
                failures += 1
                if not is_transient(error) and not isinstance(error, asyncpg.PostgresError):
                    log.error("listener_failed", channel=self._channel, exc_info=error)
                else:
                    log.warning("listener_waits", channel=self._channel, error=f"{type(error).__name__}: {error}"[:300])
            await asyncio.sleep(pause_seconds(failures + 1, most=5.0))

    async def _listen(self) -> None:
        """Listen until the line ends."""
        ended = asyncio.Event()
        connection = await asyncpg.connect(
            self._dsn, timeout=5, command_timeout=5, server_settings={"application_name": f"listen {self._channel}"}
        )
        try:
            connection.add_termination_listener(lambda _connection: ended.set())
            await connection.add_listener(self._channel, self._heard)
            self._on_gap()
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), CHECK_SECONDS)
                    return
                await connection.execute("SELECT 1")
        finally:
            connection.terminate()

    def _heard(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        self._on_payload(str(payload))

"""One line of JSON for each request, collected and written a few times a second (a write each would cost more than
the proxying)."""

import asyncio
import sys
from typing import TextIO

from chassis.clock import to_rfc3339, utc_now

_FLUSH_SECONDS = 0.25


class AccessLog:
    """Every value written is one of ours or was checked, so nothing needs escaping."""

    def __init__(self, *, enabled: bool, stream: TextIO | None = None) -> None:
        self._enabled = enabled
        self._stream = stream or sys.stderr
        self._lines: list[str] = []

    def add(
        self, *, method: str, route: str, status: int, seconds: float, request_id: str, traceparent: str, client: str
    ) -> None:
        """Note an answered request."""
        if not self._enabled:
            return
        if not self._lines:
            asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.flush)
        self._lines.append(
            f'"event":"request","service":"gateway","level":"info","method":"{method}","route":"{route}",'
            f'"status":{status},"milliseconds":{seconds * 1000:.2f},"request_id":"{request_id}",'
            f'"trace_id":"{traceparent[3:35]}","client":"{client}"'
        )

    def flush(self) -> None:
        """Write what was collected, with the moment of writing as its time."""
        lines, self._lines = self._lines, []
        if lines:
            at = to_rfc3339(utc_now())
            self._stream.write("".join([f'{{{line},"timestamp":"{at}"}}\n' for line in lines]))
            self._stream.flush()

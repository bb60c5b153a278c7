"""One line of JSON for each request, collected and written a few times a second (a write each would cost more than
the proxying)."""

import asyncio
import sys
from typing import TextIO

from chassis.clock import to_rfc3339, utc_now

_FLUSH_SECONDS = 0.25


Answered = tuple[str, str, int, float, str, str, str]
"""A request and what became of it: method, route, status, seconds, request id, trace id, client's address."""


class AccessLog:
    """Every value written is one of ours or was checked, so nothing needs escaping."""

    def __init__(self, *, enabled: bool, stream: TextIO | None = None) -> None:
        self._enabled = enabled
        self._stream = stream or sys.stderr
        self._requests: list[Answered] = []

    def add(self, request: Answered) -> None:
        """Note a request, its line is made when it is written."""
        if not self._requests:
            if not self._enabled:
                return
            asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.flush)
        self._requests.append(request)

    def flush(self) -> None:
        """Write what was collected, with the moment of writing as its time."""
        requests, self._requests = self._requests, []
        if requests:
            at = to_rfc3339(utc_now())
            self._stream.write("".join([_line(request, at) for request in requests]))
            self._stream.flush()


def _line(request: Answered, at: str) -> str:
    method, route, status, seconds, request_id, trace_id, client = request
    return (
        f'{{"event":"request","service":"gateway","level":"info","method":"{method}","route":"{route}",'
        f'"status":{status},"milliseconds":{seconds * 1000:.2f},"request_id":"{request_id}",'
        f'"trace_id":"{trace_id}","client":"{client}","timestamp":"{at}"}}\n'
    )

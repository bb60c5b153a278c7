"""What a process knows of its own life: why it could not start, and that it is to end."""

import contextlib
import time
from collections.abc import Iterator

STOP_SECONDS = 25.0
"""From the signal to the last word; closing connections comes on top, and an orchestrator kills after 30."""


class Lifecycle:
    """Shared by the server, which hears the signal, and the application, which answers `/readyz` and drains."""

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self._stop_at: float | None = None

    @property
    def is_stopping(self) -> bool:
        """Whether the signal has come."""
        return self._stop_at is not None

    def begin_stop(self) -> None:
        """The signal has come; a second one changes nothing."""
        if self._stop_at is None:
            self._stop_at = time.monotonic()

    def stopping_seconds(self) -> float:
        """How long ago the signal came; 0 before it has."""
        return 0.0 if self._stop_at is None else time.monotonic() - self._stop_at

    def seconds_left(self) -> float:
        """What is left of the time to stop in; all of it before the signal."""
        return max(0.0, STOP_SECONDS - self.stopping_seconds())

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Remember what kept the application from starting."""
        try:
            yield
        except BaseException as error:
            self.failure = error
            raise

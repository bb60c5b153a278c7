"""Trace contexts that travel (W3C), and spans of them when there is a collector.

Without `OTEL_EXPORTER_OTLP_ENDPOINT` only the ids travel: the SDK of OpenTelemetry is not imported and no span is made.
"""

import contextlib
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Literal

TRACEPARENT = ContextVar[str | None]("traceparent", default=None)
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)
_IN_EVENT = re.compile(rb'"traceparent":"(00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})"')
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

Kind = Literal["server", "client", "producer", "consumer", "internal"]
_recorder: Any = None


def start(service: str) -> Callable[[], None]:
    """Make spans from now on if the environment names a collector; call what comes back to send the last ones."""
    global _recorder  # noqa: PLW0603 - one per process, as the SDK has it
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return _nothing
    from chassis.otel import Recorder  # imports the SDK

    _recorder = recorder = Recorder(service)
    return recorder.close


def _nothing() -> None:
    """There is nothing to send."""


def is_on() -> bool:
    """Whether spans are made."""
    return _recorder is not None


def current_traceparent() -> str | None:
    """The trace context of the work at hand, or None. Source: W3C Trace Context."""
    return TRACEPARENT.get()


def traceparent_from(value: str | None) -> str:
    """A child of the caller's trace context if it is valid, else the root of a new one.

    Source: W3C Trace Context, section 3.2 (the trace-id is kept, the parent-id is new at every hop).
    """
    if value and _TRACEPARENT.fullmatch(value):
        return f"{value[:36]}{_id(8)}{value[52:]}"
    return f"00-{_id(16)}-{_id(8)}-01"


class _Digits:
    """Random hexadecimal digits, drawn a hundred ids at once: a system call for each would cost more than the id."""

    def __init__(self) -> None:
        self.block = b""
        self.used = 0
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        """A child process draws its own."""
        self.block, self.used = b"", 0


_digits = _Digits()
_DRAWN_BYTES = 2_400


def fresh_ids() -> tuple[bytes, bytes]:
    """A trace id and a span id, in hexadecimal digits, for a request that brought none. Source: W3C Trace Context."""
    used, block = _digits.used, _digits.block
    if used == len(block):
        block = _digits.block = os.urandom(_DRAWN_BYTES).hex().encode("ascii")
        used = 0
    _digits.used = used + 48
    return block[used : used + 32], block[used + 32 : used + 48]


def _id(size: int) -> str:
    """An id of `size` bytes: unique, never all zeros, no secret, and so not worth a system call for each event."""
    return f"{random.randrange(1, 1 << 8 * size):0{2 * size}x}"  # noqa: S311


def traceparent_in(event: bytes | None) -> str | None:
    """The trace context in the bytes of an event, whose envelope comes before its data."""
    found = _IN_EVENT.search(event or b"")
    return found[1].decode() if found else None


def nearest(parent: str | None) -> str | None:
    """The work at hand if it belongs to the trace of `parent` already, else `parent`."""
    current = TRACEPARENT.get()
    return current if current and parent and current[:36] == parent[:36] else parent


class Span:
    """One piece of work in a trace; `traceparent` is what its children are told."""

    __slots__ = ("_recorded", "traceparent")

    def __init__(self, traceparent: str, recorded: Any = None) -> None:
        self.traceparent = traceparent
        self._recorded = recorded

    def set(self, attributes: Mapping[str, Any]) -> None:
        """Add attributes. Source: OpenTelemetry semantic conventions, for the names."""
        if self._recorded is not None:
            self._recorded.set_attributes(attributes)

    def fail(self, reason: str) -> None:
        """It did not end well."""
        if self._recorded is not None:
            _recorder.fail(self._recorded, reason)

    def end(self, name: str | None = None) -> None:
        """The work is done; `name` if it was not known before."""
        if self._recorded is not None:
            if name is not None:
                self._recorded.update_name(name)
            self._recorded.end()


def begin(
    name: str,
    kind: Kind,
    parent: str | None,
    attributes: Mapping[str, Any] | None = None,
    *,
    links: Sequence[str] = (),
    started_ns: int | None = None,
) -> Span:
    """Begin a span under `parent`, a new trace if that is None or invalid. The caller ends it."""
    if _recorder is None:
        return Span(traceparent_from(parent))
    known = parent if parent and _TRACEPARENT.fullmatch(parent) else None
    traceparent, recorded = _recorder.begin(name, kind, known, attributes, links=links, started_ns=started_ns)
    return Span(traceparent, recorded)


@contextlib.contextmanager
def span(
    name: str,
    kind: Kind = "internal",
    *,
    parent: str | None,
    attributes: Mapping[str, Any] | None = None,
    links: Sequence[str] = (),
) -> Iterator[Span]:
    """The block as a span under `parent`: what happens inside belongs to its trace, collector or not."""
    made = begin(name, kind, parent, attributes, links=links)
    token = TRACEPARENT.set(made.traceparent)
    try:
        yield made
    except BaseException as error:
        made.fail(type(error).__name__)
        raise
    finally:
        TRACEPARENT.reset(token)
        made.end()


@contextlib.contextmanager
def within(parent: str | None) -> Iterator[None]:
    """The block belongs to the trace of `parent`, if there is one, without a span of its own."""
    token = TRACEPARENT.set(parent or TRACEPARENT.get())
    try:
        yield
    finally:
        TRACEPARENT.reset(token)


def begin_request(method: str, path: str, parent: str | None) -> Span:
    """Begin the span of a request that came in. Source: semantic conventions for HTTP server spans."""
    attributes = {"http.request.method": method, "url.path": path, "url.scheme": "http"}
    return begin(method, "server", parent, attributes)


def end_request(request: Span, *, method: str, route: str, status: int) -> None:
    """End it, now that the route and the answer are known."""
    request.set({"http.route": route, "http.response.status_code": status})
    if status >= 500:
        request.fail(str(status))
    request.end(f"{method} {route}")


def now_ns() -> int:
    """The time as spans want it, in nanoseconds."""
    return time.time_ns()

"""Background loops of a service: each tick is one bounded piece of work; errors back off and are counted."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from chassis.context import Context
from chassis.retries import is_transient
from chassis.telemetry import WORKER_RUNS, WORKER_SUCCESS, log

MAX_BACK_OFF_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Worker:
    """`tick` runs every `interval_seconds`, and again at once while it returns True (more to do)."""

    name: str
    tick: Callable[[Context], Awaitable[bool]]
    interval_seconds: float


async def run_worker(worker: Worker, context: Context, stopping: asyncio.Event) -> None:
    """Tick until `stopping`; a failing tick is tried again after a growing, jittered pause."""
    failures = 0
    while not stopping.is_set():
        try:
            more = await worker.tick(context)
            failures = 0
            WORKER_RUNS.labels(context.service, worker.name, "ok").inc()
            WORKER_SUCCESS.labels(context.service, worker.name).set_to_current_time()
            pause = 0.0 if more else worker.interval_seconds
        except Exception as error:  # noqa: BLE001, RUF100 - a worker outlives every error of a tick
            failures += 1
            WORKER_RUNS.labels(context.service, worker.name, "error").inc()
            _report(worker, error)
            pause = min(MAX_BACK_OFF_SECONDS, 0.1 * 2 ** min(failures, 10)) * random.uniform(0.5, 1.0)  # noqa: S311
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), timeout=pause)


def _report(worker: Worker, error: Exception) -> None:
    if is_transient(error):
        log.warning("worker_waits", worker=worker.name, error=str(error)[:300])
    else:
        log.error("worker_failed", worker=worker.name, exc_info=error)

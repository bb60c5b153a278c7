"""When to try again: which errors pass by themselves, and how long to wait."""

import asyncio
import contextlib
import random

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from chassis.bus import BusUnavailable

_PASSING_STATES = ("08", "25P03", "40", "53", "55P03", "57P", "58")
"""SQLSTATE prefixes: connection, idle for too long, rollback (deadlock, serialization), out of resources, lock not
available, operator intervention (shutdown, starting up), system error. Source: PostgreSQL manual, appendix A."""


def is_transient(error: BaseException) -> bool:
    """True when the same work may succeed later without anybody changing it: the database or the bus is away,
    or two transactions got in each other's way."""
    if isinstance(error, (BusUnavailable, OSError, TimeoutError, PoolTimeoutError)):
        return True
    if state := _sqlstate(error):
        return state.startswith(_PASSING_STATES)
    if isinstance(error, DBAPIError):
        lost = error.connection_invalidated or isinstance(error, (OperationalError, InterfaceError))
        return lost or _driver_lost_the_line(error.orig.__cause__ if error.orig else None)
    return _driver_lost_the_line(error)


def _driver_lost_the_line(error: BaseException | None) -> bool:
    """True for what asyncpg raises when the server goes away in the middle of an exchange."""
    if isinstance(error, asyncpg.InterfaceError):
        return "connection" in str(error)
    return isinstance(error, (asyncpg.PostgresConnectionError, asyncpg.InternalClientError))


def is_conflict(error: BaseException) -> bool:
    """True when two transactions got in each other's way: deadlock, serialization, lock not available."""
    return _sqlstate(error).startswith(("40", "55P03"))


def _sqlstate(error: BaseException) -> str:
    origin = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(origin, "sqlstate", None)
    return state if isinstance(state, str) else ""


def pause_seconds(failures: int, *, first: float = 0.1, most: float = 5.0) -> float:
    """How long to wait after so many failures in a row: doubling, with jitter, never more than `most`."""
    whole: float = min(most, first * 2 ** min(failures - 1, 16))
    return whole * random.uniform(0.5, 1.0)  # noqa: S311


async def wait_for(stopping: asyncio.Event, seconds: float) -> None:
    """Sleep, but no longer than until `stopping` is set."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), timeout=seconds)

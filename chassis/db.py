"""PostgreSQL: the engine, column types and naming, and the unit of work, the only place that commits."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from sqlalchemy import DateTime, Dialect, Executable, MetaData, Numeric
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool
from sqlalchemy.types import TypeDecorator

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


FROZEN_SECONDS = 10
"""A process that stands still in the middle of a unit of work (stopped, swapped out, cut off) loses it after so long:
its locks must not hold up whoever has taken over. Nobody waits longer than that for a lock either, or the units of work
of such a process would inherit the locks from each other, one after the other."""


def new_metadata() -> MetaData:
    """A MetaData with the naming convention that migrations rely on."""
    return MetaData(naming_convention=NAMING)


class WeiColumn(TypeDecorator[int]):
    """An exact integer of up to 78 digits (uint256 and its negatives): numeric(78, 0) in the database, int here."""

    impl = Numeric(78, 0)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Decimal | None:  # noqa: ARG002
        """An int as the Decimal the driver wants."""
        return None if value is None else Decimal(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:  # noqa: ARG002
        """What the driver gives, as an int."""
        return None if value is None else int(value)


Moment = DateTime(timezone=True)
"""timestamptz: aware UTC datetimes in and out."""

Hook = Callable[["Session"], Awaitable[None]]


class Session:
    """One unit of work: a transaction on one connection, opened by the first statement.

    Use cases and repositories take it; only `Database.unit_of_work` ends it. `buffered` holds what modules of
    the chassis collect until the commit (the outbox its events), under a key of their own.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._connection: AsyncConnection | None = None
        self._on_begin: list[Hook] = []
        self._before_commit: list[Hook] = []
        self._after_commit: list[Callable[[], None]] = []
        self.buffered: dict[str, Any] = {}

    async def connection(self) -> AsyncConnection:
        """The connection of this unit of work, with its transaction begun."""
        if self._connection is None:
            self._connection = await self._engine.connect()
            await self._connection.begin()
            for hook in self._on_begin:
                await hook(self)
        return self._connection

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> CursorResult[Any]:
        """Run one statement inside the unit of work."""
        return await (await self.connection()).execute(statement, parameters)

    async def scalar(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Any:
        """The first column of the first row, or None."""
        return (await self.execute(statement, parameters)).scalar()

    def on_begin(self, hook: Hook) -> None:
        """Run `hook` right after the transaction begins, before the first statement of the use case."""
        self._on_begin.append(hook)

    def before_commit(self, hook: Hook) -> None:
        """Run `hook` inside the transaction, right before it commits, in order of registration."""
        self._before_commit.append(hook)

    def after_commit(self, hook: Callable[[], None]) -> None:
        """Run `hook` once the commit is durable; it must not fail and not block."""
        self._after_commit.append(hook)

    async def _commit(self) -> None:
        for hook in self._before_commit:
            await hook(self)
        if self._connection is not None:
            await self._connection.commit()

    async def _close(self) -> None:
        if self._connection is not None:
            await self._connection.close()  # rolls back whatever was not committed
            self._connection = None


class Database:
    """A pool of connections to one PostgreSQL database."""

    def __init__(self, dsn: str, *, pool_size: int = 10, application_name: str = "btrst") -> None:
        self.dsn = dsn
        self.pool_limit = 2 * pool_size
        self.engine = create_async_engine(
            async_dsn(dsn),
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=10,
            pool_pre_ping=True,
            connect_args={
                "timeout": 5,
                "command_timeout": 60,
                "server_settings": {
                    "application_name": application_name,
                    "idle_in_transaction_session_timeout": f"{FROZEN_SECONDS}s",
                    "lock_timeout": f"{FROZEN_SECONDS}s",
                },
            },
        )

    def connections_in_use(self) -> float:
        """How many connections of the pool are lent out, of `pool_limit`."""
        pool = self.engine.pool
        return float(pool.checkedout()) if isinstance(pool, QueuePool) else 0.0

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[Session]:
        """A session that commits when the block ends well and rolls back when it raises."""
        session = Session(self.engine)
        try:
            yield session
            await session._commit()
        finally:
            await session._close()
        for hook in session._after_commit:
            hook()

    async def close(self) -> None:
        """Close every pooled connection."""
        await self.engine.dispose()


_TLS_OPTION = re.compile(r"(?<![^&])(?:ssl|sslmode)=")


def async_dsn(dsn: str) -> str:
    """The DSN with the asyncpg driver named: SQLAlchemy 2.1 reads a bare `postgresql://` as psycopg.

    It hands what follows `?` to the driver's function, which calls libpq's `sslmode` `ssl`. Raises: ValueError.
    """
    scheme, _, rest = dsn.partition("://")
    if scheme not in {"postgresql", "postgres", "postgresql+asyncpg"}:
        raise ValueError(f"DATABASE_URL must begin with postgresql://, not {scheme}://")
    address, mark, options = rest.partition("?")
    return f"postgresql+asyncpg://{address}{mark}{_TLS_OPTION.sub('ssl=', options)}"


def plain_dsn(dsn: str) -> str:
    """The DSN as libpq and asyncpg read it, without a driver name."""
    address, mark, options = async_dsn(dsn).partition("://")[2].partition("?")
    return f"postgresql://{address}{mark}{_TLS_OPTION.sub('sslmode=', options)}"

"""Schema migrations: one alembic history per service, run by the operator or the development supervisor."""

import asyncio
import io
from pathlib import Path

from alembic import command, context
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, MetaData, pool
from sqlalchemy.ext.asyncio import create_async_engine

from chassis.db import async_dsn


def config_for(dsn: str, location: str | Path) -> Config:
    """The alembic configuration of the history in `location` against the database `dsn`."""
    config = Config()
    config.set_main_option("script_location", str(location).replace("%", "%%"))
    config.attributes["dsn"] = dsn
    return config


def upgrade(dsn: str, location: str | Path, revision: str = "head") -> None:
    """Bring the database to `revision`; nothing happens when it is there already."""
    command.upgrade(config_for(dsn, location), revision)


def downgrade(dsn: str, location: str | Path, revision: str) -> None:
    """Take the database back to `revision`."""
    command.downgrade(config_for(dsn, location), revision)


async def is_behind(dsn: str, location: str | Path) -> bool:
    """Whether the database still lacks a migration of the history in `location`.

    A database at a revision that this code does not know is newer, not behind: so an older version can come back.
    Raises: what the driver raises when the database does not answer.
    """
    engine = create_async_engine(async_dsn(dsn), poolclass=pool.NullPool)
    try:
        async with engine.connect() as connection:
            current = await connection.run_sync(lambda plain: MigrationContext.configure(plain).get_current_revision())
    finally:
        await engine.dispose()
    history = ScriptDirectory.from_config(config_for(dsn, location))
    if current is None or current == history.get_current_head():
        return current is None
    try:
        return history.get_revision(current) is not None
    except CommandError:
        return False


def sql_between(dsn: str, location: str | Path, before: str | None, revision: str) -> str:
    """The SQL that takes a database at `before` (None: an empty one) up or down to `revision`; nothing is run."""
    config = config_for(dsn, location)
    config.output_buffer = io.StringIO()
    known = list(ScriptDirectory.from_config(config).walk_revisions())  # the newest first
    places = {script.revision: place for place, script in enumerate(reversed(known), start=1)} | {"base": 0}
    places["head"] = len(known)
    span = f"{before or 'base'}:{revision}"
    if places.get(revision, len(known)) < places.get(before or "base", 0):
        command.downgrade(config, span, sql=True)
    else:
        command.upgrade(config, span, sql=True)
    return config.output_buffer.getvalue().strip()


def run_env(metadata: MetaData) -> None:
    """What a service's `migrations/env.py` calls: run the migrations that alembic chose, in one transaction."""
    if context.is_offline_mode():
        options = {"paramstyle": "named"}  # else every % of a statement is doubled
        context.configure(dialect_name="postgresql", dialect_opts=options, target_metadata=metadata, literal_binds=True)
        with context.begin_transaction():
            context.run_migrations()
        return
    dsn = context.config.attributes["dsn"]
    asyncio.run(_run(dsn, metadata))


async def _run(dsn: str, metadata: MetaData) -> None:
    engine = create_async_engine(async_dsn(dsn), poolclass=pool.NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_migrate, metadata)
            await connection.commit()
    finally:
        await engine.dispose()


def _migrate(connection: Connection, metadata: MetaData) -> None:
    context.configure(connection=connection, target_metadata=metadata, compare_type=True)
    with context.begin_transaction():
        # one migration at a time, however many replicas start at once
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7235900117)")
        context.run_migrations()

"""Reading a contract's logs into a service's tables, exactly once, through reorganisations and restarts."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import structlog
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from chassis.chain.client import ChainClient
from chassis.chain.errors import ChainMismatch, RpcError, RpcUnavailable
from chassis.chain.measures import show_head, show_indexer
from chassis.chain.pins import check_pins
from chassis.chain.tables import ChainTables
from chassis.chain.values import Block, Log
from chassis.db import Database, Session

log = structlog.get_logger(__name__)

KEPT_BLOCKS = 512
RANGES_PER_TICK = 20


@dataclass(frozen=True)
class Cursor:
    """The last block whose logs are in the tables; `timestamp` is chain time in Unix seconds."""

    number: int
    hash: str
    timestamp: int


@dataclass(frozen=True)
class IndexReport:
    """How far the indexer is: `target_block` is the newest block it may read now."""

    cursor_block: int | None
    target_block: int
    logs: int
    caught_up: bool


LogHandler = Callable[[Session, Log], Awaitable[None]]
Rollback = Callable[[Session, int], Awaitable[None]]
BlockHandler = Callable[[Session, Block], Awaitable[None]]
Follow = Literal["latest", "finalized"] | int


async def cursor_of(session: Session, tables: ChainTables, name: str) -> Cursor | None:
    """Where the indexer `name` stands, or None when it has read nothing yet."""
    cursors = tables.cursors
    row = (await session.execute(select(cursors).where(cursors.c.name == name))).one_or_none()
    return Cursor(row.block_number, row.block_hash, row.block_timestamp) if row else None


class LogIndexer:
    """Reads logs in ranges; the handler's writes and the cursor commit together.

    `follow`: up to the newest block, up to `finalized`, or a number of blocks behind the newest. When a block
    that was read is no longer on the chain, `rollback(session, from_block)` must undo everything the handler
    wrote for blocks from `from_block` on; they are then read again. `on_block` hears of the last block of each
    range. Any number of processes may run it; the cursor's row lock lets one advance at a time.
    """

    def __init__(
        self,
        database: Database,
        client: ChainClient,
        tables: ChainTables,
        *,
        name: str,
        addresses: Sequence[str],
        topics: Sequence[Any],
        handler: LogHandler,
        rollback: Rollback,
        start_block: int = 0,
        follow: Follow = "latest",
        range_blocks: int = 2_000,
        on_block: BlockHandler | None = None,
    ) -> None:
        self._database = database
        self._client = client
        self._tables = tables
        self._name = name
        self._addresses = list(addresses)
        self._topics = list(topics)
        self._handler = handler
        self._rollback = rollback
        self._start_block = start_block
        self._follow = follow
        self._max_range = self._range = range_blocks
        self._on_block = on_block
        self._is_pinned = False

    async def tick(self) -> IndexReport:
        """Read what is new, at most a few ranges.

        Raises: RpcUnavailable; ChainMismatch when this is another chain, or the reorganisation is deeper than
        the block hashes kept.
        """
        try:
            report = await self._tick()
        except (RpcUnavailable, RpcError, ChainMismatch):
            self._is_pinned = False  # what answers next may be another node
            raise
        show_indexer(self._name, cursor_block=report.cursor_block, target_block=report.target_block)
        return report

    async def _tick(self) -> IndexReport:
        await self._check_pins()
        cursor = await self._settled_cursor()
        target = await self._target()
        logs = 0
        for _ in range(RANGES_PER_TICK):
            start = self._start_block if cursor is None else cursor.number + 1
            if start > target:
                break
            read = await self._advance(cursor, start, min(target, start + self._range - 1))
            if read is None:
                break
            cursor, found = read
            logs += found
        number = cursor.number if cursor else None
        return IndexReport(number, target, logs, caught_up=(number or 0) >= target)

    async def _check_pins(self) -> None:
        if not self._is_pinned:
            contracts = {f"{self._name} contract": address for address in self._addresses}
            await check_pins(self._database, self._tables, self._client, contracts)
            self._is_pinned = True

    async def _target(self) -> int:
        if self._follow == "finalized":
            final = await self._client.block("finalized")
            return final.number if final else -1
        tip = await self._client.block_number()
        return tip if self._follow == "latest" else tip - int(self._follow)

    async def _settled_cursor(self) -> Cursor | None:
        """The cursor, taken back to the newest block that is still on the chain."""
        async with self._database.unit_of_work() as session:
            cursor = await cursor_of(session, self._tables, self._name)
        if cursor is None or await self._is_on_chain(cursor.number, cursor.hash):
            return cursor
        ancestor = await self._find_ancestor(cursor)
        async with self._database.unit_of_work() as session:
            if await self._lock_cursor(session) != cursor:
                return await cursor_of(session, self._tables, self._name)
            await self._rollback(session, ancestor.number + 1)
            blocks = self._tables.blocks
            above = (blocks.c.cursor_name == self._name) & (blocks.c.number > ancestor.number)
            await session.execute(delete(blocks).where(above))
            await self._store_cursor(session, ancestor)
        log.warning("chain.reorganised", indexer=self._name, was=cursor.number, back_to=ancestor.number)
        return ancestor

    async def _find_ancestor(self, cursor: Cursor) -> Cursor:
        blocks = self._tables.blocks
        async with self._database.unit_of_work() as session:
            rows = await session.execute(
                select(blocks).where(blocks.c.cursor_name == self._name).order_by(blocks.c.number.desc())
            )
            kept = [Cursor(row.number, row.hash, row.timestamp) for row in rows]
        for each in kept:
            if await self._is_on_chain(each.number, each.hash):
                return each
        raise ChainMismatch(
            f"{self._name}: block {cursor.number} {cursor.hash} and all {len(kept)} kept before it are not on this "
            "chain: it was reset, or reorganised deeper than can be undone"
        )

    async def _is_on_chain(self, number: int, block_hash: str) -> bool:
        block = await self._client.block(number)
        return block is not None and block.hash == block_hash

    async def _advance(self, cursor: Cursor | None, start: int, end: int) -> tuple[Cursor, int] | None:
        """One range, or None when the chain or another process moved meanwhile: the next tick sees to it."""
        last = await self._client.block(end)
        if last is None:
            return None
        logs = await self._read_logs(start, end)
        if logs is None or not await self._is_on_chain(end, last.hash):
            return None
        if cursor is not None and not await self._is_on_chain(cursor.number, cursor.hash):
            return None
        reached = Cursor(last.number, last.hash, last.timestamp)
        show_head(self._name, last.number, last.timestamp)
        async with self._database.unit_of_work() as session:
            if await self._lock_cursor(session) != cursor:
                return None
            for each in logs:
                await self._handler(session, each)
            if self._on_block is not None:
                await self._on_block(session, last)
            await self._store_cursor(session, reached)
            await self._keep_block(session, reached)
        return reached, len(logs)

    async def _read_logs(self, start: int, end: int) -> list[Log] | None:
        try:
            logs = await self._client.logs(
                from_block=start, to_block=end, addresses=self._addresses, topics=self._topics
            )
        except RpcError as refusal:
            if end == start:
                raise
            self._range = max(1, (end - start + 1) // 2)  # most nodes cap the range or the answer
            log.info("chain.smaller_range", indexer=self._name, blocks=self._range, reason=refusal.message)
            return None
        self._range = min(self._max_range, self._range * 2)
        return logs

    async def _lock_cursor(self, session: Session) -> Cursor | None:
        # The advisory lock also covers the time before there is a row to lock.
        key = func.hashtextextended(f"chain cursor {self._name}", 0)
        await session.execute(select(func.pg_advisory_xact_lock(key)))
        return await cursor_of(session, self._tables, self._name)

    async def _store_cursor(self, session: Session, cursor: Cursor) -> None:
        values = {
            "block_number": cursor.number,
            "block_hash": cursor.hash,
            "block_timestamp": cursor.timestamp,
            "updated_at": func.clock_timestamp(),
        }
        statement = insert(self._tables.cursors).values(name=self._name, **values)
        await session.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))

    async def _keep_block(self, session: Session, cursor: Cursor) -> None:
        blocks = self._tables.blocks
        values = {"hash": cursor.hash, "timestamp": cursor.timestamp}
        statement = insert(blocks).values(cursor_name=self._name, number=cursor.number, **values)
        await session.execute(statement.on_conflict_do_update(index_elements=["cursor_name", "number"], set_=values))
        mine = blocks.c.cursor_name == self._name
        oldest = (
            select(blocks.c.number)
            .where(mine)
            .order_by(blocks.c.number.desc())
            .offset(KEPT_BLOCKS)
            .limit(1)
            .scalar_subquery()
        )
        await session.execute(delete(blocks).where(mine, blocks.c.number <= oldest))

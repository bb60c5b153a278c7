"""The log indexer: exactly once through ranges, restarts, reorganisations and two processes."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, Table, Text, select

from chassis.chain.errors import ChainMismatch
from chassis.chain.indexer import LogIndexer, cursor_of
from chassis.chain.values import Block, Log, hex_text
from chassis.db import Session
from chassis.localchain import LocalChain
from tests.chassis.chain.chain_world import World, settle

pytestmark = pytest.mark.chain


class Index:
    """A service's table of pings, and an indexer that fills it."""

    def __init__(self, world: World, **options: Any) -> None:
        self.world = world
        self.blocks: list[int] = []
        self.rolled_back: list[int] = []
        self.table = world.metadata.tables.get("pings")
        if self.table is None:
            self.table = Table("pings", world.metadata, Column("number", BigInteger), Column("hash", Text))
        self.indexer = LogIndexer(
            world.database,
            options.pop("client", world.client),
            world.tables,
            name="pings",
            addresses=[world.probe.address],
            topics=[[world.probe.topic("Pinged")]],
            handler=self.on_log,
            rollback=self.roll_back,
            on_block=self.on_block,
            **options,
        )

    async def create(self) -> "Index":
        async with self.world.database.engine.begin() as connection:
            await connection.run_sync(self.world.metadata.create_all)
        return self

    async def on_log(self, session: Session, log: Log) -> None:
        await session.execute(self.table.insert().values(number=log.block_number, hash=log.transaction_hash))

    async def on_block(self, session: Session, block: Block) -> None:
        self.blocks.append(block.number)

    async def roll_back(self, session: Session, from_block: int) -> None:
        self.rolled_back.append(from_block)
        await session.execute(self.table.delete().where(self.table.c.number >= from_block))

    async def rows(self) -> list[tuple[int, str]]:
        async with self.world.database.unit_of_work() as session:
            rows = await session.execute(select(self.table).order_by(self.table.c.number))
            return [(row.number, row.hash) for row in rows]


async def ping(world: World) -> str:
    """One ping in a block of its own, sent by an account of the node."""
    sender = (await world.client.rpc.call("eth_accounts"))[0]
    call = {"from": sender, "to": world.probe.address, "data": hex_text(world.probe.encode("probe", 0))}
    sent: str = await world.client.rpc.call("eth_sendTransaction", call | {"gas": hex(100_000)})
    await world.mine()
    return sent


async def test_every_log_is_handled_once_with_its_cursor(world: World) -> None:
    index = await Index(world, range_blocks=3).create()
    sent = [await ping(world) for _ in range(4)]
    report = await index.indexer.tick()
    assert report.caught_up
    assert [each for _, each in await index.rows()] == sent
    assert report.cursor_block == report.target_block == await world.client.block_number()
    assert index.blocks[-1] == report.cursor_block
    again = Index(world)
    assert (await again.indexer.tick()).logs == 0
    assert (await again.indexer.tick()).caught_up
    sent.append(await ping(world))
    assert (await again.indexer.tick()).logs == 1
    assert [each for _, each in await index.rows()] == sent
    async with world.database.unit_of_work() as session:
        cursor = await cursor_of(session, world.tables, "pings")
    tip = await world.client.block()
    assert cursor is not None
    assert tip is not None
    assert (cursor.number, cursor.hash, cursor.timestamp) == (tip.number, tip.hash, tip.timestamp)


async def test_a_failing_handler_leaves_the_cursor_where_it_was(world: World) -> None:
    index = await Index(world).create()
    await ping(world)

    async def fail(session: Session, log: Log) -> None:
        await index.on_log(session, log)
        raise ValueError("not now")

    index.indexer._handler = fail
    with pytest.raises(ValueError, match="not now"):
        await index.indexer.tick()
    assert await index.rows() == []
    index.indexer._handler = index.on_log
    await index.indexer.tick()
    assert len(await index.rows()) == 1


async def test_a_reorganisation_is_undone_and_read_again(world: World) -> None:
    index = await Index(world, range_blocks=1).create()
    kept = await ping(world)
    lost = await ping(world)
    await index.indexer.tick()
    assert [each for _, each in await index.rows()] == [kept, lost]
    tip = await world.client.block_number()
    await world.client.rpc.call("anvil_reorg", 1, [])
    replacement = await ping(world)
    await index.indexer.tick()
    await index.indexer.tick()
    assert index.rolled_back == [tip]
    assert [each for _, each in await index.rows()] == [kept, replacement]


async def test_a_reorganisation_to_a_shorter_chain_is_seen(world: World) -> None:
    index = await Index(world, range_blocks=1).create()
    await ping(world)
    snapshot = await world.client.rpc.call("evm_snapshot")
    await ping(world)
    await ping(world)
    await index.indexer.tick()
    assert len(await index.rows()) == 3
    await world.client.rpc.call("evm_revert", snapshot)
    await index.indexer.tick()
    assert len(await index.rows()) == 1


async def test_following_at_a_depth_never_reads_what_may_move(world: World) -> None:
    index = await Index(world, follow=2).create()
    await ping(world)
    await world.mine()
    await index.indexer.tick()
    assert await index.rows() == []
    await world.mine()
    await index.indexer.tick()
    assert len(await index.rows()) == 1


async def test_following_finality(world: World) -> None:
    index = await Index(world, follow="finalized").create()
    await ping(world)
    for _ in range(8):
        report = await index.indexer.tick()
        final = await world.client.block("finalized")
        assert final is not None
        assert report.target_block == final.number
        if await index.rows():
            break
        await world.mine()
    assert (await index.rows())[0][0] <= report.target_block


async def test_two_processes_index_every_log_once(world: World) -> None:
    first, second = await Index(world, range_blocks=1).create(), Index(world, range_blocks=2)
    sent = [await ping(world) for _ in range(8)]
    for _ in range(6):
        await asyncio.gather(first.indexer.tick(), second.indexer.tick())
    assert [each for _, each in await first.rows()] == sent


async def test_a_node_that_caps_the_range_is_asked_for_less(world: World) -> None:
    from chassis.chain.client import ChainClient
    from chassis.chain.errors import RpcError

    class Capped(ChainClient):
        async def logs(self, **options: Any) -> list[Log]:
            if options["to_block"] - options["from_block"] >= 4:
                raise RpcError(-32600, "query exceeds max block range 4")
            return await super().logs(**options)

    index = await Index(world, client=Capped(world.client.rpc), range_blocks=64).create()
    sent = [await ping(world) for _ in range(12)]
    for _ in range(30):
        if (await index.indexer.tick()).caught_up:
            break
    assert [each for _, each in await index.rows()] == sent


async def test_another_chain_is_refused(world: World, tmp_path: Any) -> None:
    from chassis.chain.client import ChainClient
    from chassis.chain.rpc import JsonRpc

    index = await Index(world).create()
    await ping(world)
    await index.indexer.tick()
    await settle(1.1)
    async with LocalChain(tmp_path / "other", mine=False) as other:
        client = ChainClient(JsonRpc([other.url]))
        with pytest.raises(ChainMismatch):
            await Index(world, client=client).indexer.tick()
        await client.close()
    assert len(await index.rows()) == 1

"""A process that drives a lane until a failpoint kills it: `python -m tests.chassis.chain.crash_worker JSON`."""

import asyncio
import json
import sys
from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, Table, Text

from chassis import failpoints
from chassis.chain.abi import Contract
from chassis.chain.client import ChainClient
from chassis.chain.intents import Intent
from chassis.chain.keys import key_from_hex
from chassis.chain.lane_run import Callbacks
from chassis.chain.rpc import JsonRpc
from chassis.chain.signer import IntentSigner, allow
from chassis.chain.tables import Lane, chain_tables
from chassis.chain.tx_manager import TxManager, TxSettings
from chassis.db import Database, Session, new_metadata
from tests.chassis.chain.chain_world import GWEI, PROBE_ABI


def told_table(metadata: MetaData) -> Table:
    """What the service has done about each change of state, in the unit of work of that change."""
    return Table("told", metadata, Column("what", Text), Column("nonce", BigInteger))


def telling(table: Table) -> Callbacks:
    """Callbacks that write one row each."""

    def tell(what: str) -> Any:
        async def callback(session: Session, intent: Intent, *_: object) -> None:
            await session.execute(table.insert().values(what=what, nonce=intent.nonce))

        return callback

    return Callbacks(*(tell(what) for what in ("included", "confirmed", "final", "unconfirmed", "failed")))


def build(database: Database, options: dict[str, Any]) -> tuple[TxManager, ChainClient, MetaData]:
    """A manager of the lane the options name."""
    metadata = new_metadata()
    lane = Lane("test", chain_tables(metadata))
    client = ChainClient(JsonRpc([options["url"]]))
    probe = Contract(options["probe"], PROBE_ABI)
    signer = IntentSigner(
        key_from_hex(options["key"]),
        chain_id=31337,
        allowed=allow(probe, "probe"),
        max_fee_per_gas_wei=500 * GWEI,
    )
    settings = TxSettings(
        lease_seconds=0.5, rebroadcast_seconds=0.0, replace_after_seconds=options["replace_after_seconds"]
    )
    callbacks = telling(told_table(metadata))
    manager = TxManager(
        database, client, signer, lane, settings, contracts={"probe": probe.address}, callbacks=callbacks
    )
    return manager, client, metadata


async def main(options: dict[str, Any]) -> None:
    """Tick and mine, many times; a test that gets to the end has found that nothing killed it."""
    failpoints.arm(options["failpoint"], allowed=True)
    manager, client, _ = build(Database(options["dsn"]), options)
    for _ in range(30):
        report = await manager.tick()
        if report.leader and options["mine"]:
            await client.rpc.call("evm_mine")
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))

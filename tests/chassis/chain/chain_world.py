"""A real node, a real database, a tiny contract and a lane on them, with blocks mined by hand."""

import asyncio
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData, insert, select

from chassis.chain.abi import Contract
from chassis.chain.client import ChainClient
from chassis.chain.intents import Intent, IntentState, list_in_flight, reserve
from chassis.chain.keys import MemoryKey
from chassis.chain.rpc import JsonRpc
from chassis.chain.signer import IntentSigner, allow
from chassis.chain.tables import ChainTables, Lane, chain_tables
from chassis.chain.tx_manager import Callbacks, Failure, TickReport, TxManager, TxSettings
from chassis.chain.values import Receipt, hex_bytes, hex_text
from chassis.db import Database, Session, new_metadata
from chassis.localchain import LocalChain

GWEI = 10**9

PROBE_ABI: list[dict[str, Any]] = [
    {"type": "function", "name": "probe", "inputs": [{"name": "mode", "type": "uint256"}], "outputs": []},
    {"type": "event", "name": "Pinged", "inputs": [], "anonymous": False},
    {"type": "error", "name": "Refused", "inputs": []},
]
PING, REFUSE, SILENT, BURN = 0, 1, 2, 3
"""What `probe(mode)` does: emit Pinged, revert with Refused(), succeed without a log, use up all gas."""


def probe_bytecode() -> bytes:
    """Creation code of the probe contract, assembled by hand."""
    shape = Contract("0x" + "00" * 20, PROBE_ABI)
    topic = hex_bytes(shape.topic("Pinged"))
    refused = next(iter(set(shape._errors) - {b"\x08\xc3y\xa0", b"NH{q"}))
    # mode: PUSH1 4 CALLDATALOAD; three times DUP1 PUSH1 mode EQ PUSH1 label JUMPI
    head_length, log_length = 3 + 3 * 7, 33 + 2 + 2 + 1 + 1
    refuse = head_length + log_length
    silent = refuse + 1 + 5 + 2 + 1 + 2 + 1 + 2 + 2 + 1
    burn = silent + 2
    head = bytes.fromhex("600435")
    for mode, label in ((REFUSE, refuse), (SILENT, silent), (BURN, burn)):
        head += bytes([0x80, 0x60, mode, 0x14, 0x60, label, 0x57])
    log = b"\x7f" + topic + bytes.fromhex("60006000a100")
    reverting = b"\x5b\x63" + refused + bytes.fromhex("60e01b60005260046000fd")
    code = head + log + reverting + b"\x5b\x00" + bytes([0x5B, 0x60, burn, 0x56])
    assert code[refuse] == code[silent] == code[burn] == 0x5B
    # PUSH1 length DUP1 PUSH1 offset PUSH1 0 CODECOPY PUSH1 0 RETURN
    return bytes([0x60, len(code), 0x80, 0x60, 11, 0x60, 0, 0x39, 0x60, 0, 0xF3]) + code


@dataclass
class Heard:
    """What the service's callbacks were told, in order."""

    calls: list[tuple[str, int]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def callbacks(self) -> Callbacks:
        async def included(session: Session, intent: Intent, receipt: Receipt) -> None:
            self.calls.append(("included", intent.nonce))

        async def confirmed(session: Session, intent: Intent, receipt: Receipt) -> None:
            self.calls.append(("confirmed", intent.nonce))

        async def final(session: Session, intent: Intent, receipt: Receipt) -> None:
            self.calls.append(("final", intent.nonce))

        async def unconfirmed(session: Session, intent: Intent) -> None:
            self.calls.append(("unconfirmed", intent.nonce))

        async def failed(session: Session, intent: Intent, failure: Failure) -> None:
            self.calls.append(("failed", intent.nonce))
            self.failures.append(failure)

        return Callbacks(included, confirmed, final, unconfirmed, failed)


class World:
    """One test's chain, database, contract, key and lane."""

    def __init__(self, chain: LocalChain, database: Database, metadata: MetaData, tables: ChainTables) -> None:
        self.chain = chain
        self.database = database
        self.metadata = metadata
        self.tables = tables
        self.lane = Lane("test", tables)
        self.client = ChainClient(JsonRpc([chain.url]))
        self.key = MemoryKey(secrets.token_bytes(32))
        self.heard = Heard()
        self.probe: Contract = Contract("0x" + "00" * 20, PROBE_ABI)

    async def prepare(self) -> None:
        """Create the tables, deploy the probe, fund the key."""
        async with self.database.engine.begin() as connection:
            await connection.run_sync(self.metadata.create_all)
        await self.client.rpc.call("anvil_setBalance", self.key.address, hex(10**21))
        self.probe = await self.deploy()

    async def deploy(self) -> Contract:
        """A fresh probe contract, paid by one of the node's own accounts."""
        sender = (await self.client.rpc.call("eth_accounts"))[0]
        sent = {"from": sender, "data": hex_text(probe_bytecode()), "gas": hex(500_000)}
        created = await self.client.rpc.call("eth_sendTransaction", sent)
        await self.mine()
        receipt = await self.client.receipt(created)
        assert receipt is not None
        assert receipt.contract_address is not None
        return Contract(receipt.contract_address, PROBE_ABI)

    def signer(self, **options: Any) -> IntentSigner:
        """A signer that may call `probe`."""
        options = {"chain_id": 31337, "max_fee_per_gas_wei": 500 * GWEI} | options
        return IntentSigner(self.key, allowed=allow(self.probe, "probe"), **options)

    def manager(
        self, *, client: ChainClient | None = None, signer: IntentSigner | None = None, **settings: Any
    ) -> TxManager:
        """A manager of the lane that tells `heard`; rebroadcasts every tick."""
        return TxManager(
            self.database,
            client or self.client,
            signer or self.signer(),
            self.lane,
            TxSettings(**({"rebroadcast_seconds": 0.0} | settings)),
            contracts={"probe": self.probe.address},
            callbacks=self.heard.callbacks(),
        )

    async def reserve(self, mode: int = PING, **options: Any) -> Intent:
        """Reserve one call of `probe(mode)`."""
        values: dict[str, Any] = {
            "to": self.probe.address,
            "calldata": self.probe.encode("probe", mode),
            "gas_limit": 100_000,
            "reference": f"mode-{mode}",
            "expected_log": (self.probe.address, self.probe.topic("Pinged")),
        } | options
        async with self.database.unit_of_work() as session:
            return await reserve(session, lane=self.lane, **values)

    async def mine(self, blocks: int = 1) -> None:
        """Mine now."""
        for _ in range(blocks):
            await self.client.rpc.call("evm_mine")

    async def rows(self, table: str = "intents") -> list[Any]:
        """All rows of one of the chain's tables, intents by nonce, attempts by position."""
        target = getattr(self.tables, table)
        order = {"intents": "nonce", "attempts": "position"}.get(table)
        async with self.database.unit_of_work() as session:
            statement = select(target).order_by(target.c[order]) if order else select(target)
            return list((await session.execute(statement)).all())

    async def states(self) -> list[IntentState]:
        """The intents' states by nonce."""
        return [IntentState(row.state) for row in await self.rows()]

    async def in_flight(self) -> list[Intent]:
        """What is not settled."""
        async with self.database.unit_of_work() as session:
            return await list_in_flight(session, self.lane)

    async def run_until(self, manager: TxManager, *wanted: IntentState, blocks: int = 12) -> TickReport:
        """Tick and mine until the intents stand as wanted."""
        for _ in range(blocks):
            report = await manager.tick()
            if await self.states() == list(wanted):
                return report
            await self.mine()
        raise AssertionError(f"{await self.states()} instead of {wanted}; {report}")

    async def pings(self) -> int:
        """How many times the probe has really emitted its event."""
        logs = await self.client.logs(
            from_block=0, to_block="latest", addresses=[self.probe.address], topics=[self.probe.topic("Pinged")]
        )
        return len(logs)

    async def close(self) -> None:
        """Close what the test opened."""
        await self.client.close()
        await self.database.close()


async def make_world(folder: Path, dsn: str, **options: Any) -> World:
    """A started, prepared world. `options` go to the LocalChain."""
    chain = LocalChain(folder, **({"mine": False} | options))
    await chain.start()
    metadata = new_metadata()
    world = World(chain, Database(dsn), metadata, chain_tables(metadata))
    await world.prepare()
    return world


class DeafRpc(JsonRpc):
    """A node whose answers to sends get lost on the way back: the request itself arrives."""

    deaf = True
    lost = 0

    async def call(self, method: str, *params: Any, once: bool = False) -> Any:
        from chassis.chain.errors import RpcUnavailable

        result = await super().call(method, *params, once=once)
        if method == "eth_sendRawTransaction" and self.deaf:
            self.lost += 1
            raise RpcUnavailable("the answer was lost")
        return result


async def copy_rows(world: World, table: str) -> list[dict[str, Any]]:
    """A backup of one table."""
    return [dict(row._mapping) for row in await world.rows(table)]


async def restore_rows(world: World, table: str, rows: list[dict[str, Any]]) -> None:
    """Put a backup of one table back, over what is there now."""
    target = getattr(world.tables, table)
    async with world.database.unit_of_work() as session:
        await session.execute(target.delete())
        for row in rows:
            await session.execute(insert(target).values(row))


async def settle(seconds: float) -> None:
    """Let real time pass."""
    await asyncio.sleep(seconds)

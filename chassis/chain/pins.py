"""Pins: the chain's id, its genesis block and the contracts' code, stored at first use and compared ever after."""

from collections.abc import Mapping
from dataclasses import dataclass

from eth_utils.crypto import keccak
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from chassis.chain.client import ChainClient
from chassis.chain.errors import ChainMismatch, RpcUnavailable
from chassis.chain.tables import ChainTables
from chassis.chain.values import hex_text
from chassis.db import Database, Session


@dataclass(frozen=True)
class ChainIdentity:
    """Which chain a node speaks for."""

    chain_id: int
    genesis_hash: str


async def check_pins(
    database: Database, tables: ChainTables, client: ChainClient, contracts: Mapping[str, str]
) -> ChainIdentity:
    """Pin the chain and the code of `contracts` (name → address), or compare them with what is pinned.

    Raises: ChainMismatch when anything differs or an address has no code; RpcUnavailable.
    """
    identity = await read_identity(client)
    seen = {"chain_id": str(identity.chain_id), "genesis_hash": identity.genesis_hash}
    empty = []
    for name, address in sorted(contracts.items()):
        code = await client.code(address)
        if not code:
            empty.append(f"{name} {address}")
        seen[f"code:{address.lower()}"] = hex_text(keccak(code))
    async with database.unit_of_work() as session:
        pinned = await _pinned(session, tables)
        differing = [subject for subject, value in seen.items() if pinned.get(subject, value) != value]
        if differing:
            raise ChainMismatch(_difference(differing, pinned, seen))
        if empty:
            raise ChainMismatch(f"no contract code at {', '.join(empty)}: is this the chain it was deployed to?")
        rows = [{"subject": subject, "value": value} for subject, value in seen.items()]
        await session.execute(insert(tables.pins).values(rows).on_conflict_do_nothing())
    return identity


async def read_identity(client: ChainClient) -> ChainIdentity:
    """The chain's id and genesis hash, as the node says.

    Raises: RpcUnavailable.
    """
    genesis = await client.block(0)
    if genesis is None:
        raise RpcUnavailable("the node has no genesis block yet")
    return ChainIdentity(await client.chain_id(), genesis.hash)


async def _pinned(session: Session, tables: ChainTables) -> dict[str, str]:
    rows = await session.execute(select(tables.pins.c.subject, tables.pins.c.value))
    return {row.subject: row.value for row in rows}


def _difference(differing: list[str], pinned: Mapping[str, str], seen: Mapping[str, str]) -> str:
    parts = [f"{each} is {seen[each]}, pinned {pinned[each]}" for each in differing]
    return f"another chain, or other code, than at first use: {'; '.join(parts)}. Nothing is signed"

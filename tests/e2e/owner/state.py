"""The rows of every database of a network: what was there and is not any more, and what is new."""

from collections import Counter
from collections.abc import Mapping

import asyncpg

from scripts.api import eventually

SERVICES = ("identity", "jobs", "rewards", "governance")
Rows = dict[str, Counter[str]]

MECHANISM = frozenset({"outbox", "positions", "inbox", "idempotency", "alembic_version"})
"""How events and answers travel; what they were about is in the other tables."""

CHAIN = frozenset(
    {
        *("chain_attempts", "chain_blocks", "chain_cursors", "chain_figures", "chain_lanes", "indexed_blocks"),
        *("payout_state", "prices", "settled_logs", "supply_checkpoints", "vote_checkpoints"),
    }
)
"""What the workers note of the chain and the clock while nobody asks for anything."""

FOLLOWS_THE_CHAIN = {
    "chain_intents": [
        *("state", "is_settled", "transaction_hash", "block_number", "block_hash"),
        *("gas_used", "gas_price_wei", "mined_at", "waiting_since"),
    ],
    "delegations": ["status"],
    "parameter_versions": ["block_number", "chain_tx_hash"],
}
"""Columns that change as blocks are built upon; their rows come into being for a request only."""


async def rows_of(dsn: Mapping[str, str]) -> Rows:
    """Table → the hash of each of its rows, for all tables but those that change by themselves."""
    found: Rows = {}
    for service in SERVICES:
        connection = await asyncpg.connect(dsn[service])
        try:
            for name in await _tables(connection):
                if name in MECHANISM | CHAIN:
                    continue
                statement = f'SELECT md5((to_jsonb(one) - $1::text[])::text) AS hash FROM "{name}" AS one'
                hashes = await connection.fetch(statement, FOLLOWS_THE_CHAIN.get(name, []))
                found[f"{service}.{name}"] = Counter(record["hash"] for record in hashes)
        finally:
            await connection.close()
    return found


async def rows_at_rest(dsn: Mapping[str, str]) -> Rows:
    """The same, once every event has arrived and nothing has changed for a second."""
    latest: Rows = {}

    async def rests() -> bool:
        nonlocal latest
        earlier, latest = latest, await rows_of(dsn)
        arrived = latest["rewards.parties"].total() == latest["identity.members"].total()
        return arrived and earlier == latest and not await _waiting(dsn)

    await eventually("the network is at rest", rests, every=1.0)
    return latest


async def _waiting(dsn: Mapping[str, str]) -> bool:
    """Whether a service has an event that is not sent yet."""
    for service in SERVICES:
        connection = await asyncpg.connect(dsn[service])
        try:
            if await connection.fetchval("SELECT count(*) FROM outbox"):
                return True
        finally:
            await connection.close()
    return False


async def _tables(connection: asyncpg.Connection) -> list[str]:
    records = await connection.fetch(
        "SELECT table_name FROM information_schema.tables "
        "WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY table_name"
    )
    return [record["table_name"] for record in records]


def changes(before: Rows, after: Rows, new: frozenset[str] = frozenset()) -> list[str]:
    """Each table that lost or changed a row, or has new ones and is not among `new`."""
    found = []
    for table, rows in before.items():
        if gone := (rows - after[table]).total():
            found.append(f"{table}: {gone} rows are gone or changed")
        elif (more := (after[table] - rows).total()) and table not in new:
            found.append(f"{table}: {more} rows are new")
    return found

"""PostgreSQL's own `pgbench` with the statements that the consumer and its inbox run for one batch of events."""

import asyncio
import re
import shutil
from pathlib import Path

from chassis.embedded_postgres import find_binaries
from tests.load.events_world import BATCH, TOPIC

# One transaction is one batch: the statements of `chassis.inbox` in their order, then one effect for each event.
_HEAD = """
BEGIN;
SELECT pg_advisory_xact_lock(lock) FROM unnest((SELECT array_agg(hashtextextended('account-' || n, 0))
    FROM generate_series(1, {batch}) AS n)) AS lock;
SELECT DISTINCT p.topic, p.key FROM parked p
JOIN unnest((SELECT array_agg('{topic}'::text) FROM generate_series(1, {batch})),
    (SELECT array_agg(convert_to('account-' || n, 'UTF8')) FROM generate_series(1, {batch}) AS n)) AS k (topic, key)
    ON p.topic = k.topic AND p.key = k.key WHERE p.consumer_group = 'pgbench';
INSERT INTO inbox (consumer_group, event_id, topic, status)
SELECT 'pgbench', lpad(to_hex(nextval('pgbench_ids')), 32, '0')::uuid, '{topic}', 'done'
FROM generate_series(1, {batch}) ON CONFLICT DO NOTHING RETURNING event_id;
"""
_EFFECT = "INSERT INTO effects (account, amount_cents) VALUES ('account-{n}', {n});\n"
_TAIL = """
INSERT INTO positions (consumer_group, topic, partition, position)
SELECT 'pgbench', '{topic}', n, nextval('pgbench_ids') FROM generate_series(0, 5) AS n
ON CONFLICT (consumer_group, topic, partition) DO UPDATE SET position = excluded.position;
COMMIT;
"""


class PgbenchMissing(Exception):
    """`pgbench` is not installed; the message says what to do."""


def find_pgbench() -> str:
    """The path of `pgbench`. Raises: PgbenchMissing."""
    beside = find_binaries() / "pgbench"
    found = str(beside) if beside.exists() else shutil.which("pgbench")
    if not found:
        raise PgbenchMissing("pgbench is missing: install PostgreSQL's client programs (Debian: postgresql-15)")
    return found


def script(folder: Path) -> Path:
    """The script of one batch, written to `folder`."""
    path = folder / "consume.sql"
    effects = "".join(_EFFECT.format(n=n) for n in range(BATCH))
    path.write_text(_HEAD.format(batch=BATCH, topic=TOPIC) + effects + _TAIL.format(topic=TOPIC))
    return path


async def consume(dsn: str, path: Path, seconds: int) -> float:
    """Events a second that one pgbench client gets through."""
    process = await asyncio.create_subprocess_exec(
        *(find_pgbench(), "-n", "-M", "prepared", "-c", "1", "-T", str(seconds), "-f", str(path), dsn),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told = (await process.communicate())[0].decode()
    found = re.search(r"tps = ([0-9.]+)", told)
    if not found:
        raise RuntimeError(f"pgbench failed: {told[-500:]}")
    return float(found[1]) * BATCH

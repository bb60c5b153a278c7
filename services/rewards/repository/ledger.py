"""SQL for the ledger: it is only ever added to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, insert, select

from chassis.db import Session
from chassis.ids import new_id
from services.rewards.domain.ledger import Account, Code, entry
from services.rewards.models import ledger_postings, rewards


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry to write: `amount_wei` is the signed line that the beneficiary sees."""

    code: Code
    amount_wei: int
    reward: Any
    """The reward's row, or anything with id, beneficiary_id and transaction_id."""

    block_number: int | None = None


async def insert_entries(session: Session, entries: Sequence[Entry], at: datetime) -> None:
    """Write entries, each with its two postings; those of 0 wei are left out."""
    rows = [_row(item, entry_id, posting, at) for item, entry_id, posting in _postings(entries)]
    if rows:
        await session.execute(insert(ledger_postings).values(rows))


def _postings(entries: Sequence[Entry]) -> list[tuple[Entry, UUID, Any]]:
    found: list[tuple[Entry, UUID, Any]] = []
    for item in entries:
        if item.amount_wei:
            entry_id = new_id()
            found.extend((item, entry_id, posting) for posting in entry(item.code, item.amount_wei))
    return found


def _row(item: Entry, entry_id: UUID, posting: Any, at: datetime) -> dict[str, Any]:
    return {
        "entry_id": entry_id,
        "code": posting.code,
        "account": posting.account,
        "amount_wei": posting.amount_wei,
        "beneficiary_id": item.reward.beneficiary_id,
        "reward_id": item.reward.id,
        "transaction_id": item.reward.transaction_id,
        "block_number": item.block_number,
        "is_shown": posting.shown,
        "created_at": at,
    }


async def list_lines(
    session: Session, *, beneficiary_id: UUID, after: int | None, limit: int, reward_id: UUID | None = None
) -> list[Row[Any]]:
    """A page of the lines a beneficiary sees, newest first; of one reward if named."""
    query = select(ledger_postings).where(
        ledger_postings.c.beneficiary_id == beneficiary_id, ledger_postings.c.is_shown
    )
    if reward_id is not None:
        query = query.where(ledger_postings.c.reward_id == reward_id)
    if after is not None:
        query = query.where(ledger_postings.c.id < after)
    return list(await session.execute(query.order_by(ledger_postings.c.id.desc()).limit(limit)))


async def list_statement(
    session: Session, *, beneficiary_id: UUID, start: datetime, end: datetime, limit: int
) -> list[Row[Any]]:
    """The lines a beneficiary sees from `start` to before `end`, oldest first, each with what its reward says."""
    lines = ledger_postings
    rows = await session.execute(
        select(
            lines.c.created_at, lines.c.code, lines.c.amount_wei, lines.c.reward_id, lines.c.transaction_id,
            lines.c.block_number, rewards.c.kind, rewards.c.side, rewards.c.price_usd_e8, rewards.c.chain_tx_hash,
        )
        .join(rewards, rewards.c.id == lines.c.reward_id)
        .where(
            lines.c.beneficiary_id == beneficiary_id,
            lines.c.is_shown,
            lines.c.created_at >= start,
            lines.c.created_at < end,
        )
        .order_by(lines.c.id)
        .limit(limit)
    )  # fmt: skip
    return list(rows)


async def minted_between(session: Session, after_block: int, until_block: int) -> int:
    """The wei the ledger says were minted in the blocks behind `after_block` up to `until_block`."""
    found = await session.scalar(
        select(func.coalesce(func.sum(ledger_postings.c.amount_wei), 0)).where(
            ledger_postings.c.account == Account.MINTED,
            ledger_postings.c.block_number > after_block,
            ledger_postings.c.block_number <= until_block,
        )
    )
    return int(found)

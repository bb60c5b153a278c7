"""A statement: a member's ledger lines of some days, as CSV (RFC 4180)."""

import csv
import io
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from chassis.clock import to_rfc3339
from chassis.money import format_btrst
from services.rewards.errors import BadPeriod

COLUMNS = (
    "time", "entry", "amount_wei", "amount_btrst", "reward_id", "kind", "side", "transaction_id", "price_usd_e8",
    "block_number", "chain_tx_hash",
)  # fmt: skip
LONGEST_DAYS = 366
EARLIEST, LATEST = date(2018, 1, 1), date(9000, 1, 1)


def period(first: date | None, last: date | None, today: date) -> tuple[datetime, datetime]:
    """From the beginning of the first day to the end of the last one, in UTC: by default the year up to today.

    Raises: BadPeriod when it ends before it begins, is longer than a year, or is of another age.
    """
    last = last or today
    if first is None:
        first = max(EARLIEST, last - timedelta(days=LONGEST_DAYS - 1)) if last > EARLIEST else last
    if not (EARLIEST <= first <= last <= LATEST and (last - first).days < LONGEST_DAYS):
        raise BadPeriod(f"A statement is of 1 to {LONGEST_DAYS} days since {EARLIEST}, the first not after the last")
    begin = datetime(first.year, first.month, first.day, tzinfo=UTC)
    return begin, begin + timedelta(days=(last - first).days + 1)


def to_csv(lines: Iterable[Any]) -> str:
    """The lines with a header. Every value is an id, a number, a time or one of our words: none needs quoting, and none
    is taken for a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for line in lines:
        is_paid = line.code == "mint"
        amount = format_btrst(line.amount_wei).replace(",", "").replace("−", "-")
        writer.writerow(
            (
                to_rfc3339(line.created_at), line.code, line.amount_wei, amount, line.reward_id, line.kind,
                "" if line.side == "none" else line.side, line.transaction_id or "", line.price_usd_e8 or "",
                line.block_number or "", (line.chain_tx_hash or "") if is_paid else "",
            )
        )  # fmt: skip
    return out.getvalue()

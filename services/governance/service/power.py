"""Use cases of voting power: the index that workers fill, and what it says about a past moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from chassis.db import Session
from chassis.errors import Unprocessable
from services.governance.domain import proposals as rules
from services.governance.errors import IndexBehind
from services.governance.repository import power

NON_VOTING: Final = "0x000000000000000000000000000000000000dEaD"
"""Votes delegated here are cast by nobody and left out of the quorum. Source: BTRST.NON_VOTING."""

UNTIMED_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class VotingPower:
    """An account's votes at a moment of chain time; `block_number` is the newest indexed block up to it."""

    address: str
    votes_wei: int
    at: datetime
    block_number: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A moment of chain time after which a later block has come, so that nothing can change it any more."""

    block_number: int
    timestamp: int


async def read_voting_power(session: Session, *, address: str, at: datetime | None) -> VotingPower:
    """What `address` could vote with at `at`, by default just before the newest indexed block.

    Raises: IndexBehind when nothing is indexed yet; Unprocessable `not_indexed_yet` for a moment that is not past.
    """
    head = await power.find_head(session)
    if head is None:
        raise IndexBehind("No block has been indexed yet")
    second = head.timestamp - 1 if at is None else int(at.timestamp() // 1)
    if second >= head.timestamp:
        raise Unprocessable.field(
            "at", "this moment is not indexed yet: ask for an earlier one", code="not_indexed_yet", where="query"
        )
    block = await power.find_block_at(session, second)
    number = block.number if block is not None else 0
    votes_wei = await power.votes_at(session, address, number) if block is not None else 0
    return VotingPower(address, votes_wei, at or rules.from_unix(second), number)


async def take_snapshot(session: Session) -> Snapshot:
    """The newest moment that a strictly later indexed block follows. Raises: IndexBehind."""
    head = await power.find_head(session)
    block = await power.find_block_at(session, head.timestamp - 1) if head is not None else None
    if block is None:
        raise IndexBehind("Too few blocks have been indexed for a snapshot")
    return Snapshot(block.number, block.timestamp)


async def read_quorum(session: Session, snapshot: Snapshot, *, percent: int, floor_wei: int) -> int:
    """The votes (wei) a proposal with this snapshot needs."""
    return rules.quorum_wei(
        total_supply_wei=await power.supply_at(session, snapshot.block_number),
        non_voting_wei=await power.votes_at(session, NON_VOTING, snapshot.block_number),
        percent=percent,
        floor_wei=floor_wei,
    )


async def record_votes(session: Session, *, account: str, block_number: int, log_index: int, votes_wei: int) -> None:
    """Index one change of an account's votes."""
    await power.insert_votes(
        session, account=account, block_number=block_number, log_index=log_index, votes_wei=votes_wei
    )
    await power.note_logs(session, block_number)


async def record_supply_change(session: Session, *, block_number: int, log_index: int, change_wei: int) -> None:
    """Index one mint (positive) or burn (negative)."""
    await power.insert_supply(session, block_number=block_number, log_index=log_index, change_wei=change_wei)
    await power.note_logs(session, block_number)


async def record_head(session: Session, *, block_number: int, timestamp: int) -> None:
    """Everything up to this block has been indexed."""
    await power.note_head(session, block_number, timestamp)


async def list_untimed_blocks(session: Session) -> list[int]:
    """Blocks with checkpoints whose time the node must still be asked for."""
    return list(await power.list_untimed(session, UNTIMED_AT_ONCE))


async def record_times(session: Session, times: Mapping[int, int]) -> None:
    """Keep block number → chain time; power is known up to the newest head below the first block without one."""
    await power.set_times(session, times)


async def forget_from(session: Session, block_number: int) -> None:
    """Undo the index from a block on, after a reorganisation."""
    await power.forget_from(session, block_number)

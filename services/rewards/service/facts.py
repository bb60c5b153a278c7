"""Facts as they come, in any order: members, payout wallets, parameters. Each wakes what waited for it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from chassis.clock import utc_now
from chassis.db import Session
from chassis.ids import new_id
from chassis.signatures import to_checksum_address
from services.rewards.repository import facts, rewards, transactions
from services.rewards.service.accrual import accrue_transaction, parties_of

WAKE_LIMIT = 100
"""Waiting transactions looked at together; the sweeper takes the rest."""


async def record_member(
    session: Session, *, member_id: UUID, connector_id: UUID | None, registered_at: datetime
) -> None:
    """Keep who referred the member (a fact that never changes) and accrue what waited for it."""
    waiting = await transactions.list_unaccrued(session, member_id, WAKE_LIMIT)
    members = {member_id} | {member for row in waiting for member in parties_of(row)}
    await facts.lock_parties(session, members)
    await facts.learn_party(session, member_id, connector_id=connector_id, registered_at=registered_at)
    for row in waiting:
        await accrue_transaction(session, row.transaction_id)


async def record_unknown_member(session: Session, *, member_id: UUID) -> None:
    """Identity says that there is no such member: transactions of theirs are held `unknown_party`."""
    waiting = await transactions.list_unaccrued(session, member_id, WAKE_LIMIT)
    members = {member_id} | {member for row in waiting for member in parties_of(row)}
    await facts.lock_parties(session, members)
    await facts.mark_party_unknown(session, member_id)
    for row in waiting:
        await accrue_transaction(session, row.transaction_id)


async def take_members_to_ask(session: Session, *, fact_wait_seconds: float, limit: int) -> list[UUID]:
    """Members that transactions have waited for longer than `fact_wait_seconds`; each comes up once per that time."""
    return await facts.take_parties_to_ask(session, utc_now(), timedelta(seconds=fact_wait_seconds), limit)


async def accrue_ready_transactions(session: Session, *, limit: int) -> int:
    """Accrue waiting transactions of which everything is known by now; how many were looked at."""
    ready = await transactions.list_ready(session, limit)
    await facts.lock_parties(session, {member for row in ready for member in parties_of(row)})
    for row in ready:
        await accrue_transaction(session, row.transaction_id)
    return len(ready)


async def record_payout_wallet(session: Session, *, member_id: UUID, address: str, effective_at: datetime) -> None:
    """Add to the member's payout wallets; rewards held for want of one are looked at again once it is effective."""
    await facts.lock_parties(session, {member_id})
    values = {"address": to_checksum_address(address), "effective_at": effective_at}
    await facts.insert_wallet(session, id=new_id(), member_id=member_id, **values)
    await rewards.wake_for_wallet(session, member_id, effective_at)


async def record_parameters(
    session: Session, *, version: int, parameters: Mapping[str, int], effective_at: datetime
) -> None:
    """Keep a version of the network's parameters; the sweeper accrues what waited for it."""
    await facts.insert_parameters(session, version=version, parameters=parameters, effective_at=effective_at)

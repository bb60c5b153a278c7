"""The loops that make sure: ask for missing facts, verify what was told, look again at what is held."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from chassis.clock import utc_now
from chassis.context import Context
from chassis.errors import Unavailable
from chassis.http import HttpUnavailable
from chassis.telemetry import log
from services.rewards.domain.facts import RefundFacts, TransactionFacts
from services.rewards.service import facts, review, verification

LIMIT = 100
AT_ONCE = 10
"""Questions to another service under way together."""


async def ask_for_facts(context: Context) -> bool:
    """Ask identity for members that transactions have waited for too long."""
    async with context.database.unit_of_work() as session:
        missing = await facts.take_members_to_ask(
            session, fact_wait_seconds=context.settings.fact_wait_seconds, limit=LIMIT
        )
    await _each(missing, lambda member_id: _ask_for_member(context, member_id))
    return len(missing) == LIMIT


async def _ask_for_member(context: Context, member_id: UUID) -> None:
    found = await context.resources.services.find_attribution(member_id)
    async with context.database.unit_of_work() as session:
        if found is None:
            await facts.record_unknown_member(session, member_id=member_id)
        else:
            await facts.record_member(
                session, member_id=member_id, connector_id=found.connector_id, registered_at=found.registered_at
            )


async def accrue_ready(context: Context) -> bool:
    """Accrue transactions whose last fact came on a way that could not wake them."""
    async with context.database.unit_of_work() as session:
        return await facts.accrue_ready_transactions(session, limit=LIMIT) == LIMIT


async def verify_transactions(context: Context) -> bool:
    """Ask the jobs service whether recorded transactions are true."""
    async with context.database.unit_of_work() as session:
        pending = await verification.take_unverified(
            session, retry_seconds=context.settings.verify_retry_seconds, limit=LIMIT
        )
    await _each(pending, lambda told: _verify(context, told))
    return len(pending) == LIMIT


async def _verify(context: Context, told: TransactionFacts) -> None:
    asked_at = utc_now()
    true = await context.resources.services.find_transaction(told.transaction_id)
    async with context.database.unit_of_work() as session:
        await verification.settle_verification(
            session,
            transaction_id=told.transaction_id,
            true=true,
            asked_at=asked_at,
            chain_id=context.settings.chain_id,
        )


async def verify_refunds(context: Context) -> bool:
    """Ask the jobs service whether recorded refunds are true."""
    async with context.database.unit_of_work() as session:
        pending = await verification.take_unverified_refunds(
            session, retry_seconds=context.settings.verify_retry_seconds, limit=LIMIT
        )
    await _each(pending, lambda told: _verify_refund(context, told))
    return len(pending) == LIMIT


async def _verify_refund(context: Context, told: RefundFacts) -> None:
    key = {"transaction_id": told.transaction_id, "refund_id": told.refund_id}
    true_facts = await context.resources.services.find_refund(**key)
    async with context.database.unit_of_work() as session:
        await verification.settle_refund(session, **key, true_facts=true_facts)


async def _each(items: list[Any], ask: Callable[[Any], Awaitable[None]]) -> None:
    """Ask about each item, a few at once; a service that is away leaves its items for later."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def guarded(item: Any) -> None:
        async with gate:
            try:
                await ask(item)
            except (HttpUnavailable, Unavailable) as problem:
                log.warning("service_away", error=str(problem)[:300])

    results = await asyncio.gather(*(guarded(item) for item in items), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


async def review_due(context: Context) -> bool:
    """Look again at held rewards whose time has come."""
    async with context.database.unit_of_work() as session:
        return await review.review_due_rewards(session, limit=LIMIT) == LIMIT

"""When a stream ends, and what does not end it; how many there may be; that numbers come in the order of commits."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from chassis.clock import utc_now
from chassis.db import Database, Session
from chassis.envelope import wrap
from chassis.ids import new_id
from chassis.testing import TokenMint, eventually
from events.jobs import JobOpened
from services.identity.domain.feed import OLDEST
from services.identity.service.feed import read_feed, record_event
from tests.identity.feeds import OPENED, Feeds, feeds, job_opened
from tests.streams import Reader, stream


@pytest.fixture
async def running(identity_dsn: str, mint: TokenMint) -> AsyncIterator[Feeds]:
    async with feeds(identity_dsn, mint, max_streams=4, max_streams_per_member=2) as found:
        yield found


async def ends_with(reader: Reader, code: str) -> None:
    """In order, and soon."""
    started = time.monotonic()
    frames = await reader.rest()
    assert (frames[-1].event, frames[-1].data) == ("end", {"code": code})
    assert reader.complete
    assert time.monotonic() - started < 10, "not within 5 s, on a machine that has nothing else to do"


async def closes(feeds_: Feeds) -> bool:
    """Whether no stream is open any more."""
    return all(app.state.context.resources.streams.open == 0 for app in feeds_.apps)


async def test_with_the_token(running: Feeds) -> None:
    token = running.mint.token(new_id(), exp=int(time.time()) + 2)
    async with stream(running.port, token) as reader:
        await ends_with(reader, "token_expired")
    await eventually(lambda: closes(running))


@pytest.mark.parametrize("kind", ["session", "member"])
async def test_with_the_session_or_the_suspension(running: Feeds, kind: str) -> None:
    member, session = new_id(), new_id()
    async with (
        stream(running.port, running.mint.token(member, session_id=session)) as reader,
        stream(running.port, running.mint.token(new_id())) as other,
    ):
        await reader.next()
        running.mint.revoke(kind, session if kind == "session" else member)
        await ends_with(reader, "session_ended")
        await other.next()
        await running.tell(job_opened(member))
        with pytest.raises(TimeoutError):
            await other.next(seconds=1.5)


async def test_with_the_process_and_fast(identity_dsn: str, mint: TokenMint) -> None:
    async with feeds(identity_dsn, mint) as found:
        member = new_id()
        async with stream(found.port, mint.token(member)) as reader:
            await reader.next()
            found.apps[0].state.lifecycle.begin_stop()
            await ends_with(reader, "stopping")
            async with stream(found.port, mint.token(member), last_id=reader.last_id) as again:
                assert (again.status, b'"stopping"' in again.body) == (503, True)
                assert again.headers["retry-after"] == "1"


async def test_not_while_the_load_balancer_has_not_noticed(identity_dsn: str, mint: TokenMint) -> None:
    async with feeds(identity_dsn, mint, drain_seconds=4) as found:
        member = new_id()
        async with stream(found.port, mint.token(member)) as reader:
            await reader.next()
            found.apps[0].state.lifecycle.begin_stop()
            await found.tell(job_opened(member))
            assert (await reader.next()).event == OPENED
            await ends_with(reader, "stopping")


async def test_so_many_for_a_member_and_for_a_process(running: Feeds) -> None:
    async with contextlib.AsyncExitStack() as stack:
        member = new_id()
        for _ in range(2):
            await (await stack.enter_async_context(stream(running.port, running.mint.token(member)))).next()
        async with stream(running.port, running.mint.token(member)) as third:
            assert (third.status, b'"too_many_streams"' in third.body) == (429, True)
            assert third.headers["retry-after"] == "5"
        for _ in range(2):
            await (await stack.enter_async_context(stream(running.port, running.mint.token(new_id())))).next()
        async with stream(running.port, running.mint.token(new_id())) as fifth:
            assert (fifth.status, b'"too_many_streams"' in fifth.body) == (429, True)
    await eventually(lambda: closes(running))
    async with stream(running.port, running.mint.token(member)) as reader:
        assert (await reader.next()).event == "ready"


async def test_a_reader_who_takes_nothing_is_cut_off_and_the_others_go_on(identity_dsn: str, mint: TokenMint) -> None:
    async with feeds(identity_dsn, mint, stream_stall_seconds=1) as found:
        slow, quick, text = new_id(), new_id(), "x" * 50_000
        await found.tell(*(job_opened(slow, title=text) for _ in range(400)))
        async with (
            stream(found.port, mint.token(slow), last_id="0", limit=2**10) as stuck,
            stream(found.port, mint.token(quick)) as reader,
        ):
            await reader.next()

            async def cut_off() -> bool:
                return bool(found.apps[0].state.context.resources.streams.open == 1)

            await eventually(cut_off, seconds=60)
            await found.tell(job_opened(quick))
            assert (await reader.next()).event == OPENED
            got = await stuck.rest()
            assert len(got) < 400
            assert not stuck.complete
        async with stream(found.port, mint.token(slow), last_id=stuck.last_id) as again:
            await again.take(402 - len(got))
        assert (again.last_id or "").startswith("400-")


async def test_not_with_the_database(running: Feeds) -> None:
    member = new_id()
    async with stream(running.port, running.mint.token(member)) as reader:
        await reader.next()
        for _ in range(3):
            await running.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            await running.tell(job_opened(member))
        await reader.take(3)
    assert [frame.event for frame in reader.frames] == ["ready", OPENED, OPENED, OPENED]


async def test_what_has_a_lower_number_is_never_visible_later(identity_dsn: str) -> None:
    database = Database(identity_dsn)
    member, held, go = new_id(), asyncio.Event(), asyncio.Event()

    async def record(title: str, *, wait: bool) -> None:
        event = JobOpened(job_id=new_id(), client_id=member, title=title, opened_at=utc_now())
        envelope = wrap(event, event_id=new_id(), sequence=1, time=utc_now(), traceparent=None)

        async def hold(_session: Session) -> None:
            held.set()
            await go.wait()

        async with database.unit_of_work() as session:
            await record_event(session, event=event, envelope=envelope)
            if wait:
                session.before_commit(hold)  # numbered, and not committed yet

    async def seen() -> list[int]:
        async with database.unit_of_work() as session:
            return [row.seq for row in (await read_feed(session, member_id=member, after=OLDEST, limit=10)).entries]

    try:
        first = asyncio.create_task(record("first", wait=True))
        await asyncio.wait_for(held.wait(), 15)
        second = asyncio.create_task(record("second", wait=False))
        await asyncio.wait({second}, timeout=0.5)
        assert not second.done()
        assert await seen() == []
        go.set()
        await asyncio.gather(first, second)
        assert await seen() == [1, 2]
    finally:
        go.set()
        await database.close()

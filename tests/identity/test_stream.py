"""The stream of a member's own events: what comes, in which order, from where on, and until when."""

import time
from collections.abc import AsyncIterator

import pytest

from chassis.clock import utc_now
from chassis.ids import new_id
from chassis.testing import TokenMint, eventually
from events.jobs import BidPlaced, TransactionCompleted
from events.rewards import RewardMinted
from services.identity.domain.feed import mark_of
from services.identity.workers import forget_feed
from tests.identity.feeds import OPENED, Feeds, feeds, job_opened
from tests.streams import Reader, stream

FAR = "7-0123abcd"


@pytest.fixture
async def running(identity_dsn: str, mint: TokenMint) -> AsyncIterator[Feeds]:
    """One process, with short times."""
    async with feeds(identity_dsn, mint, stream_heartbeat_seconds=0.5) as found:
        yield found


def titles(reader: Reader) -> list[str]:
    return [frame.data["data"]["title"] for frame in reader.frames if frame.event == OPENED]


async def test_an_event_as_it_comes(running: Feeds) -> None:
    client, talent, other = new_id(), new_id(), new_id()
    async with (
        stream(running.port, running.mint.token(client)) as hers,
        stream(running.port, running.mint.token(talent)) as his,
        stream(running.port, running.mint.token(other)) as nobodys,
    ):
        for reader in (hers, his, nobodys):
            assert reader.status == 200
            assert reader.headers["content-type"] == "text/event-stream"
            assert reader.headers["cache-control"] == "no-store"
            assert reader.headers["x-accel-buffering"] == "no"
            ready = await reader.next()
            assert (ready.event, ready.data, ready.id) == ("ready", {}, "0-00000000")
            assert 1_000 <= (ready.retry or 0) <= 3_000
        event = BidPlaced(
            bid_id=new_id(), job_id=new_id(), client_id=client, talent_id=talent, rate_cents=5, placed_at=utc_now()
        )
        (event_id,) = await running.tell(event)
        for reader in (hers, his):
            found = await reader.next()
            assert found.event == BidPlaced.type_
            assert found.id == f"1-{mark_of(event_id)}"
            assert set(found.data) == {"id", "type", "time", "subject", "sequence", "data"}
            assert found.data["id"] == str(event_id)
            assert found.data["sequence"] == "1"
            assert found.data["data"] == event.model_dump(mode="json")
        await eventually(lambda: beats(nobodys, 2))
        assert [frame.event for frame in nobodys.frames] == ["ready"]


async def beats(reader: Reader, count: int) -> bool:
    """Whether so many heartbeats have come."""
    with pytest.raises(TimeoutError):
        await reader.next(seconds=0.3)
    return reader.heartbeats >= count


async def test_fields_that_are_not_the_readers_stay_out(running: Feeds) -> None:
    ada = new_id()
    event = RewardMinted(
        reward_id=new_id(), beneficiary_id=ada, transaction_id=new_id(), side="client", kind="connector",
        amount_wei=1, price_usd_e8=1, minted_wei=1, chain_tx_hash="0x01", block_number=1, block_hash="0x02",
        minted_at=utc_now(),
    )  # fmt: skip
    async with stream(running.port, running.mint.token(ada)) as reader:
        await reader.next()
        await running.tell(event)
        data = (await reader.next()).data["data"]
        assert "block_hash" not in data
        assert data["minted_wei"] == "1"


async def test_it_goes_on_after_any_event_with_nothing_lost_or_doubled(running: Feeds) -> None:
    member = new_id()
    token = running.mint.token(member)
    await running.tell(*(job_opened(member, title=f"job {nth}") for nth in range(250)))
    async with stream(running.port, token, last_id="0") as reader:
        await reader.take(251)
    assert titles(reader) == [f"job {nth}" for nth in range(250)]
    for have in (1, 99, 249):
        async with stream(running.port, token, last_id=reader.frames[have].id) as again:
            ready = await again.next()
            assert ready.id == reader.frames[have].id
            await again.take(250 - have)
        assert again.frames[1:] == reader.frames[have + 1 :]
    last = reader.frames[250].id
    async with stream(running.port, token, last_id=last) as again, stream(running.port, token) as fresh:
        assert (await again.next()).id == (await fresh.next()).id == last
        await running.tell(job_opened(member, title="job 250"))
        assert (await again.next()).data["data"]["title"] == "job 250"
        assert (await fresh.next()) == again.frames[-1]


async def test_the_id_may_come_in_the_query_and_the_header_goes_before_it(running: Feeds) -> None:
    member = new_id()
    token = running.mint.token(member)
    await running.tell(*(job_opened(member) for _ in range(3)))
    async with stream(running.port, token, query="?last_event_id=0") as reader:
        await reader.take(4)
    first, second = reader.frames[1].id, reader.frames[2].id
    async with stream(running.port, token, query=f"?last_event_id={first}") as reader:
        assert (await reader.take(2))[1].id == second
    async with stream(running.port, token, query=f"?last_event_id={first}", last_id=second) as reader:
        assert (await reader.take(1))[0].id == second


@pytest.mark.parametrize(
    "wrong", ["x", "-1", "1", "01-0123abcd", "1-0123ABCD", "1-0123abcd ,2", "9" * 19 + "-0123abcd"]
)
async def test_what_no_stream_has_given_is_refused(running: Feeds, wrong: str) -> None:
    async with stream(running.port, running.mint.token(new_id()), last_id=wrong) as reader:
        assert (reader.status, b'"invalid_event_id"' in reader.body) == (400, True), reader.body
    async with stream(running.port, running.mint.token(new_id()), query="?last_event_id=") as reader:
        assert reader.status == 400


async def test_two_ids_and_no_token_are_refused(running: Feeds) -> None:
    async with stream(running.port, running.mint.token(new_id()), "Last-Event-ID: 0", last_id="0") as reader:
        assert (reader.status, b'"repeated_header"' in reader.body) == (400, True)
    async with stream(running.port, None) as reader:
        assert reader.status == 401
    async with stream(running.port, running.mint.token(new_id(), exp=int(time.time()) - 1)) as reader:
        assert (reader.status, b'"token_expired"' in reader.body) == (401, True)


async def test_an_id_of_another_feed_leads_to_a_reset(running: Feeds) -> None:
    member, other = new_id(), new_id()
    await running.tell(job_opened(member, title="mine"), job_opened(other, title="not mine"))
    await eventually(lambda: running.recorded(other))
    async with stream(running.port, running.mint.token(other)) as reader:
        theirs = (await reader.next()).id
    for wrong in (theirs, FAR, "0-0123abcd"):
        async with stream(running.port, running.mint.token(member), last_id=wrong) as reader:
            ready, reset, event = await reader.take(3)
            assert (ready.event, reset.event, reset.data, reset.id) == ("ready", "reset", {"code": "not_kept"}, "0")
            assert event.data["data"]["title"] == "mine"


async def test_what_is_no_longer_kept_is_said(running: Feeds) -> None:
    member = new_id()
    token = running.mint.token(member)
    async with stream(running.port, token) as reader:
        beginning = (await reader.next()).id
        await running.tell(*(job_opened(member, title=f"job {nth}") for nth in range(5)))
        await reader.take(5)
    ids = [frame.id for frame in reader.frames]
    await running.fetch("DELETE FROM feed_entries WHERE member_id = $1 AND seq <= 3", member)
    for gone in (beginning, ids[1], ids[3]):
        async with stream(running.port, token, last_id=gone) as again:
            assert [frame.event for frame in await again.take(4)] == ["ready", "reset", OPENED, OPENED]
            assert titles(again) == ["job 3", "job 4"]
    async with stream(running.port, token, last_id=ids[4]) as again:
        assert [frame.event for frame in await again.take(2)] == ["ready", OPENED]
    await running.fetch("DELETE FROM feed_entries WHERE member_id = $1", member)
    async with stream(running.port, token, last_id=ids[5]) as again:
        assert (await again.next()).event == "ready"
        await running.tell(job_opened(member, title="job 5"))
        assert (await again.next()).data["data"]["title"] == "job 5"
    async with stream(running.port, token, last_id=ids[4]) as again:
        assert [frame.event for frame in await again.take(3)] == ["ready", "reset", OPENED]


async def test_a_gap_under_a_running_stream_is_said(running: Feeds) -> None:
    member = new_id()
    async with stream(running.port, running.mint.token(member)) as reader:
        await reader.next()
        await running.fetch("INSERT INTO feed_heads (member_id, last, mark) VALUES ($1, 3, '00000003')", member)
        await running.tell(job_opened(member))
        reset, event = await reader.take(2)
        assert (reset.event, reset.id) == ("reset", None)
        assert (event.id or "").startswith("4-")


async def test_old_entries_are_forgotten_by_age(identity_dsn: str, mint: TokenMint) -> None:
    async with feeds(identity_dsn, mint, feed_keep_seconds=3_600) as found:
        member = new_id()
        await found.tell(*(job_opened(member, title=f"job {nth}") for nth in range(3)))
        await eventually(lambda: found.recorded(member))
        await found.fetch("UPDATE feed_entries SET recorded_at = now() - interval '2 hours' WHERE seq < 3")
        assert await forget_feed(found.apps[0].state.context) is False
        assert [row["seq"] for row in await found.fetch("SELECT seq FROM feed_entries")] == [3]


async def test_two_processes_tell_the_same(identity_dsn: str, mint: TokenMint) -> None:
    async with feeds(identity_dsn, mint, processes=2) as found:
        members = [new_id() for _ in range(4)]
        async with (
            stream(found.ports[0], mint.token(members[0])) as one,
            stream(found.ports[1], mint.token(members[0])) as two,
        ):
            await one.next()
            await two.next()
            for nth in range(20):
                await found.tell(*(job_opened(member, title=f"job {nth}") for member in members))
            assert await one.take(20) == await two.take(20)
        assert len({frame.data["id"] for frame in one.frames[1:]}) == 20
        assert [frame.id.partition("-")[0] for frame in one.frames[1:] if frame.id] == [str(n) for n in range(1, 21)]
        async with stream(found.ports[1], mint.token(members[0]), last_id=one.frames[10].id) as again:
            assert (await again.take(11))[1:] == one.frames[11:]


async def test_a_worker_records_and_an_api_tells(identity_dsn: str, mint: TokenMint) -> None:
    async with feeds(identity_dsn, mint, roles=["api", "worker"]) as found:
        member = new_id()
        async with stream(found.ports[1], mint.token(member)) as nowhere:
            assert nowhere.status == 404
        async with stream(found.ports[0], mint.token(member)) as reader:
            await reader.next()
            await found.tell(job_opened(member))
            assert (await reader.next()).event == OPENED


async def test_each_key_keeps_its_order_with_many_members_and_two_processes(identity_dsn: str, mint: TokenMint) -> None:
    async with feeds(identity_dsn, mint, processes=2) as found:
        client, talents = new_id(), [new_id() for _ in range(5)]
        events = [
            TransactionCompleted(
                transaction_id=new_id(), invoice_id=new_id(), engagement_id=new_id(), client_id=client,
                talent_id=talents[nth % 5], provider="sandbox", amount_cents=100 + nth, currency="USD",
                client_fee_cents=10, talent_fee_cents=0, parameters_version=0, completed_at=utc_now(),
            )
            for nth in range(60)
        ]  # fmt: skip
        for at in range(0, 60, 7):
            await found.tell(*events[at : at + 7])
        async with stream(found.port, mint.token(client), last_id="0") as hers:
            await hers.take(61)
        assert {frame.data["data"]["amount_cents"] for frame in hers.frames[1:]} == set(range(100, 160))
        for place, talent in enumerate(talents):
            async with stream(found.ports[place % 2], mint.token(talent), last_id="0") as his:
                await his.take(13)
            assert {frame.data["data"]["talent_id"] for frame in his.frames[1:]} == {str(talent)}


async def test_a_bell_that_nobody_heard_costs_a_heartbeat(running: Feeds) -> None:
    member = new_id()
    async with stream(running.port, running.mint.token(member)) as reader:
        await reader.next()
        await running.fetch("INSERT INTO feed_heads (member_id, last, mark) VALUES ($1, 1, '0123abcd')", member)
        await running.fetch(
            "INSERT INTO feed_entries (member_id, seq, mark, type, line) VALUES ($1, 1, '0123abcd', 'x', '{}')", member
        )
        assert (await reader.next()).id == "1-0123abcd"


async def test_a_listener_that_was_cut_off_comes_back(running: Feeds) -> None:
    member = new_id()
    listening = (
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'listen feed' AND datname = current_database()"
    )

    async def listener() -> int:
        rows = await running.fetch(listening)
        return int(rows[0]["pid"]) if rows else 0

    before = await eventually(listener)
    await running.fetch("SELECT pg_terminate_backend($1)", before)

    async def another() -> bool:
        return await listener() not in (0, before)

    await eventually(another)
    async with stream(running.port, running.mint.token(member)) as reader:
        await reader.next()
        await running.tell(job_opened(member))
        await reader.next()


async def test_bells_ring_at_once(identity_dsn: str, mint: TokenMint) -> None:
    async with feeds(identity_dsn, mint, stream_heartbeat_seconds=20) as found:
        member = new_id()
        async with stream(found.port, mint.token(member)) as reader:
            await reader.next()
            times = []
            for _ in range(5):
                started = time.monotonic()
                await found.tell(job_opened(member))
                await reader.next(seconds=15)
                times.append(time.monotonic() - started)
            assert min(times) < 5, f"the bell is not heard: {times}"

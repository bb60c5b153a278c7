"""The stream of a member's own events on the running network: through the gateway, through kills, on two replicas."""

import asyncio
import contextlib
import json
import os
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chassis.http import HttpClient
from events.audience import AUDIENCES
from events.registry import EVENTS
from scripts.api import Api, Person, eventually
from scripts.story import Story
from tests.e2e.feeds import Follower, example_client, feeds_are_complete
from tests.e2e.invariants import Inspection, Node, rows_of
from tests.e2e.network import Network
from tests.e2e.replicas import second_set
from tests.streams import Frame, stream

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

OWN = {
    "identity.member.registered.v1",
    "identity.wallet.linked.v1",
    "identity.wallet.payout_changed.v1",
    "identity.referral.attributed.v1",
    "rewards.reward.accrued.v1",
    "rewards.reward.held.v1",
    "rewards.reward.minted.v1",
}
WORK = {
    "jobs.bid.placed.v1",
    "jobs.offer.made.v1",
    "jobs.offer.accepted.v1",
    "jobs.engagement.started.v1",
    "jobs.invoice.submitted.v1",
    "jobs.invoice.approved.v1",
    "jobs.transaction.completed.v1",
}
MINTED = "rewards.reward.minted.v1"


@contextlib.asynccontextmanager
async def beginning(network: Network) -> AsyncIterator[Story]:
    """A story up to the first handshake."""
    told = network.endpoints
    async with HttpClient(timeout_seconds=20.0) as http:
        story = Story(Api(told["gateway"], http), told["rpc"], told["contracts"]["btrst"], lambda _: None)
        await story.people()
        await story.hire()
        yield story


async def until_minted(port: int, person: Person) -> list[Frame]:
    """All that the member's stream tells, up to the first minted reward."""
    async with stream(port, await person.token(), last_id="0") as reader:
        while (await reader.next(seconds=90)).event != MINTED:
            pass
    return reader.frames[1:]


async def feed_of(network: Network, person: Person) -> list[str]:
    """The ids of the member's events, as identity has them."""
    query = "SELECT line FROM feed_entries WHERE member_id = $1 ORDER BY seq"
    return [json.loads(row["line"])["id"] for row in await rows_of(network.endpoints, "identity", query, person.id)]


def is_theirs(frame: Frame, person: Person) -> bool:
    """Whether the event names the member."""
    members = AUDIENCES[EVENTS[frame.event]].members
    return person.id in {frame.data["data"][name] for name in members}


async def test_each_connector_sees_their_own_and_nothing_of_others(network: Network) -> None:
    async with beginning(network) as story:
        reading = [asyncio.create_task(until_minted(network.port, person)) for person in (story.ada, story.ben)]
        story.transaction = await story.invoice_and_pay()
        await story.minted()
        for person, frames in zip((story.ada, story.ben), await asyncio.gather(*reading), strict=True):
            assert {frame.event for frame in frames} <= OWN
            assert frames[0].event == "identity.member.registered.v1"
            assert all(is_theirs(frame, person) for frame in frames)
            other = story.ben if person is story.ada else story.ada
            assert other.id not in json.dumps([frame.data for frame in frames])
            sequences: dict[str, list[int]] = defaultdict(list)
            for frame in frames:
                sequences[frame.event.rpartition(".")[0].rpartition(".")[0] + frame.data["subject"]].append(
                    int(frame.data["sequence"])
                )
            assert all(found == list(range(1, len(found) + 1)) for found in sequences.values()), sequences
            numbers = [int((frame.id or "").partition("-")[0]) for frame in frames]
            assert numbers == list(range(1, len(frames) + 1))
        for person in (story.client, story.talent):
            async with stream(network.port, await person.token(), last_id="0") as reader:
                await reader.take(1 + len(await feed_of(network, person)))
            frames = reader.frames[1:]
            assert all(is_theirs(frame, person) for frame in frames)
            assert {frame.event for frame in frames} > WORK
            assert not any(frame.event.startswith("rewards.") for frame in frames)


async def test_killed_processes_lose_and_double_nothing(network: Network) -> None:
    async with beginning(network) as story, example_client(network.endpoints["gateway"], story.ada) as printed:
        ben = Follower(story.ben, network.port, last_id="0")
        following = asyncio.create_task(ben.follow())
        try:
            last: dict[str, Any] = {}
            for victim in ("identity", "gateway", "identity", "identity"):
                last = await story.invoice_and_pay()
                network.kill(victim)
                await asyncio.sleep(1)
            for person in (story.ada, story.ben):
                await eventually("the last is minted", lambda person=person: story.reward_of(person, last), seconds=120)

            async def ben_has_all() -> bool:
                return len(ben.ids) >= len(await feed_of(network, story.ben))

            async def ada_has_all() -> bool:
                return len(told(printed)) >= len(await feed_of(network, story.ada))

            await eventually("all is read", lambda: all_is_recorded(network))
            await eventually("Ben has all of his events", ben_has_all)
            await eventually("Ada's frontend has all of hers", ada_has_all)
        finally:
            following.cancel()
        assert ben.ids == await feed_of(network, story.ben)
        assert told(printed) == await feed_of(network, story.ada)
        assert ben.ends, "no kill was noticed"  # how many depends on whether he was back before the next one
        assert not any(end.startswith("reset") for end in ben.ends)
        seen = Inspection(network.endpoints, Node(network.endpoints["rpc"], story.api.http))
        await seen.read_log()
        await feeds_are_complete(seen)


def told(printed: list[dict[str, Any]]) -> list[str]:
    """The ids of the network's events that a frontend was told."""
    assert not any(event["type"] == "reset" for event in printed)
    return [event["data"]["id"] for event in printed if "." in event["type"]]


async def all_is_recorded(network: Network) -> bool:
    """Whether nothing waits in an outbox any more, and identity has read the log to its end."""
    for service in ("identity", "jobs", "rewards", "governance"):
        if (await rows_of(network.endpoints, service, "SELECT count(*) FROM outbox"))[0][0]:
            return False
    return await identity_is_at_the_end(network)


async def identity_is_at_the_end(network: Network) -> bool:
    """Whether its stored positions are the ends of its topics."""
    reached = {
        (row["topic"], row["partition"]): row["position"]
        for row in await rows_of(network.endpoints, "identity", "SELECT * FROM positions")
    }
    query = "SELECT t.name, h.partition, h.next FROM log_head h JOIN log_topic t ON t.id = h.topic_id"
    ends = {(row["name"], row["partition"]): row["next"] for row in await rows_of(network.endpoints, "events", query)}
    topics = {event.topic() for event in AUDIENCES}
    return all(reached.get(at, 0) >= end for at, end in ends.items() if at[0] in topics)


async def test_it_ends_with_the_session_and_with_the_gateway(network: Network) -> None:
    async with HttpClient(timeout_seconds=20.0) as http:
        api = Api(network.endpoints["gateway"], http)
        person = await Person(api, "Dora", ["talent"]).register()
        token = await person.token()
        before = network.endpoints["pids"]["gateway"]
        async with stream(network.port, token, last_id="0") as reader:
            assert (await reader.take(2, seconds=60))[1].event == "identity.member.registered.v1"
            started = time.monotonic()
            os.kill(before, signal.SIGTERM)  # the supervisor starts another
            assert [frame.event for frame in await reader.rest()] == []
            assert reader.complete
            assert time.monotonic() - started < 15
        await eventually("another gateway answers", lambda: is_another(network, api, before))
        async with stream(network.port, token, last_id=reader.last_id) as again:
            await again.next()
            started = time.monotonic()
            await api.call("DELETE", "/v1/sessions/current", token=token)
            *told_before, last = await again.rest()
            assert (last.event, last.data) == ("end", {"code": "session_ended"})
            assert time.monotonic() - started < 10, "not within 5 s, on a machine that has nothing else to do"
            assert {frame.event for frame in told_before} <= {"identity.session.ended.v1"}
        async with stream(network.port, token, last_id=again.last_id) as refused:
            assert refused.status == 401


async def is_another(network: Network, api: Api, before: int) -> bool:
    """Whether the gateway is another process than the one before, and ready."""
    return network.endpoints["pids"]["gateway"] != before and bool(await api.call("GET", "/readyz"))


async def test_a_second_replica_tells_the_same_and_goes_on(network: Network) -> None:
    async with beginning(network) as story, second_set(network, story.api.http, names=("identity",)) as second:
        await second.come()
        ports = [int(network.endpoints["services"]["identity"].rpartition(":")[2]), second.processes["identity"].port]
        token = await story.client.token()
        async with stream(ports[0], token, last_id="0") as one, stream(ports[1], token, last_id="0") as two:
            last = await story.invoice_and_pay()
            for reader in (one, two):
                while (await reader.next(seconds=60)).event != "jobs.transaction.completed.v1":
                    pass
            assert one.frames[1:] == two.frames[1:]
            assert one.frames[-1].data["subject"] == last["id"]
            middle = len(one.frames) // 2
        for port in ports:
            async with stream(port, token, last_id=one.frames[middle].id) as again:
                await again.take(len(one.frames) - middle)
            assert again.frames[1:] == one.frames[middle + 1 :]
        async with stream(ports[1], token) as reader:
            await reader.next()
            started = time.monotonic()
            await second.go()
            assert time.monotonic() - started < 20, "the stream held the process up"
            assert [frame.data for frame in await reader.rest()] == [{"code": "stopping"}]
            assert reader.complete

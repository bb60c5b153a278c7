"""The world that the owner matrix is asked about, played through the gateway: two groups that never met."""

import asyncio
from dataclasses import dataclass
from typing import Any

from chassis.http import HttpClient
from scripts.api import PASSWORD, Person, eventually
from scripts.story import Story
from tests.e2e.network import Endpoints
from tests.e2e.owner.group import Group, RecordingApi
from tests.e2e.owner.model import Actor, Resource, World
from tests.streams import stream

ONE_OF_EACH = ("/v1/members/me", "/v1/engagements", "/v1/rewards/summary", "/v1/proposals")
"""A path of each service."""


ROLES = ("ada", "client", "talent")
"""One of each role that a member may take."""


@dataclass(slots=True)
class Played:
    """The people behind a world, for what they have to do themselves."""

    world: World
    first: Group
    second: Group
    story: Story
    admin: Actor
    proposal: dict[str, Any]


async def play(endpoints: Endpoints, http: HttpClient) -> Played:
    """Both groups, what they made, and whoever else may ask."""
    api = RecordingApi(endpoints["gateway"], http)
    story = Story(api, endpoints["rpc"], endpoints["contracts"]["btrst"], lambda _: None)
    admin = await _log_in_admin(api, endpoints)
    first, second = Group(api, "a"), Group(api, "b")
    await asyncio.gather(first.play(admin.member_id), second.play(admin.member_id))
    await asyncio.gather(first.minted(admin.member_id), second.minted(admin.member_id))
    proposal = await _propose(story, first)
    gone, screener = await _suspend(first, admin), await _screener(api, admin)
    own, others = await _members(first, "ada", "ben", "client", "talent", "rival"), await _members(second, *ROLES)
    actors = [Actor("anonymous"), *own, *others, screener, admin, gone]
    world = World(
        actors=actors,
        resources=_by_kind(first, proposal),
        secrets=[*first.secrets, *second.secrets],
        references={
            "address": (first.ada.wallet.address, frozenset({first.ada.id})),
            "beneficiary_id": (first.ada.id, frozenset({first.ada.id})),
            "transaction_id": (first.transaction["id"], frozenset({first.ada.id, first.ben.id})),
            "last_event_id": (await _place(endpoints, first.ada), frozenset({first.ada.id})),
            "reward_id": (_by_kind(first, proposal)["reward_id"][0].id, frozenset({first.ada.id})),
        },
        posted=await _posted(first),
        credentials=await _credentials(first),
        # the leaves of what was settled: which rewards, for which transactions, as the chain has them for all to see
        in_the_open={"audit_epoch": _settled(first) | _settled(second)},
    )
    return Played(world, first, second, story, admin, proposal)


async def _log_in_admin(api: RecordingApi, endpoints: Endpoints) -> Actor:
    session = await api.call("POST", "/v1/sessions", endpoints["admin"])
    return Actor("admin", session["member_id"], frozenset({"admin"}), session["access_token"])


async def _propose(story: Story, group: Group) -> dict[str, Any]:
    """A proposal whose ballot is open for as long as the matrix takes, with a ballot in it."""
    await story.delegate(group.ada)

    async def has_votes() -> bool:
        power = await group.api.call("GET", f"/v1/voting-power/{group.ada.wallet.address}")
        return int(power["votes_wei"]) > 0

    await eventually("Ada has votes", has_votes)
    body = {
        "title": "Raise the connector reward",
        "body": "From 1 % to 1.5 %.",
        "proposer": group.ada.wallet.address,
        "actions": [{"kind": "parameter", "name": "connector_reward_bps", "value": 150}],
    }
    proposal: dict[str, Any] = await group.ada.post("/v1/proposals", body)
    await eventually("the ballot is open", lambda: story.has_status(proposal, "open"))
    return proposal


async def _suspend(group: Group, admin: Actor) -> Actor:
    gone = await Person(group.api, "Gone a", ["talent"]).register()
    token = await gone.token()
    await group.api.call("POST", f"/v1/members/{gone.id}/suspend", token=admin.token)
    group.has("member_id", gone.member, {"owner": gone}, everybody=True, state="suspended")

    async def is_turned_away() -> bool:
        answers = [await group.api.patiently("GET", path, token=token) for path in ONE_OF_EACH]
        return {answer.status for answer in answers} == {401}

    await eventually("the suspended member's token has stopped to hold", is_turned_away)
    return Actor("suspended member", gone.id, frozenset({"talent"}), token, ended=True)


async def _screener(api: RecordingApi, admin: Actor) -> Actor:
    person = await Person(api, "Screener", ["client", "talent", "connector"]).register()
    roles = ["client", "talent", "connector", "screener"]
    await api.call("PUT", f"/v1/members/{person.id}/roles", {"roles": roles}, token=admin.token)
    session = await api.call("POST", "/v1/sessions", {"email": person.email, "password": PASSWORD})
    return Actor("screener with every role", person.id, frozenset(roles), session["access_token"])


async def _members(group: Group, *names: str) -> list[Actor]:
    people = [(name, group.people[name]) for name in names]
    owns = group.letter == "a"
    return [
        Actor(f"{name} {group.letter}", person.id, frozenset(person.roles), await person.token(), owns=owns)
        for name, person in people
    ]


def _by_kind(group: Group, proposal: dict[str, Any]) -> dict[str, list[Resource]]:
    found: dict[str, list[Resource]] = {}
    for resource in group.resources:
        found.setdefault(resource.kind, []).append(resource)
    found["proposal_id"] = [Resource("proposal_id", proposal["id"], {"owner": group.ada.id}, None, "open")]
    found["address"] = [Resource("address", group.ada.wallet.address, {"owner": group.ada.id}, None)]
    found["epoch_number"] = [Resource("epoch_number", "1", {}, None)]  # what was settled is on the chain for all to see
    return found


def _settled(group: Group) -> frozenset[str | int]:
    kinds = ("reward_id", "transaction_id")
    return frozenset(resource.id for resource in group.resources if resource.kind in kinds)


async def _place(endpoints: Endpoints, person: Person) -> str:
    """Where somebody's feed has an event."""
    async with stream(gateway_port(endpoints), await person.token(), last_id="0") as reader:
        frames = await reader.take(3)
    assert frames[-1].id
    return frames[-1].id


def gateway_port(endpoints: Endpoints) -> int:
    """Where the gateway listens."""
    return int(str(endpoints["gateway"]).rpartition(":")[2])


async def _posted(group: Group) -> list[tuple[str, Any]]:
    owners = {await person.token(): person.id for person in group.people.values()}
    return [(owners[token], sent) for token, sent in group.api.posted if token in owners]


async def _credentials(group: Group) -> list[tuple[str, Any, str]]:
    link, nobody = group.challenges["ada"], "nobody"
    return [
        ("link_wallet", link, group.ada.id),  # asked for by Ada, and signed for her
        ("create_wallet_session", link, nobody),  # signed to link, not to log in
        ("refresh_session", {"refresh_token": await group.ada.token()}, nobody),
        ("create_session", {"email": group.ada.email, "password": PASSWORD + "!"}, nobody),
        ("create_session", {"email": "zqnobody@example.com", "password": PASSWORD}, nobody),
    ]

"""Proposals over HTTP on a real database, with each error they document."""

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID

from chassis.ids import new_id
from events.governance import GENESIS_PARAMETERS
from services.governance.domain import calls
from services.governance.workers import close_proposals
from tests.governance.conftest import ADA, ADDRESSES, BEN, BTRST, EVE, NON_VOTING, Running, Start, code_of, shift


async def test_a_proposal_carries_its_exact_calls(service: Running) -> None:
    member = str(service.identity.wallets[EVE.address])
    actions = [
        {"kind": "grant", "beneficiary_id": member, "amount_wei": str(5 * BTRST)},
        {"kind": "parameter", "name": "connector_reward_bps", "value": 150},
        {"kind": "parameter", "name": "client_fee_bps", "value": "1200"},
    ]
    answer = await service.propose(actions=actions)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert answer.headers["location"] == f"/v1/proposals/{made['id']}"
    assert (made["status"], made["proposer"]) == ("open", ADA.address)
    assert made["quorum_wei"] == str(16 * 10**17)
    assert made["snapshot_at"] == "2023-11-14T22:13:20Z"

    grant = made["actions"][0]
    values = {**GENESIS_PARAMETERS, "connector_reward_bps": 150, "client_fee_bps": 1_200}
    start = int(datetime.fromisoformat(made["effective_at"]).timestamp())
    target = ADDRESSES["parameters_address"]
    expected = [
        calls.set_parameters(target, expected_version=0, values=values, effective_from=start),
        calls.approve_grant(target, calls.Grant(UUID(grant["grant_id"]), UUID(member), 5 * BTRST)),
    ]
    assert [call["calldata"] for call in made["calls"]] == ["0x" + call.calldata.hex() for call in expected]
    assert made["actions_hash"] == calls.actions_hash(expected)
    assert made["actions"][1] == {"kind": "parameter", "name": "connector_reward_bps", "value": "150"}

    assert (await service.client.get(f"/v1/proposals/{made['id']}")).json() == made
    assert (await service.client.get("/v1/proposals")).json() == {"items": [made], "next_cursor": None}
    opened = await service.published("governance.proposal.opened.v1")
    assert [(event["proposal_id"], event["actions_hash"]) for event in opened] == [(made["id"], made["actions_hash"])]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"title": ""}, "invalid_fields"),
    ({"actions": []}, "invalid_fields"),
    ({"surprise": 1}, "invalid_fields"),
    ({"proposer": "0x1234"}, "invalid_fields"),
    ({"actions": [{"kind": "mint", "amount_wei": "1"}]}, "invalid_fields"),
    ({"actions": [{"kind": "parameter", "name": "client_fee_bps", "value": -1}]}, "invalid_fields"),
    ({"actions": [{"kind": "parameter", "name": "client_fee_bps", "value": True}]}, "invalid_fields"),
    ({"actions": [{"kind": "parameter", "name": "client_fee_bps", "value": 1.5}]}, "invalid_fields"),
    ({"actions": [{"kind": "parameter", "name": "client_fee_bps", "value": "1_000"}]}, "invalid_fields"),
    ({"actions": [{"kind": "parameter", "name": "client_fee_bps", "value": "१००"}]}, "invalid_fields"),
    ({"actions": [{"kind": "parameter", "name": "client_fee_bps", "value": "10001"}]}, "parameter_out_of_bounds"),
    ({"actions": [{"kind": "parameter", "name": "talent_fee_bps", "value": "0"}]}, "unknown_parameter"),
    (
        {"actions": [{"kind": "parameter", "name": "connector_reward_bps", "value": "251"}]},
        "reward_above_quarter_of_fee",
    ),
    ({"actions": [{"kind": "grant", "beneficiary_id": "x", "amount_wei": "1"}]}, "invalid_fields"),
    ({"actions": [{"kind": "grant", "beneficiary_id": str(new_id()), "amount_wei": "0"}]}, "invalid_fields"),
    (
        {"actions": [{"kind": "grant", "beneficiary_id": str(new_id()), "amount_wei": str(10**25 + 1)}]},
        "invalid_fields",
    ),
]


async def test_wrong_fields_are_refused(service: Running) -> None:
    headers = service.mint.headers(service.identity.wallets[ADA.address])
    for fields, code in WRONG:
        body = {
            "title": "t",
            "body": "b",
            "proposer": ADA.address,
            "actions": [{"kind": "parameter", "name": "client_fee_bps", "value": "900"}],
        } | fields
        assert code_of(await service.client.post("/v1/proposals", json=body, headers=headers)) == (422, code), fields
    assert (await service.client.get("/v1/proposals")).json()["items"] == []


async def test_a_grant_goes_to_a_member(service: Running) -> None:
    answer = await service.propose(actions=[{"kind": "grant", "beneficiary_id": str(new_id()), "amount_wei": "1"}])
    assert code_of(answer) == (422, "unknown_beneficiary")


async def test_only_a_linked_wallet_with_the_threshold_proposes(service: Running, start: Start) -> None:
    assert code_of(await service.client.post("/v1/proposals", json={})) in {
        (401, "unauthorized"),
        (422, "invalid_fields"),
    }
    body = {"title": "t", "body": "b", "proposer": ADA.address,
            "actions": [{"kind": "parameter", "name": "client_fee_bps", "value": "900"}]}  # fmt: skip
    assert code_of(await service.client.post("/v1/proposals", json=body)) == (401, "unauthorized")
    stranger = service.mint.headers(new_id())
    assert code_of(await service.client.post("/v1/proposals", json=body, headers=stranger)) == (403, "not_your_wallet")
    assert code_of(await service.propose(EVE)) == (403, "below_proposal_threshold")
    async with start() as empty:
        assert code_of(await empty.propose()) == (503, "index_behind")
    async with start(identity_url="http://127.0.0.1:1") as alone:
        assert code_of(await alone.propose()) == (503, "identity_unavailable")


async def test_an_author_has_few_live_proposals_at_a_time(start: Start, members: dict[str, Any]) -> None:
    async with start(max_live_proposals_per_author=2) as service:
        await service.seed({ADA.address: 20})
        answers = await asyncio.gather(*(service.propose() for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409]
        first = next(answer.json() for answer in answers if answer.status_code == 201)
        assert code_of(await service.propose()) == (409, "too_many_live_proposals")
        await shift(service, first["id"], -100)
        assert await close_proposals(service.context)
        assert (await service.propose()).status_code == 201


async def test_the_same_idempotency_key_makes_one_proposal(service: Running) -> None:
    body = {"title": "t", "body": "b", "proposer": ADA.address,
            "actions": [{"kind": "parameter", "name": "client_fee_bps", "value": "900"}]}  # fmt: skip
    headers = service.mint.headers(service.identity.wallets[ADA.address]) | {"Idempotency-Key": "once"}
    one = await service.client.post("/v1/proposals", json=body, headers=headers)
    two = await service.client.post("/v1/proposals", json=body, headers=headers)
    assert (one.status_code, one.content) == (201, two.content)
    assert len((await service.client.get("/v1/proposals")).json()["items"]) == 1


async def test_the_treasury_is_left_out_of_the_quorum(start: Start, members: dict[str, Any]) -> None:
    async with start(quorum_percent=10, quorum_floor_wei=1) as service:
        await service.seed({ADA.address: 30, BEN.address: 70, NON_VOTING: 115_000_000})
        assert (await service.propose()).json()["quorum_wei"] == str(10 * BTRST)

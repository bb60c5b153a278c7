"""Proposals, ballots, results and parameters over HTTP on a real database, with each error they document."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import DBAPIError

from chassis.ids import new_id
from chassis.testing import eventually
from events.governance import GENESIS_PARAMETERS
from services.governance.chain.contracts import ParametersSet
from services.governance.domain import calls
from services.governance.models import proposals
from services.governance.service import parameters
from services.governance.workers import close_proposals, open_proposals
from tests.governance.conftest import ADA, ADDRESSES, BEN, BTRST, EVE, NON_VOTING, Running, Start

HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def code_of(answer: Any) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


async def shift(service: Running, proposal_id: str, seconds: int) -> None:
    """Move a proposal's times by so many seconds."""
    by = timedelta(seconds=seconds)
    async with service.database.unit_of_work() as session:
        moved = update(proposals).where(proposals.c.id == proposal_id)
        await session.execute(moved.values(opens_at=proposals.c.opens_at + by, closes_at=proposals.c.closes_at + by))


async def test_a_proposal_carries_its_exact_calls(service: Running) -> None:
    member = str(new_id())
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
        calls.approve_grant(
            target, calls.Grant(grant["grant_id"] and _uuid(grant["grant_id"]), _uuid(member), 5 * BTRST)
        ),
    ]
    assert [call["calldata"] for call in made["calls"]] == ["0x" + call.calldata.hex() for call in expected]
    assert made["actions_hash"] == calls.actions_hash(expected)
    assert made["actions"][1] == {"kind": "parameter", "name": "connector_reward_bps", "value": "150"}

    assert (await service.client.get(f"/v1/proposals/{made['id']}")).json() == made
    assert (await service.client.get("/v1/proposals")).json() == {"items": [made], "next_cursor": None}
    opened = await service.published("governance.proposal.opened.v1")
    assert [(event["proposal_id"], event["actions_hash"]) for event in opened] == [(made["id"], made["actions_hash"])]


def _uuid(value: str) -> Any:
    from uuid import UUID

    return UUID(value)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
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
    ],
)
async def test_wrong_fields_are_refused(service: Running, fields: dict[str, Any], code: str) -> None:
    headers = service.mint.headers(service.identity.wallets[ADA.address])
    body = {
        "title": "t",
        "body": "b",
        "proposer": ADA.address,
        "actions": [{"kind": "parameter", "name": "client_fee_bps", "value": "900"}],
    } | fields
    assert code_of(await service.client.post("/v1/proposals", json=body, headers=headers)) == (422, code)


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


async def test_ballots_are_counted_with_their_weight_and_replaced(service: Running) -> None:
    proposal_id = (await service.propose()).json()["id"]
    first = await service.vote(proposal_id, ADA, "for", reason="  because\n")
    assert first.status_code == 201, first.text
    assert (first.json()["weight_wei"], first.json()["reason"], first.json()["nonce"]) == (
        str(20 * BTRST),
        "  because\n",
        1,
    )
    assert first.headers["location"] == f"/v1/proposals/{proposal_id}/votes?voter={ADA.address}"
    again = await service.vote(proposal_id, ADA, "against")
    assert (again.status_code, again.json()["id"], again.json()["nonce"]) == (200, first.json()["id"], 2)
    assert (await service.vote(proposal_id, BEN, "abstain")).status_code == 201

    results = (await service.client.get(f"/v1/proposals/{proposal_id}/results")).json()
    assert results == {
        "proposal_id": proposal_id,
        "status": "open",
        "for_wei": "0",
        "against_wei": str(20 * BTRST),
        "abstain_wei": str(20 * BTRST),
        "quorum_wei": str(16 * 10**17),
        "outcome": None,
        "ballots": 2,
    }
    listed = (await service.client.get(f"/v1/proposals/{proposal_id}/votes?limit=1")).json()
    rest = (await service.client.get(f"/v1/proposals/{proposal_id}/votes?cursor={listed['next_cursor']}")).json()
    assert [vote["voter"] for vote in listed["items"] + rest["items"]] == [ADA.address, BEN.address]
    filtered = await service.client.get(f"/v1/proposals/{proposal_id}/votes", params={"voter": BEN.address.lower()})
    assert [vote["choice"] for vote in filtered.json()["items"]] == ["abstain"]


async def test_an_old_ballot_cannot_be_sent_again(service: Running) -> None:
    proposal_id = (await service.propose()).json()["id"]
    old = await service.ballot(proposal_id, ADA, "for")
    assert (await service.vote(proposal_id, ADA, "for", typed=old)).status_code == 201
    assert code_of(await service.vote(proposal_id, ADA, "for", typed=old)) == (409, "stale_ballot")
    assert (await service.vote(proposal_id, ADA, "against")).status_code == 200
    assert code_of(await service.vote(proposal_id, ADA, "for", typed=old)) == (409, "stale_ballot")
    assert code_of(await service.vote(proposal_id, ADA, "for", typed=old, nonce=1)) == (409, "stale_ballot")
    ahead = await service.ballot(proposal_id, ADA, "for")
    ahead["message"]["nonce"] = 9
    assert (await service.vote(proposal_id, ADA, "for", typed=ahead, nonce=9)).status_code == 200
    assert (await service.ballot(proposal_id, ADA, "for"))["message"]["nonce"] == 10


async def test_a_vote_with_an_idempotency_key_is_replayed(service: Running) -> None:
    proposal_id = (await service.propose()).json()["id"]
    typed = await service.ballot(proposal_id, ADA, "for")
    body = {"voter": ADA.address, "choice": "for", "signature": ADA.sign(typed)}
    headers = service.mint.headers(new_id()) | {"Idempotency-Key": "vote"}
    one = await service.client.post(f"/v1/proposals/{proposal_id}/votes", json=body, headers=headers)
    two = await service.client.post(f"/v1/proposals/{proposal_id}/votes", json=body, headers=headers)
    assert (one.status_code, two.status_code, one.content) == (201, 201, two.content)


async def test_signatures_over_anything_else_are_refused(service: Running) -> None:
    proposal_id = (await service.propose()).json()["id"]
    other_id = (await service.propose()).json()["id"]
    typed = await service.ballot(proposal_id, ADA, "for")
    url = f"/v1/proposals/{proposal_id}/votes"
    good = {"voter": ADA.address, "choice": "for", "signature": ADA.sign(typed)}

    async def refused(**fields: Any) -> bool:
        return code_of(await service.client.post(url, json=good | fields)) == (401, "signature_invalid")

    assert await refused(choice="against")
    assert await refused(voter=BEN.address)
    assert await refused(reason="another")
    assert await refused(nonce=2)
    assert await refused(signature="0x" + "00" * 65)
    assert await refused(signature="nonsense")
    assert await refused(signature=ADA.sign(await service.ballot(other_id, ADA, "for")))
    for part, value in [("chainId", 1), ("verifyingContract", ADA.address), ("name", "Other"), ("version", "2")]:
        changed = typed | {"domain": typed["domain"] | {part: value}}
        assert await refused(signature=ADA.sign(changed))
    raw = bytes.fromhex(good["signature"][2:])
    high_s = raw[:32] + (ORDER - int.from_bytes(raw[32:64], "big")).to_bytes(32, "big") + bytes([55 - raw[64]])
    assert int.from_bytes(high_s[32:64], "big") > HALF_ORDER
    assert await refused(signature="0x" + high_s.hex())
    assert (await service.client.post(url, json=good)).status_code == 201


async def test_who_may_not_vote(service: Running) -> None:
    proposal_id = (await service.propose()).json()["id"]
    assert code_of(await service.vote(proposal_id, EVE, "for")) == (403, "no_voting_power")
    missing = f"/v1/proposals/{new_id()}"
    body = {"voter": ADA.address, "choice": "for", "signature": "0x" + "11" * 65}
    assert code_of(await service.client.post(f"{missing}/votes", json=body)) == (404, "not_found")
    for path in ("", "/votes", "/results", f"/ballot?voter={ADA.address}&choice=for"):
        assert code_of(await service.client.get(missing + path)) == (404, "not_found")
    assert code_of(await service.client.get("/v1/proposals/1")) == (404, "not_found")
    for query in ("", f"voter={ADA.address}&choice=maybe", "voter=0x12&choice=for"):
        answer = await service.client.get(f"/v1/proposals/{proposal_id}/ballot?{query}")
        assert code_of(answer) == (422, "invalid_fields")
    for query in ("limit=0", "limit=101", "limit=x", "cursor=x"):
        answer = await service.client.get(f"/v1/proposals/{proposal_id}/votes?{query}")
        assert code_of(answer) == (400, "bad_page")


async def test_ballots_open_and_close_by_the_clock_not_by_the_worker(start: Start, members: dict[str, Any]) -> None:
    async with start(voting_delay_seconds=100) as service:
        await service.seed({ADA.address: 20, BEN.address: 1})
        made = (await service.propose()).json()
        proposal_id = made["id"]
        assert made["status"] == "pending"
        assert await service.published("governance.proposal.opened.v1") == []
        assert code_of(await service.vote(proposal_id, ADA, "for")) == (409, "invalid_state")
        assert not await open_proposals(service.context)

        await shift(service, proposal_id, -101)
        assert (await service.client.get(f"/v1/proposals/{proposal_id}")).json()["status"] == "open"
        assert [item["id"] for item in (await service.client.get("/v1/proposals?status=open")).json()["items"]] == [
            proposal_id
        ]
        assert (await service.vote(proposal_id, ADA, "for")).status_code == 201
        assert await open_proposals(service.context)
        assert len(await service.published("governance.proposal.opened.v1")) == 1

        await shift(service, proposal_id, -60)
        assert code_of(await service.vote(proposal_id, BEN, "against")) == (409, "invalid_state")
        assert await close_proposals(service.context)
        assert not await close_proposals(service.context)
        assert code_of(await service.vote(proposal_id, BEN, "against")) == (409, "invalid_state")

        results = (await service.client.get(f"/v1/proposals/{proposal_id}/results")).json()
        assert (results["outcome"], results["status"], results["ballots"]) == ("passed", "passed", 1)
        (closed,) = await service.published("governance.proposal.closed.v1")
        assert (closed["outcome"], closed["for_wei"], closed["quorum_wei"]) == ("passed", str(20 * BTRST), str(BTRST))


async def test_what_was_counted_cannot_be_changed_even_in_the_database(service: Running) -> None:
    proposal_id = (await service.propose()).json()["id"]
    assert (await service.vote(proposal_id, ADA, "for")).status_code == 201
    await shift(service, proposal_id, -100)
    assert await close_proposals(service.context)
    for statement in (
        "UPDATE votes SET weight_wei = 1",
        "DELETE FROM votes",
        "UPDATE proposals SET for_wei = for_wei + 1",
        "UPDATE proposals SET outcome = 'rejected'",
    ):
        with pytest.raises(DBAPIError, match="cannot change"):
            async with service.database.unit_of_work() as session:
                await session.execute(text(statement))


async def test_a_tie_and_a_missing_quorum_are_rejections(service: Running) -> None:
    tie = (await service.propose()).json()["id"]
    silent = (await service.propose()).json()["id"]
    assert (await service.vote(tie, ADA, "for")).status_code == 201
    assert (await service.vote(tie, BEN, "against")).status_code == 201
    for proposal_id in (tie, silent):
        await shift(service, proposal_id, -100)
        assert await close_proposals(service.context)
        results = (await service.client.get(f"/v1/proposals/{proposal_id}/results")).json()
        assert results["outcome"] == "rejected"


async def test_the_close_waits_for_ballots_on_their_way(service: Running) -> None:
    """A ballot accepted in the last moment is counted; none slips in after the count."""
    proposal_id = (await service.propose()).json()["id"]
    ballots = [await service.ballot(proposal_id, wallet, "for") for wallet in (ADA, BEN)]
    async with service.database.unit_of_work() as session:
        await session.execute(
            update(proposals).values(closes_at=text("clock_timestamp() + interval '150 milliseconds'"))
        )

    async def closing() -> None:
        await eventually(lambda: close_proposals(service.context), every=0.005)

    votes, _ = await asyncio.gather(
        asyncio.gather(
            *(service.vote(proposal_id, w, "for", typed=b) for w, b in zip((ADA, BEN), ballots, strict=True))
        ),
        closing(),
    )
    accepted = sum(vote.status_code == 201 for vote in votes)
    results = (await service.client.get(f"/v1/proposals/{proposal_id}/results")).json()
    assert (results["ballots"], results["for_wei"]) == (accepted, str(accepted * 20 * BTRST))


async def test_concurrent_first_ballots_of_one_voter_count_once(service: Running) -> None:
    proposal_id = (await service.propose()).json()["id"]
    typed = await service.ballot(proposal_id, ADA, "for")
    answers = await asyncio.gather(*(service.vote(proposal_id, ADA, "for", typed=typed) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert (await service.client.get(f"/v1/proposals/{proposal_id}/results")).json()["for_wei"] == str(20 * BTRST)


async def test_votes_bought_after_the_snapshot_do_not_count(service: Running) -> None:
    proposal_id = (await service.propose()).json()["id"]
    await service.seed({EVE.address: 1_000}, block=20, timestamp=1_700_000_100)
    now = (await service.client.get(f"/v1/voting-power/{EVE.address}")).json()
    assert now["votes_wei"] == str(1_000 * BTRST)
    assert code_of(await service.vote(proposal_id, EVE, "against")) == (403, "no_voting_power")


async def test_onchain_votes_are_refused_until_the_governor_has_the_proposal(service: Running) -> None:
    proposal_id = (await service.propose()).json()["id"]
    url = f"/v1/proposals/{proposal_id}/onchain-votes"
    body = {"voter": ADA.address, "choice": "for", "signature": "0x" + "11" * 65}
    assert code_of(await service.client.post(url, json=body)) == (409, "invalid_state")
    token = service.mint.headers(new_id())
    assert code_of(await service.client.post(url, json=body, headers=token)) == (400, "idempotency_key_missing")
    keyed = token | {"Idempotency-Key": "k"}
    assert code_of(await service.client.post(url, json=body, headers=keyed)) == (409, "invalid_state")
    assert code_of(await service.client.post(url, json=body | {"choice": "x"})) == (422, "invalid_fields")
    assert code_of(await service.client.post(f"/v1/proposals/{new_id()}/onchain-votes", json=body)) == (
        404,
        "not_found",
    )


async def test_voting_power_at_a_past_moment(service: Running) -> None:
    await service.seed({ADA.address: 7}, block=20, timestamp=1_700_000_100)
    url = f"/v1/voting-power/{ADA.address}"
    now = (await service.client.get(url.lower())).json()
    assert now == {
        "address": ADA.address,
        "votes_wei": str(7 * BTRST),
        "at": "2023-11-14T22:15:01Z",
        "block_number": 20,
    }

    async def at(moment: str) -> tuple[str, int]:
        answer = (await service.client.get(url, params={"at": moment})).json()
        return answer["votes_wei"], answer["block_number"]

    assert await at("2023-11-14T22:14:59Z") == (str(20 * BTRST), 12)
    assert await at("2023-11-14T22:15:00.5Z") == (str(7 * BTRST), 20)
    assert await at("2023-11-14T22:13:19Z") == ("0", 0)
    assert await at("2023-11-15T00:13:20+02:00") == (str(20 * BTRST), 10)
    assert code_of(await service.client.get(url, params={"at": "2023-11-14T22:15:02Z"})) == (422, "not_indexed_yet")
    assert code_of(await service.client.get(url, params={"at": "2023-11-14T22:15:02"})) == (422, "invalid_fields")
    for wrong in ("0x12", "ada", ADA.address[:-1] + "g"):
        assert code_of(await service.client.get(f"/v1/voting-power/{wrong}")) == (404, "not_found")


async def test_blocks_without_a_known_time_hold_the_index_back(service: Running) -> None:
    from services.governance.service import power

    async with service.database.unit_of_work() as session:
        await power.record_votes(session, account=ADA.address, block_number=20, log_index=0, votes_wei=1)
        await power.record_head(session, block_number=22, timestamp=1_700_000_102)
        assert await power.list_untimed_blocks(session) == [20]
    url = f"/v1/voting-power/{ADA.address}"
    assert (await service.client.get(url)).json()["votes_wei"] == str(20 * BTRST)
    async with service.database.unit_of_work() as session:
        await power.record_times(session, {20: 1_700_000_100})
    assert (await service.client.get(url)).json()["votes_wei"] == "1"


async def test_several_blocks_may_share_a_second(service: Running) -> None:
    """A snapshot never lies in the second of the newest block: another block could still join that second."""
    from services.governance.service import power

    async with service.database.unit_of_work() as session:
        for block in (20, 21):
            await power.record_votes(session, account=EVE.address, block_number=block, log_index=0, votes_wei=block)
        await power.record_times(session, {20: 1_700_000_100, 21: 1_700_000_100})
        await power.record_head(session, block_number=21, timestamp=1_700_000_100)
        assert (await power.take_snapshot(session)).timestamp == 1_700_000_002
        await power.record_head(session, block_number=22, timestamp=1_700_000_101)
        assert await power.take_snapshot(session) == power.Snapshot(21, 1_700_000_100)
    assert (await service.client.get(f"/v1/voting-power/{EVE.address}")).json()["votes_wei"] == "21"


async def test_the_parameters_in_force_and_their_history(service: Running) -> None:
    genesis = (await service.client.get("/v1/parameters")).json()
    assert genesis["version"] == 0
    assert {item["name"]: int(item["value"]) for item in genesis["items"]} == GENESIS_PARAMETERS
    changes = [
        ParametersSet(1, {**GENESIS_PARAMETERS, "client_fee_bps": 900}, datetime.fromisoformat("2024-01-01T00:00:00Z")),
        ParametersSet(2, {**GENESIS_PARAMETERS, "client_fee_bps": 800}, datetime.fromisoformat("2999-01-01T00:00:00Z")),
    ]
    for change in [*changes, changes[0]]:
        async with service.database.unit_of_work() as session:
            await parameters.record_version(
                session, version=change.version, values=change.values, effective_at=change.effective_at,
                block_number=50 + change.version, chain_tx_hash="0x01",
            )  # fmt: skip
    current = (await service.client.get("/v1/parameters")).json()
    assert (current["version"], current["effective_at"]) == (1, "2024-01-01T00:00:00Z")
    assert {"name": "client_fee_bps", "value": "900"} in current["items"]
    page = (await service.client.get("/v1/parameters/history?limit=2")).json()
    rest = (await service.client.get(f"/v1/parameters/history?cursor={page['next_cursor']}")).json()
    assert [item["version"] for item in page["items"] + rest["items"]] == [2, 1, 0]
    events = await service.published("governance.parameter.changed.v1")
    assert [(event["version"], event["parameters"]["client_fee_bps"]) for event in events] == [(1, "900"), (2, "800")]
    made = (
        await service.propose(actions=[{"kind": "parameter", "name": "connector_reward_bps", "value": "200"}])
    ).json()
    assert made["calls"][0]["calldata"][10:74] == (2).to_bytes(32, "big").hex()


async def test_another_genesis_on_chain_is_not_accepted(service: Running) -> None:
    with pytest.raises(parameters.GenesisDiffers):
        async with service.database.unit_of_work() as session:
            await parameters.record_version(
                session, version=0, values={**GENESIS_PARAMETERS, "client_fee_bps": 1},
                effective_at=datetime.fromisoformat("2024-01-01T00:00:00Z"), block_number=1, chain_tx_hash="0x01",
            )  # fmt: skip


async def test_delegations_need_the_node(service: Running) -> None:
    url = f"/v1/delegations/typed-data?delegator={ADA.address}&delegatee={BEN.address}"
    assert code_of(await service.client.get(url)) == (503, "chain_unavailable")
    assert code_of(await service.client.get("/v1/delegations/typed-data")) == (422, "invalid_fields")
    body = {"delegator": ADA.address, "delegatee": BEN.address, "nonce": -1, "expiry": 1, "signature": "0x"}
    assert code_of(await service.client.post("/v1/delegations", json=body)) == (422, "invalid_fields")
    assert code_of(await service.client.post("/v1/delegations", json=body | {"nonce": 0})) == (503, "chain_unavailable")


async def test_the_treasury_is_left_out_of_the_quorum(start: Start, members: dict[str, Any]) -> None:
    async with start(quorum_percent=10, quorum_floor_wei=1) as service:
        await service.seed({ADA.address: 30, BEN.address: 70, NON_VOTING: 115_000_000})
        assert (await service.propose()).json()["quorum_wei"] == str(10 * BTRST)

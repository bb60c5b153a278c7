"""Ballots and results over HTTP on a real database, with each error they document."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import DBAPIError

from chassis.ids import new_id
from chassis.testing import eventually
from services.governance.models import proposals
from services.governance.workers import close_proposals, open_proposals
from tests.governance.conftest import ADA, BEN, BTRST, EVE, Running, Start, code_of, shift

HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


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

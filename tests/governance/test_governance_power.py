"""Voting power, parameters and delegations over HTTP on a real database, with each error they document."""

from datetime import datetime

import pytest

from events.governance import GENESIS_PARAMETERS
from services.governance.chain.contracts import ParametersSet
from services.governance.service import parameters, power
from tests.governance.conftest import ADA, BEN, BTRST, EVE, Running, code_of


async def test_votes_bought_after_the_snapshot_do_not_count(service: Running) -> None:
    proposal_id = (await service.propose()).json()["id"]
    await service.seed({EVE.address: 1_000}, block=20, timestamp=1_700_000_100)
    now = (await service.client.get(f"/v1/voting-power/{EVE.address}")).json()
    assert now["votes_wei"] == str(1_000 * BTRST)
    assert code_of(await service.vote(proposal_id, EVE, "against")) == (403, "no_voting_power")


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


async def test_version_0_is_in_force_although_the_chain_clock_runs_ahead(service: Running) -> None:
    async with service.database.unit_of_work() as session:
        await parameters.record_version(
            session, version=0, values=GENESIS_PARAMETERS, effective_at=datetime.fromisoformat("2999-01-01T00:00:00Z"),
            block_number=50, chain_tx_hash="0x01",
        )  # fmt: skip
    answer = await service.client.get("/v1/parameters")
    assert (answer.status_code, answer.json()["version"], answer.json()["block_number"]) == (200, 0, 50)


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

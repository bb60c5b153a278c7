"""Relayed delegations on a real node: taken once, signed by the worker, refused when the token would."""

import asyncio
import time
from typing import Any

import pytest
from sqlalchemy import select

from chassis.testing import eventually
from services.governance.models import delegations
from services.governance.workers import relay_delegations
from tests.governance.conftest import (
    BEN,
    BTRST,
    EVE,
    Start,
    Wallet,
    delegate,
    is_open,
    signed_delegation,
    typed_delegation,
    worker_beside,
)
from tests.governance.world import RELAY, Chain

pytestmark = [pytest.mark.chain, pytest.mark.timeout(180)]

SIGNER, GUARDIAN = Wallet(0x51), Wallet(0x6A)

OTHER = Wallet(0x07E4)


async def test_delegations_that_are_refused(chain: Chain, start: Start) -> None:
    async with start(**chain.settings(relay_min_balance_wei=BTRST)) as service:

        async def post(body: dict[str, Any]) -> tuple[int, str]:
            answer = await service.client.post("/v1/delegations", json=body)
            return answer.status_code, answer.json().get("code", "")

        typed = await typed_delegation(service, BEN, BEN.address)
        good = signed_delegation(typed, BEN)
        assert await post(signed_delegation(typed, BEN, signer=EVE)) == (401, "signature_invalid")
        assert await post(good | {"delegatee": EVE.address}) == (401, "signature_invalid")
        assert await post(good | {"signature": "0x12"}) == (401, "signature_invalid")

        def resigned(wallet: Wallet = BEN, **message: Any) -> dict[str, Any]:
            return signed_delegation(typed | {"message": typed["message"] | message}, wallet)

        assert await post(resigned(nonce=1)) == (409, "delegation_nonce")
        assert await post(resigned(expiry=int(time.time()) - 60)) == (422, "delegation_expired")
        assert await post(resigned(OTHER)) == (403, "balance_too_low")

        await eventually(lambda: is_open(service))
        first = await service.client.post("/v1/delegations", json=good)
        again = await service.client.post("/v1/delegations", json=good)
        assert (first.status_code, again.status_code) == (202, 202)
        assert first.json()["chain_tx_hash"] == again.json()["chain_tx_hash"]
        assert await post(resigned(delegatee=EVE.address)) == (409, "delegation_nonce")
        await chain.mined(first.json()["chain_tx_hash"])

        async def confirmed() -> bool:
            answer = await service.client.post("/v1/delegations", json=good)
            assert answer.json()["chain_tx_hash"] == first.json()["chain_tx_hash"]
            return bool(answer.json()["status"] == "confirmed")

        await eventually(confirmed)
        assert (await typed_delegation(service, BEN, BEN.address))["message"]["nonce"] == 1


async def test_many_delegations_at_once_have_a_nonce_each(chain: Chain, start: Start) -> None:
    async with start(**chain.settings()) as service:
        await eventually(lambda: is_open(service))
        wallets = [Wallet(0xA000 + number) for number in range(6)]
        taken = await asyncio.gather(*(delegate(service, wallet) for wallet in wallets))
        hashes = {each["chain_tx_hash"] for each in taken}
        assert len(hashes) == len(wallets)
        for each in hashes:
            await chain.mined(each)
        for wallet in wallets:
            assert await chain.client.read(chain.btrst, "delegates", wallet.address) == wallet.address


async def test_without_a_key_nothing_is_relayed(chain: Chain, start: Start) -> None:
    async with start(**chain.settings(signer_key="")) as service:
        body = signed_delegation(await typed_delegation(service, BEN, BEN.address), BEN)
        answer = await service.client.post("/v1/delegations", json=body)
        assert (answer.status_code, answer.json()["code"]) == (503, "relay_unavailable")


async def test_an_api_process_leaves_the_signing_to_a_worker(chain: Chain, start: Start) -> None:
    """Until a worker has signed, the answer is 503, and the same request may be sent again."""
    async with start(**chain.settings(role="api", relay_wait_seconds=0.3)) as service:
        worker = worker_beside(service)
        body = signed_delegation(await typed_delegation(service, BEN, BEN.address), BEN)
        for _ in range(2):  # the lane is not open yet; then it is, but nobody signs
            answer = await service.client.post("/v1/delegations", json=body)
            assert (answer.status_code, answer.json()["code"]) == (503, "relay_unavailable")
            assert answer.headers["retry-after"] == "1"
            await relay_delegations(worker)
        answer = await service.client.post("/v1/delegations", json=body)
        if answer.status_code == 503:
            await relay_delegations(worker)
            answer = await service.client.post("/v1/delegations", json=body)
        assert answer.status_code == 202
        await chain.mined(answer.json()["chain_tx_hash"])


async def test_a_delegation_that_somebody_else_sent_first_fails_and_costs_no_second_try(
    chain: Chain, start: Start
) -> None:
    """Signatures are public: whoever sends one first uses up its nonce, and ours reverts."""
    async with start(**chain.settings(role="api", relay_wait_seconds=0.2)) as service:
        worker = worker_beside(service)
        await relay_delegations(worker)
        body = signed_delegation(await typed_delegation(service, BEN, BEN.address), BEN)
        answer = await service.client.post("/v1/delegations", json=body)
        assert (answer.status_code, answer.json()["code"]) == (503, "relay_unavailable")

        raw = bytes.fromhex(body["signature"][2:])
        arguments = (body["delegatee"], body["nonce"], body["expiry"], raw[64], raw[:32], raw[32:64])
        await chain.mined(await chain.send(EVE, chain.btrst, "delegateBySig", *arguments))

        async def failed() -> bool:
            await relay_delegations(worker)
            async with service.database.unit_of_work() as session:
                row = (await session.execute(select(delegations))).one()
            return bool(row.status == "failed" and row.failure == "reverted")

        await eventually(failed)
        again = await service.client.post("/v1/delegations", json=body)
        assert (again.status_code, again.json()["code"]) == (409, "delegation_nonce")
        assert await chain.client.read(chain.btrst, "delegates", BEN.address) == BEN.address


async def test_a_restored_database_goes_on_behind_what_the_chain_has_seen(chain: Chain, start: Start) -> None:
    async with start(**chain.settings(role="api")) as service:
        worker = worker_beside(service)
        await relay_delegations(worker)
        await chain.client.rpc.call("anvil_setNonce", RELAY.address, hex(7))
        await relay_delegations(worker)
        body = signed_delegation(await typed_delegation(service, BEN, BEN.address), BEN)
        sending = asyncio.create_task(service.client.post("/v1/delegations", json=body))

        async def sent() -> bool:
            await relay_delegations(worker)
            return sending.done()

        await eventually(sent, seconds=30)
        answer = await sending
        assert answer.status_code == 202, answer.text
        transaction = await chain.client.transaction(answer.json()["chain_tx_hash"])
        assert transaction is not None
        assert int(transaction["nonce"], 16) == 7
        await chain.mined(answer.json()["chain_tx_hash"])

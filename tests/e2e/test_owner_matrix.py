"""Who may see and do what: every operation of the document × everybody × what is another's × fields that do not exist.

Generated from the running gateway's own document, so that a new operation is covered without a line here, or fails for
what `owner/rules.py` does not say of it. Nothing may leak, nothing may change, no answer may be a 5xx.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from chassis.http import HttpClient
from tests.e2e.network import Network, start
from tests.e2e.owner.controls import Controls
from tests.e2e.owner.matrix import ask_everybody
from tests.e2e.owner.model import Answer, Sent
from tests.e2e.owner.oracle import Judge
from tests.e2e.owner.rules import NETWORK
from tests.e2e.owner.state import changes, rows_at_rest, rows_of
from tests.e2e.owner.surface import Operation, operations
from tests.e2e.owner.world import Played, play
from tests.streams import stream

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900), pytest.mark.asyncio(loop_scope="module")]

NEW_ROWS = frozenset({"identity.wallet_challenges"})
"""A challenge for anybody's address may be asked for: its signature is what proves something."""

SETTINGS = {
    "GOVERNANCE_VOTING_PERIOD_SECONDS": "3600",
    "GOVERNANCE_VOTING_DELAY_SECONDS": "0",
    "IDENTITY_LOGIN_RATE_LIMIT": "10000",  # as many log-ins as the matrix has, at once
}


@pytest.fixture(scope="module")
def network(run_folder: Path, mode: str) -> Iterator[Network]:
    """A network whose ballots stay open while the matrix is asked."""
    running = start(run_folder, MODE=mode, **SETTINGS)
    yield running
    assert running.stop() == 0


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def http(network: Network) -> AsyncIterator[HttpClient]:
    async with HttpClient(timeout_seconds=30.0) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def played(network: Network, http: HttpClient) -> Played:
    return await play(network.endpoints, http)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def surface(played: Played) -> list[Operation]:
    """Every operation that the gateway says it has."""
    found = operations(await played.first.api.call("GET", "/openapi.json"))
    assert len(found) >= 75
    return found


@pytest.fixture(scope="module")
def judge(network: Network, http: HttpClient, played: Played) -> Judge:
    gateway = network.endpoints["gateway"]

    async def send(sent: Sent) -> Answer:
        if sent.streams:
            return await listen(network, sent)
        headers = {"Authorization": f"Bearer {sent.token}"} if sent.token else {}
        if sent.key:
            headers["Idempotency-Key"] = sent.key
        got = await http.send_json(sent.method, gateway + sent.target, sent.body, headers)
        media_type = got.headers.get("content-type", "").partition(";")[0]
        return Answer(got.status, media_type, got.headers, got.body.decode())

    return Judge(played.world, send)


async def listen(network: Network, sent: Sent) -> Answer:
    """What an answer without an end says before it has nothing to say for a while."""
    async with stream(network.port, sent.token or None, path=sent.target) as reader:
        if reader.status == 200:
            with contextlib.suppress(TimeoutError, EOFError):
                while True:
                    await reader.next(seconds=0.7)
        text = "\n".join(map(str, reader.frames)) or reader.body.decode()
        media_type = reader.headers.get("content-type", "").partition(";")[0]
        return Answer(reader.status, media_type, reader.headers, text)


async def test_strangers(network: Network, surface: list[Operation], judge: Judge) -> None:
    """Everything that is to be refused, and everything that may be read; then all is as it was."""
    before = await rows_at_rest(network.endpoints["dsn"])
    await ask_everybody(judge, NETWORK, surface)
    judge.complaints += changes(before, await rows_of(network.endpoints["dsn"]), NEW_ROWS)
    print(f"OWNER MATRIX {judge.summary()}")
    assert judge.operations == {operation.id for operation in surface}, "an operation was left out"
    assert not judge.complaints, "\n".join([f"{len(judge.complaints)} complaints", *judge.complaints[:40]])


async def test_the_parties_themselves(played: Played, surface: list[Operation], judge: Judge) -> None:
    """The control, last: each change, refused to everybody else before, is done by who may do it."""
    await Controls(played, judge).run(surface)

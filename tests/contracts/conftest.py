"""One node for the folder, and a fresh deployment for every test that asks for one."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.deploy_contracts import DEVELOPMENT, deploy
from tests.contracts.local_chain import Chain, account, anvil

PEOPLE = {name: account(name) for name in ("deployer", "signer", "submitter", "guardian")}


def addresses() -> dict[str, Any]:
    """The people `deploy` is given."""
    return {f"{name}_address": PEOPLE[name].address for name in ("signer", "submitter", "guardian")}


@pytest.fixture(scope="session")
def node_url() -> Iterator[str]:
    """A node that mines each chain tx at once."""
    with anvil() as url:
        yield url


@pytest.fixture
async def chain(node_url: str) -> Chain:
    """The contracts in the development settings, but with room to mint up to the cap."""
    return await deployed(node_url, mint_capacity_wei=200_000_000 * 10**18)


async def deployed(url: str, **changes: Any) -> Chain:
    """Deploys with the development settings, changed as told; everybody has ether."""
    chain = Chain(url)
    await chain.fund(*PEOPLE.values())
    settings = dataclasses.replace(DEVELOPMENT, **changes)
    result = await deploy(url, PEOPLE["deployer"].key.hex(), settings=settings, **addresses())
    chain.contracts = result["contracts"]
    return chain

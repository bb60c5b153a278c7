"""Fixtures of the chain's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chassis.chain.chain_world import World, make_world


@pytest.fixture
async def world(tmp_path: Path, empty_dsn: str) -> AsyncIterator[World]:
    """A node, a database, the probe contract and an empty lane."""
    made = await make_world(tmp_path / "chain", empty_dsn)
    try:
        yield made
    finally:
        await made.close()
        await made.chain.kill()

"""One running network for a module's tests."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.embedded_postgres import state_folder
from tests.e2e.network import Network, start


@pytest.fixture(scope="module")
def mode() -> str:
    """Which bus the module's network has; modules that run on another, or on both, have a fixture of their own."""
    return "embedded"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory, mode: str) -> Iterator[Path]:
    """A run folder of its own; what root keeps elsewhere goes with it."""
    folder = tmp_path_factory.mktemp(f"run-{mode}")
    yield folder
    shutil.rmtree(state_folder(folder), ignore_errors=True)


@pytest.fixture(scope="module")
def network(run_folder: Path, mode: str) -> Iterator[Network]:
    """The network, running."""
    running = start(run_folder, MODE=mode)
    yield running
    assert running.stop() == 0

"""Whatever is sent to the gateway: what its document says, never a 5xx. Every check of schemathesis, three fixed seeds:
the first in `make test`, the others in `make test-long`."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from chassis.http import HttpClient
from scripts.api import Api, Person
from tests.e2e.network import ROOT, Network

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

CONFIG = Path(__file__).with_name("schemathesis.toml")
ADMINISTRATION = ("set_member_roles", "suspend_member", "reinstate_member")
ENDS_ITS_TOKEN = ("end_current_session",)
NEVER_ENDS = ("stream_own_events",)
"""With a token that holds; what is wrong with it is asked in tests/identity."""
SEEDS = [20261122, *(pytest.param(seed, marks=pytest.mark.long) for seed in (20261123, 20261124))]


@pytest.fixture(params=SEEDS)
def seed(request: pytest.FixtureRequest) -> int:
    """What the generator of requests begins with."""
    return int(request.param)


def fuzz(network: Network, seed: int, token: str | None, *selection: str, examples: int = 10) -> None:
    """Run all checks on the selected operations."""
    config = network.run_folder / "schemathesis.toml"
    auth = "" if token is None else f'[auth.openapi.bearer]\nbearer = "{token}"\n\n'
    config.write_text(CONFIG.read_text().replace("[generation]", f"{auth}[generation]"))
    command = [
        *(str(Path(sys.executable).with_name("st")), "--config-file", str(config)),
        *("run", f"http://127.0.0.1:{network.port}/openapi.json", "--checks", "all", "--no-color"),
        *("--max-examples", str(examples), "--seed", str(seed), *selection),
    ]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=850, check=False)
    said = "\n".join(line[:500] for line in result.stdout.splitlines())  # a value may fill pages
    assert result.returncode == 0, said[-12_000:] + result.stderr[-2_000:]
    faults = [line for line in log_lines(network) if '"event": "unhandled"' in line]
    assert not faults, faults[:3]


def log_lines(network: Network) -> list[str]:
    """What the processes wrote."""
    return [line for path in (network.run_folder / "logs").iterdir() for line in path.read_text("utf-8").splitlines()]


def only(names: Sequence[str]) -> list[str]:
    return [part for name in names for part in ("--include-operation-id", name)]


def without(names: Sequence[str]) -> list[str]:
    return [part for name in names for part in ("--exclude-operation-id", name)]


async def token_of(network: Network, *, admin: bool = False) -> str:
    """A new member's token, with every role a member can give themselves; or the administrator's."""
    told = network.endpoints
    async with HttpClient(timeout_seconds=10.0) as http:
        api = Api(told["gateway"], http)
        if admin:
            return str((await api.call("POST", "/v1/sessions", told["admin"]))["access_token"])
        member = await Person(api, "Fuzz", ["client", "talent", "connector"]).register()
        await member.link_wallet()
        return await member.token()


async def test_anyone(network: Network, seed: int) -> None:
    fuzz(network, seed, None)


async def test_a_member(network: Network, seed: int) -> None:
    fuzz(network, seed, await token_of(network), *without(ENDS_ITS_TOKEN + NEVER_ENDS))


async def test_a_member_who_logs_out(network: Network, seed: int) -> None:
    fuzz(network, seed, await token_of(network), *only(ENDS_ITS_TOKEN))


async def test_an_administrator(network: Network, seed: int) -> None:
    fuzz(network, seed, await token_of(network, admin=True), *only(ADMINISTRATION))

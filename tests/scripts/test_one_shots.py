"""The one-shot commands of a deployment by Compose, each as a process, in their order, and all of them twice."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from eth_account import Account

from chassis.embedded_postgres import free_port
from scripts.contract_tools import Node
from scripts.databases import Wanted
from scripts.migrate import SERVICES
from services.governance.settings import GovernanceSettings
from services.rewards.settings import RewardsSettings

Ended = subprocess.CompletedProcess[str]


def run(module: str, *arguments: str, **environment: str) -> Ended:
    """`python -m scripts.<module>`, ended."""
    bare = {name: value for name, value in os.environ.items() if not name.endswith("_DATABASE_URL")}
    command = [sys.executable, "-m", f"scripts.{module}", *arguments]
    return subprocess.run(command, env=bare | environment, capture_output=True, text=True, timeout=120, check=False)


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """The folders of settings, as the first run makes them."""
    folder = tmp_path / "settings"
    assert run("compose_settings", str(folder)).returncode == 0
    return folder


@pytest.fixture
def node(tmp_path: Path) -> Iterator[str]:
    """The URL of `python -m scripts.chain`, which ends well when told to."""
    port = free_port()
    command = [sys.executable, "-m", "scripts.chain", str(tmp_path / "chain"), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            give_up_at = time.monotonic() + 60
            while run("healthy", url).returncode:
                assert time.monotonic() < give_up_at
                assert process.poll() is None
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=60)
    assert (process.returncode, "state is saved" in output) == (0, True)
    assert (tmp_path / "chain" / "anvil-state.json").exists()


@pytest.mark.unit
def test_settings_are_made_once_and_each_service_gets_its_own(settings: Path) -> None:
    before = contents(settings)
    again = run("compose_settings", str(settings))
    assert (again.returncode, again.stdout) == (0, "every setting is there already\n")
    assert contents(settings) == before
    assert {path.stat().st_mode & 0o777 for path in settings.rglob("*") if path.is_file()} == {0o440}
    secret = {name: value for name, value in before.items() if not name.endswith(("_ADDRESS", "_EMAIL"))}
    for service in SERVICES:  # no service is told what only another one may know
        own = {value for name, value in secret.items() if name.startswith(f"{service}/")}
        others = {"rewards/REWARDS_SIGNER_KEY", "governance/GOVERNANCE_SIGNER_KEY", "deployer/DEPLOYER_KEY"}
        others |= {f"{other}/{other.upper()}_DATABASE_URL" for other in SERVICES}
        assert not own & {before[name] for name in others if not name.startswith(f"{service}/")}
    assert len({before[f"{who}/INTERNAL_SECRET"] for who in (*SERVICES, "gateway")}) == 1
    signer = Account.from_key(before["rewards/REWARDS_SIGNER_KEY"]).address
    assert before["deployer/REWARDS_SIGNER_ADDRESS"] == signer


@pytest.mark.unit
def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = run("compose_settings", str(tmp_path / "file" / "below"))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("cannot write ")
    assert len(ended.stderr.splitlines()) == 1


async def test_every_service_gets_a_database_that_no_other_role_enters(postgres_dsn: str, tmp_path: Path) -> None:
    prefix = f"t{os.getpid()}"
    head, _, server = postgres_dsn.partition("@")
    told = {"ADMIN_DATABASE_URL": postgres_dsn}
    for service in SERVICES:
        name = f"{prefix}_{service}"
        told[f"{service.upper()}_DATABASE_URL"] = (
            f"{head.partition('://')[0]}://{name}:pass'word-{service}@{server.partition('/')[0]}/{name}"
        )
    for name, value in told.items():
        (tmp_path / name).write_text(value)
    made = await asyncio.to_thread(run, "databases", SECRETS_DIR=str(tmp_path))
    assert (made.returncode, made.stderr) == (0, "")
    again = await asyncio.to_thread(run, "databases", SECRETS_DIR=str(tmp_path))
    assert again.stdout == "every database is there already\n"
    try:
        own = await asyncpg.connect(told["JOBS_DATABASE_URL"])
        await own.execute("CREATE TABLE mine (id int)")
        await own.close()
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(told["JOBS_DATABASE_URL"].removesuffix("jobs") + "rewards")
        refused = await asyncio.to_thread(run, "databases", **told | {"JOBS_DATABASE_URL": "postgresql://x/y"})
        assert refused.stderr.startswith("cannot make the databases: JOBS_DATABASE_URL must be postgresql://")
    finally:
        admin = await asyncpg.connect(postgres_dsn)
        for service in SERVICES:
            await admin.execute(f"DROP DATABASE IF EXISTS {prefix}_{service} WITH (FORCE)")
            await admin.execute(f"DROP ROLE IF EXISTS {prefix}_{service}")
        await admin.close()


@pytest.mark.unit
def test_a_password_in_a_url_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_DATABASE_URL", "postgresql://jobs:a%2Fb%40@host/btrst_jobs")
    assert Wanted.of("JOBS_DATABASE_URL") == Wanted("btrst_jobs", "jobs", "a/b@")


@pytest.mark.chain
async def test_contracts_are_deployed_once_and_the_services_are_told(
    settings: Path, node: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "volume" / "deployment.json"
    options = (
        "--preset",
        "development",
        "--record",
        str(record),
        "--settings",
        str(settings),
        "--fund",
        "--wait",
        "60",
    )
    told = {"SECRETS_DIR": str(settings / "deployer"), "CHAIN_RPC_URLS": node}
    first = await asyncio.to_thread(run, "deploy_contracts", *options, **told)
    assert first.returncode == 0, first.stderr
    deployment = json.loads(record.read_text())
    assert json.loads(first.stdout) == deployment
    deployer = Account.from_key((settings / "deployer" / "DEPLOYER_KEY").read_text()).address
    nonce = await Node(node).call("eth_getTransactionCount", deployer, "latest")
    before = contents(settings)
    second = await asyncio.to_thread(run, "deploy_contracts", *options, **told)
    assert (second.returncode, second.stdout) == (0, first.stdout)
    assert contents(settings) == before
    assert await Node(node).call("eth_getTransactionCount", deployer, "latest") == nonce

    at = deployment["contracts"]
    monkeypatch.setenv("CHAIN_RPC_URLS", node)
    monkeypatch.setenv("SECRETS_DIR", str(settings / "rewards"))
    rewards = RewardsSettings()
    assert (rewards.btrst_address, rewards.minter_address) == (at["btrst"], at["rewards_minter"])
    assert (rewards.start_block, rewards.chain_id, rewards.pays) == (deployment["block"], 31337, True)
    monkeypatch.setenv("SECRETS_DIR", str(settings / "governance"))
    governance = GovernanceSettings()
    found = (governance.btrst_address, governance.governor_address, governance.parameters_address)
    assert found == (at["btrst"], at["governor"], at["network_parameters"])

    bad = await asyncio.to_thread(run, "deploy_contracts", *options, **told | {"DEPLOYER_KEY": "0x12"})
    assert (bad.returncode, bad.stderr) == (1, "DEPLOYER_KEY is not a private key: 64 hexadecimal digits\n")


@pytest.mark.unit
def test_a_node_that_is_away_is_one_line() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    addresses = [option for name in ("signer", "submitter", "guardian") for option in (f"--{name}", "0x" + "11" * 20)]
    options = ("--preset", "development", "--rpc-url", url, *addresses, "--wait", "1")
    ended = run("deploy_contracts", *options, DEPLOYER_KEY="11" * 32)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)
    assert f"the node at {url} does not answer" in ended.stderr
    assert run("healthy", f"{url}/healthz").returncode == 1
    assert run("healthy").stderr == "HEALTH_URL is not set\n"

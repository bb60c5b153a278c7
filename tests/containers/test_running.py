"""The image built and the compose file run on a real engine (`make containers`): the story from outside, confinement,
ports, secrets, and what outlives `make down`. The tests share one deployment and run in their order."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.migrate import SERVICES
from scripts.story import play
from tests.containers.compose_file import ROOT
from tests.containers.deployment import PROJECT, Deployment
from tests.containers.test_promises import COMPOSE, ONE_SHOTS, RUNNING, kubernetes_commands

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1_800)]
PROCESSES = (*SERVICES, "gateway")
BALANCE_WEI = 70 * 10**18  # what one story mints: 2 × 20 and 2 × 15


@pytest.fixture(scope="module")
def network() -> Iterator[Deployment]:
    """`make up` on a machine that has nothing of it yet."""
    compose = os.environ.get("CONTAINERS_COMPOSE")
    if not compose:
        pytest.fail("run this by `make containers`, which finds or starts the engine", pytrace=False)
    deployment = Deployment(compose)
    deployment.remove()
    try:
        deployment.up()
        yield deployment
    finally:
        deployment.remove()


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return json.load(answer)


def minted_wei(network: Deployment) -> int:
    return int(get(f"{network.gateway_url}/v1/token")["rewards_minted_wei"])


def await_minted(network: Deployment, wanted_wei: int) -> None:
    """The figures of the token follow the chain's final block, so a moment behind the rewards."""
    give_up_at = time.monotonic() + 60
    while (found_wei := minted_wei(network)) != wanted_wei:
        assert time.monotonic() < give_up_at, (found_wei, wanted_wei)
        time.sleep(0.5)


def tell_story(network: Deployment) -> None:
    btrst = get(f"{network.gateway_url}/v1/token")["address"]
    said: list[str] = []
    try:
        asyncio.run(play(network.gateway_url, network.rpc_url, btrst, said.append))
    except Exception as error:
        raise AssertionError(f"after {said}: {error}") from error
    audit = get(f"{network.gateway_url}/v1/audit/supply")
    assert audit["difference_wei"] == "0"


def test_everything_is_up_and_healthy(network: Deployment) -> None:
    found = network.inspect()
    assert set(found) == RUNNING | ONE_SHOTS
    assert network.health() == dict.fromkeys(RUNNING, "healthy")
    assert {name: found[name]["State"]["ExitCode"] for name in ONE_SHOTS} == dict.fromkeys(ONE_SHOTS, 0)
    assert {name: one["RestartCount"] for name, one in found.items()} == dict.fromkeys(found, 0)
    assert get(f"{network.gateway_url}/readyz")["status"] == "ready"


def test_no_process_has_root_a_capability_or_a_file_system_to_write(network: Deployment) -> None:
    status = {}
    for name in (*PROCESSES, "chain"):
        said = network.shell(name, "grep -E '^(Uid|Gid|CapEff|CapPrm|CapBnd|NoNewPrivs|Seccomp):' /proc/1/status")
        status[name] = {line.split()[0]: line.split()[1] for line in said.splitlines()}
    none = "0" * 16
    wanted = {"CapEff:": none, "CapPrm:": none, "CapBnd:": none, "NoNewPrivs:": "1", "Seccomp:": "2"}
    assert status == dict.fromkeys(status, {"Uid:": "10001", "Gid:": "10001"} | wanted)
    for name in PROCESSES:
        for folder in ("/", "/app", "/opt/venv", "/etc", "/var", "/run/secrets/btrst"):
            assert "Read-only file system" in network.shell(name, f"touch {folder}/x"), (name, folder)
        said = network.shell(name, "printf '#!/bin/sh\\necho ran' > /tmp/x && chmod +x /tmp/x && /tmp/x; rm /tmp/x")
        assert "ran" not in said.split("\n")[0].split(), name


def test_the_servers_of_others_are_confined_too(network: Deployment) -> None:
    for name, uid in (("postgres", "999"), ("kafka", "1000")):
        said = network.shell(name, "grep -E '^(Uid|CapEff|NoNewPrivs):' /proc/1/status").split()
        assert said[1:3] == [uid, uid]
        assert said[said.index("CapEff:") + 1] == "0" * 16
        assert said[said.index("NoNewPrivs:") + 1] == "1"
    assert "Read-only file system" in network.shell("postgres", "touch /x")


def test_ports_are_bound_to_loopback_only(network: Deployment) -> None:
    bound = {
        (name, int(binding["HostPort"]), binding["HostIp"])
        for name, one in network.inspect().items()
        for bindings in (one["NetworkSettings"]["Ports"] or {}).values()
        for binding in bindings or ()
    }
    assert bound == {
        ("gateway", network.gateway_port, "127.0.0.1"),
        ("chain", network.chain_port, "127.0.0.1"),
        ("kafka", network.kafka_port, "127.0.0.1"),
    }
    addresses = re.findall(r"inet ([0-9.]+)", subprocess.check_output(["ip", "-4", "addr"], text=True))
    others = [address for address in addresses if not address.startswith("127.")]
    assert others  # at least the bridge's
    for address in others:
        with pytest.raises(OSError, match="refused"), socket.create_connection((address, network.gateway_port), 5):
            pass


def test_each_process_is_given_its_own_secrets_as_files_and_none_in_the_open(network: Deployment) -> None:
    files = {name: set(network.shell(name, "ls /run/secrets/btrst").split()) for name in PROCESSES}
    for name in SERVICES:
        assert {f"{name.upper()}_DATABASE_URL", "INTERNAL_SECRET"} <= files[name]
    assert files["gateway"] == {"INTERNAL_SECRET"}
    holders = {name for name, found in files.items() if "REWARDS_SIGNER_KEY" in found}
    assert holders == {"rewards"}
    secrets = set()
    for name in PROCESSES:
        said = network.shell(name, "cd /run/secrets/btrst && for file in *; do echo $file $(cat $file); done")
        pairs = [line.split(" ", 1) for line in said.splitlines()]
        secrets |= {value for key, value in pairs if key.endswith(("_KEY", "_SECRET", "_PASSWORD", "_URL"))}
    assert len(secrets) >= 9
    told = json.dumps([[one["Config"]["Env"], one["Config"]["Cmd"], one["Args"]] for one in network.inspect().values()])
    image = network.run("docker", "history", "--no-trunc", "btrst-network:lane")
    logs = network.run(*network.compose.split(), "logs", "--no-color")
    assert [secret for secret in secrets if secret in told or secret in image or secret in logs] == []


def test_the_image_holds_every_command_and_nothing_to_build_with(network: Deployment) -> None:
    modules = sorted({command[2] for command in kubernetes_commands()} | _modules_of_compose())
    script = (
        "import importlib.util, sys; print([m for m in sys.argv[1:] if not importlib.util.find_spec(m)], "
        "importlib.util.find_spec('pip'), sys.prefix)"
    )
    confined = ["--rm", "--read-only", "--network", "none", "--cap-drop", "ALL", "--user", "10001:10001"]
    said = network.run("docker", "run", *confined, "btrst-network:lane", "python", "-c", script, *modules)
    assert said.split() == ["[]", "None", "/opt/venv"]
    found = network.shell("gateway", "for p in pip npm node gcc anvil; do command -v $p; done; ls /app")
    assert found.split() == ["LICENSE", *sorted(_folders_of_image())]
    config = json.loads(network.run("docker", "inspect", "btrst-network:lane"))[0]["Config"]
    assert (config["User"], config["StopSignal"], config["Cmd"]) == (
        "10001:10001",
        "SIGTERM",
        ["python", "-m", "gateway"],
    )
    assert config["Healthcheck"]["Test"] == ["CMD", "python", "-m", "scripts.healthy"]


def _modules_of_compose() -> set[str]:
    return {service["command"][2] for service in COMPOSE["services"].values() if "command" in service}


def _folders_of_image() -> set[str]:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return {line[1:].split("/")[0] for line in lines if line.startswith("!") and line not in {"!LICENSE", "!.npmrc"}}


def test_the_story_from_outside(network: Deployment) -> None:
    before = minted_wei(network)
    tell_story(network)
    await_minted(network, before + BALANCE_WEI)
    command = [sys.executable, "-m", "scripts.events", "tail", "jobs.transaction", "--from", "0", "--once"]
    told = network.run(*command, "--bus-url", network.bus_url)
    types = [json.loads(line)["value"]["type"] for line in told.splitlines()]
    assert "jobs.transaction.completed.v1" in types  # it went over Kafka


def test_what_is_stopped_ends_in_order_and_all_recover_when_it_is_back(network: Deployment) -> None:
    stopped = ("jobs", "chain", "postgres")
    network.run(*network.compose.split(), "stop", *stopped)
    state = network.inspect()
    assert {name: state[name]["State"]["ExitCode"] for name in stopped} == dict.fromkeys(stopped, 0)
    assert not any(one["State"]["OOMKilled"] for one in state.values())
    network.run("docker", "start", *(state[name]["Id"] for name in stopped))
    give_up_at = time.monotonic() + 240
    while (health := network.health()) != dict.fromkeys(RUNNING, "healthy"):
        assert time.monotonic() < give_up_at, health
        time.sleep(1)


def test_what_was_stored_outlives_make_down_and_the_next_make_up_goes_on(network: Deployment) -> None:
    token, parameters = get(f"{network.gateway_url}/v1/token"), get(f"{network.gateway_url}/v1/parameters")
    assert int(token["rewards_minted_wei"]) > 0
    volumes = network.volumes()
    assert volumes == {f"{PROJECT}_{name}" for name in COMPOSE["volumes"]}
    network.down()
    assert (network.inspect(), network.volumes()) == ({}, volumes)
    network.up()
    same = ("address", "chain_id", "rewards_minted_wei", "total_supply_wei")
    again = get(f"{network.gateway_url}/v1/token")
    assert [again[name] for name in same] == [token[name] for name in same]
    assert get(f"{network.gateway_url}/v1/parameters") == parameters
    tell_story(network)
    await_minted(network, int(token["rewards_minted_wei"]) + BALANCE_WEI)

"""What the Dockerfile and the compose file promise, without an engine: read, and broken on purpose."""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from chassis.kafka_jars import KAFKA_VERSION
from events.registry import TOPICS
from scripts.compose_settings import make
from scripts.migrate import SERVICES
from services.governance.settings import GovernanceSettings
from services.identity.settings import IdentitySettings
from services.jobs.settings import JobsSettings
from services.rewards.settings import RewardsSettings
from tests.containers.compose_file import (
    ROOT,
    compose_file,
    default_of,
    dockerfile_lines,
    exposed,
    files_of,
    has_function,
    is_one_shot,
    module_of,
    secrets_in_settings,
    unawaited,
    unconfined,
    unmanaged_mounts,
    unversioned_images,
    unwatched,
)

pytestmark = pytest.mark.unit
COMPOSE = compose_file()
RUNNING = {"postgres", "kafka", "chain", "identity", "jobs", "rewards", "governance", "gateway"}
ONE_SHOTS = {"settings", "databases", "migrations", "topics", "contracts"}


def breaches(compose: dict[str, Any]) -> list[str]:
    services = compose["services"]
    has_check = any(line.startswith("HEALTHCHECK ") and "NONE" not in line for line in dockerfile_lines())
    return [
        *unversioned_images(services),
        *unconfined(services),
        *exposed(services),
        *unwatched(services, has_check),
        *unmanaged_mounts(compose),
        *unawaited(services),
        *secrets_in_settings(services),
    ]


def test_the_file_names_every_part_and_keeps_every_promise() -> None:
    assert set(COMPOSE["services"]) == RUNNING | ONE_SHOTS
    assert {name for name, service in COMPOSE["services"].items() if is_one_shot(service)} == ONE_SHOTS
    assert breaches(COMPOSE) == []


@pytest.mark.parametrize(
    ("service", "key", "value", "found"),
    [
        ("postgres", "image", "postgres", "postgres"),
        ("kafka", "image", "apache/kafka:latest", "kafka"),
        ("jobs", "cap_add", ["NET_ADMIN"], "jobs: capabilities"),
        ("jobs", "cap_drop", [], "jobs: capabilities"),
        ("jobs", "privileged", True, "jobs: capabilities"),
        ("rewards", "security_opt", [], "rewards: may gain privileges"),
        ("rewards", "read_only", False, "rewards: can write its root"),
        ("identity", "user", "10002:10002", "identity: not 10001"),
        ("postgres", "user", "0:0", "postgres: root"),
        ("gateway", "ports", ["8080:8080"], "gateway: 8080:8080"),
        ("gateway", "network_mode", "host", "gateway: host"),
        ("gateway", "healthcheck", {"disable": True}, "gateway"),
        ("postgres", "healthcheck", {}, "postgres"),
        ("jobs", "volumes", ["./data:/data"], "jobs: ./data:/data"),
        ("jobs", "depends_on", {"topics": {"condition": "service_started"}}, "jobs → topics"),
        ("gateway", "environment", {"INTERNAL_SECRET": "x"}, "gateway: INTERNAL_SECRET"),
    ],
)
def test_a_broken_promise_is_found(service: str, key: str, value: object, found: str) -> None:
    broken = deepcopy(COMPOSE)
    broken["services"][service][key] = value
    assert breaches(broken) == [found]


def test_each_process_reads_only_its_own_settings() -> None:
    for name in (*SERVICES, "gateway", "postgres"):
        mounts = [mount for mount in COMPOSE["services"][name]["volumes"] if "settings" in mount]
        assert mounts == [f"{name}-settings:/run/secrets/btrst:ro"]
    users = {
        volume: {name for name, one in COMPOSE["services"].items() if any(volume in m for m in one.get("volumes", ()))}
        for volume in ("rewards-settings", "guardian-settings", "deployer-settings")
    }
    assert users == {
        "rewards-settings": {"settings", "contracts", "rewards"},
        "guardian-settings": {"settings"},
        "deployer-settings": {"settings", "contracts"},
    }


def test_every_folder_of_settings_has_its_volume_and_its_place_in_the_image(tmp_path: Path) -> None:
    make(tmp_path)
    made = {folder.name for folder in tmp_path.iterdir()}
    mounts = dict(mount.split(":") for mount in COMPOSE["services"]["settings"]["volumes"])
    assert mounts == {f"{name}-settings": f"/settings/{name}" for name in made}
    run = next(line for line in dockerfile_lines() if "install -d -o 10001" in line)
    assert {f"/settings/{name}" for name in made} | {"/data", "/run/secrets/btrst"} <= set(run.split())


def test_every_setting_is_one_that_the_service_knows() -> None:
    classes = (IdentitySettings, JobsSettings, RewardsSettings, GovernanceSettings)
    beside = {"SECRETS_DIR", "HEALTH_URL"}
    for service, known_by in zip(SERVICES, classes, strict=True):
        told = set(COMPOSE["services"][service]["environment"])
        known = {known_by.env_name(field) for field in known_by.model_fields}
        shared = {"PUBLIC_URL", "CHAIN_RPC_URLS"}  # not every service asks for these
        assert told - known - beside - shared == set(), service
        assert {f"{service.upper()}_HOST", f"{service.upper()}_PORT"} <= told


def test_kafka_is_the_tested_release_with_room_for_dead_letters() -> None:
    kafka = COMPOSE["services"]["kafka"]
    assert default_of(kafka["image"]) == f"apache/kafka:{KAFKA_VERSION}"
    assert kafka["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert kafka["environment"]["KAFKA_MESSAGE_MAX_BYTES"] >= 8 * 1024 * 1024
    assert TOPICS  # what `topics` makes


def test_the_dockerfile_pins_its_base_and_ends_without_root() -> None:
    lines = dockerfile_lines()
    assert re.fullmatch(r"ARG PYTHON_IMAGE=python:3\.\d+-slim-\w+", lines[0])
    stages = [line.split() for line in lines if line.startswith("FROM ")]
    names = {stage[-1] for stage in stages}
    assert all(stage[1] in {"${PYTHON_IMAGE}", *names} for stage in stages)
    assert [stage[-1] for stage in stages][-1] == "network"
    assert [line for line in lines if line.startswith("USER ")] == ["USER 10001:10001"]
    text = (ROOT / "Dockerfile").read_text()
    assert not re.search(r"^# syntax=|<<-?['\"]?\w|^ADD |:latest|sudo|curl|wget|https?://(?!127\.)", text, re.MULTILINE)
    assert all("--require-hashes" in line for line in lines if "pip install" in line)
    assert all("npm ci" in line for line in lines if re.search(r"\bnpm (ci|i|install)\b", line))


def test_the_guide_tells_every_variable() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    variables = {*re.findall(r"\$\{(\w+)", text), "PIP_INDEX_URL", "NPM_CONFIG_REGISTRY"}
    guide = (ROOT / "docs" / "containers.md").read_text()
    assert [name for name in sorted(variables) if f"`{name}`" not in guide] == []


def test_nothing_but_what_runs_is_sent_to_the_build() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*"  # all is left out, and what follows is let in again
    copied = {
        word for line in dockerfile_lines() if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    }  # fmt: skip
    for name in copied - {"."}:
        assert f"!{name}" in ignored, name
    secret = re.compile(r"\.env|\.run|\.git\b|secrets?\.json|tests|\.key")
    assert [line for line in ignored if line.startswith("!") and secret.search(line)] == []


def kubernetes_commands() -> list[list[str]]:
    """The command of each container of the manifests, $(SERVICE) spelled out for each service."""
    found: list[list[str]] = []
    for path in sorted((ROOT / "deploy" / "k8s").rglob("*.yaml")):
        for line in re.findall(r"^\s*command: (\[python, -m, .*\])$", path.read_text(), re.MULTILINE):
            command = yaml.safe_load(line)
            services = SERVICES if "$(SERVICE)" in command else SERVICES[:1]
            found += [[service if word == "$(SERVICE)" else word for word in command] for service in services]
    return found


def image_commands() -> list[list[str]]:
    return [yaml.safe_load(line.partition(" ")[2]) for line in dockerfile_lines() if line.startswith("CMD ")]


def test_every_command_of_compose_and_kubernetes_is_in_the_image() -> None:
    ours = [service["command"] for service in COMPOSE["services"].values() if "command" in service]
    commands = [*ours, *kubernetes_commands(), *image_commands()]
    assert len(kubernetes_commands()) >= 17
    allowed = [line[1:-3] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.endswith("/**")]
    for command in commands:
        module = module_of(command)
        found = [path for path in files_of(module) if path.exists()]
        assert len(found) == 1, command
        assert module.split(".")[0] in allowed, command
        if module == "chassis.serve":
            target, _, function = command[3].partition(":")
            assert has_function(target, function), command
        if module in {"scripts.migrate", "scripts.await_schema"}:
            assert command[3] in {*SERVICES, "all"}, command

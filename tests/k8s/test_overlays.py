"""What an overlay refers to exists; a changed setting reaches the pods; nothing of the repository runs by accident."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from chassis.testing import ROOT
from scripts.k8s_render import MANIFESTS, render
from scripts.k8s_secrets import make_secrets, manifest
from tests.k8s.manifests import SERVICES, Resource, deployments, of_kind, secret_files, workloads

GUIDE = ROOT / "docs/kubernetes.md"
KEYS = {"rewards_key": "0x" + "11" * 32, "relay_key": "0x" + "22" * 32}
MADE = make_secrets(rpc_urls="https://node.example", admin_email="a@example.com", **KEYS)
BY_OPERATORS = {"kafka-cluster-ca-cert": {"ca.crt"}, "postgres-ca": {"ca.crt"}} | {
    f"kafka-{service}": {"password"} for service in SERVICES
}
BY_HAND = {"postgres-backup": {"ACCESS_KEY_ID", "SECRET_ACCESS_KEY"}}
SECRETS = {name: set(values) for name, values in MADE.items()} | BY_OPERATORS | BY_HAND


def dangling(resources: Sequence[Resource]) -> Iterator[str]:
    """References to what is neither rendered nor described as somebody's to provide."""
    maps, accounts = of_kind(resources, "ConfigMap"), of_kind(resources, "ServiceAccount")
    for workload in workloads(resources):
        if workload.pod["serviceAccountName"] not in accounts:
            yield f"{workload.where}: ServiceAccount {workload.pod['serviceAccountName']}"
        for container in workload.containers():
            for source in container.get("envFrom", []):
                if source["configMapRef"]["name"] not in maps:
                    yield f"{workload.where}: ConfigMap {source['configMapRef']['name']}"
            for _, secret, key in secret_files(workload, container):
                if secret not in SECRETS or (key and key not in SECRETS[secret]):
                    yield f"{workload.where}: Secret {secret} {key}"
    for kind in ("HorizontalPodAutoscaler", "ScaledObject"):
        names = {workload.name for workload in deployments(resources)}
        for found in of_kind(resources, kind).values():
            if found["spec"]["scaleTargetRef"]["name"] not in names:
                yield f"{kind}: {found['spec']['scaleTargetRef']['name']}"


def test_everything_that_is_named_exists(resources: list[Resource]) -> None:
    assert list(dangling(resources)) == []


def test_a_name_that_does_not_exist_shows(prod: list[Resource]) -> None:
    prod.remove(next(found for found in prod if found["kind"] == "ServiceAccount"))
    assert list(dangling(prod)) != []


def test_every_secret_that_is_made_is_used_and_told_of(prod: list[Resource]) -> None:
    mounted = {
        secret
        for workload in workloads(prod)
        for container in workload.containers()
        for _, secret, _ in secret_files(workload, container)
    }
    owners = {
        role["passwordSecret"]["name"] for role in of_kind(prod, "Cluster")["postgres"]["spec"]["managed"]["roles"]
    }
    assert set(MADE) == (mounted | owners) - set(BY_OPERATORS)
    guide = GUIDE.read_text()
    for name, keys in SECRETS.items():
        assert f"`{name}`" in guide or name.startswith(("kafka-", "postgres-")), name
        for key in keys - {"username", "password", "key", "ca.crt"}:
            assert f"`{key}`" in guide, key


def test_the_made_secrets_are_new_each_time_and_fit_kubernetes() -> None:
    again = make_secrets(rpc_urls="https://node.example", admin_email="a@example.com", **KEYS)
    for secret, key in (("internal", "INTERNAL_SECRET"), ("postgres-jobs", "password"), ("jobs", "JOBS_DATABASE_URL")):
        assert MADE[secret][key] != again[secret][key]
    items = manifest("btrst", MADE)["items"]
    assert {item["metadata"]["name"]: item["type"] for item in items}["postgres-jobs"] == "kubernetes.io/basic-auth"
    assert {item["metadata"]["namespace"] for item in items} == {"btrst"}


def test_all_is_in_a_namespace_that_takes_restricted_pods_only(resources: list[Resource]) -> None:
    (space,) = of_kind(resources, "Namespace").values()
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    inside = {found["metadata"].get("namespace") for found in resources if found is not space}
    assert inside == {space["metadata"]["name"]}


def test_production_runs_an_image_by_its_digest(prod: list[Resource]) -> None:
    images = {container["image"] for workload in workloads(prod) for container in workload.containers()}
    (image,) = images
    assert image.startswith("registry.invalid/btrst-network@sha256:"), "the repository names no real image"


def test_a_changed_setting_is_a_new_name_so_that_the_pods_roll(tmp_path: Path, prod: list[Resource]) -> None:
    copy = tmp_path / "k8s"
    shutil.copytree(MANIFESTS, copy)
    settings = copy / "overlays/prod/rewards.env"
    settings.write_text(settings.read_text().replace("REWARDS_CONFIRMATIONS=12", "REWARDS_CONFIRMATIONS=13"))
    changed = {
        workload.name for workload in deployments(render(copy / "overlays/prod")) if workload.resource not in prod
    }
    assert changed == {"rewards-api", "rewards-worker"}


@pytest.mark.parametrize("mapped", ["network", "identity", "jobs", "rewards", "governance", "gateway", "kafka"])
def test_every_map_of_settings_carries_its_hash(mapped: str, resources: list[Resource]) -> None:
    assert mapped not in of_kind(resources, "ConfigMap")
    assert any(name.startswith(f"{mapped}-") for name in of_kind(resources, "ConfigMap"))

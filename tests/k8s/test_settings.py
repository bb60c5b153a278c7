"""Every setting a process needs is given to it, and nothing is given that it does not know."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from chassis.lifecycle import STOP_SECONDS
from chassis.settings import ServiceSettings
from gateway.settings import GatewaySettings
from scripts.k8s_secrets import make_secrets
from services.governance.settings import GovernanceSettings
from services.identity.settings import IdentitySettings
from services.jobs.settings import JobsSettings
from services.rewards.settings import RewardsSettings
from tests.k8s.manifests import SECRETS_DIR, Resource, Workload, deployments, plain_env, secret_files, workloads

SETTINGS: dict[str, type[ServiceSettings]] = {
    "gateway": GatewaySettings,
    "governance": GovernanceSettings,
    "identity": IdentitySettings,
    "jobs": JobsSettings,
    "rewards": RewardsSettings,
}
READ_BY_OTHERS = {
    "PGSSLROOTCERT": "the database driver",
    "SECRETS_DIR": "ServiceSettings itself",
    "SERVICE": "a command",
}
MADE_BY_OPERATORS = {
    "kafka-cluster-ca-cert": {"ca.crt": "PEM"},
    "postgres-ca": {"ca.crt": "PEM"},
    **{f"kafka-{service}": {"password": "p" * 32} for service in SETTINGS if service != "gateway"},
}
"""Secrets of Strimzi and CloudNativePG, by the names of our clusters and users."""

UNNEEDED = {  # a default that would not do in production, but is not used there
    "FAILPOINT": "test only",
    "GATEWAY_DATABASE_URL": "the gateway has no database",
    "GATEWAY_ADDRESS_RATE_LIMIT": "unset: as GATEWAY_RATE_LIMIT",
    "GATEWAY_CORS_ORIGINS": "empty: pages of no other origin, until an overlay says which",
    **{
        f"GATEWAY_{service.upper()}_URLS": "empty: the one address, the Service's, which balances over the pods"
        for service in ("identity", "jobs", "rewards", "governance")
    },
    "GATEWAY_LIMITS_URL": "empty: each gateway counts by itself",
    "GATEWAY_TRUSTED_PROXIES": "empty: nobody is believed, until an overlay says who the ingress is",
    **{
        f"{service}_SIGNER_{way}": "another place for the key than the file's; one is enough"
        for service in ("REWARDS", "GOVERNANCE")
        for way in (
            "KEY",
            "KEYSTORE",
            "KEYSTORE_PASSWORD",
            "KMS_KEY_ID",
            "KMS_REGION",
            "KMS_ENDPOINT",
            "RPC_URL",
            "ADDRESS",
        )
    },
    "KAFKA_SSL_CERT_FILE": "SCRAM, no certificates of clients",
    "KAFKA_SSL_KEY_FILE": "SCRAM, no certificates of clients",
    "REWARDS_FIXED_PRICE_USD_E8": "development; without a price rewards are held",
    "REWARDS_PRICE_URL": "for the source http; without a price rewards are held",
    "REWARDS_PRICE_AUTHORIZATION": "empty: many markets ask for none",
    "REWARDS_PRICE_FEED_ADDRESS": "for the source aggregator",
    "REWARDS_PRICE_FEED_RPC_URLS": "empty: the feed is on the chain of CHAIN_RPC_URLS",
}
WORKERS_ONLY = {"BUS_URL", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD", "KAFKA_SSL_CA_FILE"}
SIGNERS = {"REWARDS_SIGNER_KEY_FILE", "GOVERNANCE_SIGNER_KEY_FILE"}


def secrets_of(workload: Workload, container: Resource) -> dict[str, str]:
    """File name → content of what the container finds in SECRETS_DIR."""
    keys = {"rewards_key": "0x" + "11" * 32, "relay_key": "0x" + "22" * 32}
    known = make_secrets(rpc_urls="https://node.example", admin_email="a@example.com", **keys) | MADE_BY_OPERATORS
    found: dict[str, str] = {}
    for path, secret, key in secret_files(workload, container):
        if path.startswith(SECRETS_DIR):
            found |= known[secret] if key is None else {path.removeprefix(f"{SECRETS_DIR}/"): known[secret][key]}
    return found


def given(resources: Sequence[Resource], workload: Workload, container: Resource) -> dict[str, str]:
    """Every setting the container has, from wherever."""
    files = {name: value for name, value in secrets_of(workload, container).items() if name.isupper()}
    return plain_env(resources, container) | files


def unknown_settings(resources: Sequence[Resource]) -> Iterator[str]:
    """Variables and files that no setting of the process reads."""
    for workload in workloads(resources):
        settings = SETTINGS[workload.service]
        known = {settings.env_name(field) for field in settings.model_fields} | READ_BY_OTHERS.keys()
        for container in workload.containers():
            yield from (f"{workload.where}: {name}" for name in given(resources, workload, container).keys() - known)


def is_unset(default: Any) -> bool:
    """Whether a default says nothing, or something that holds on a developer's machine only."""
    plain = default.get_secret_value() if isinstance(default, SecretStr) else default
    return plain in ("", None, (), 31337) or (isinstance(plain, str) and "127.0.0.1" in plain)


def missing_settings(resources: Sequence[Resource]) -> Iterator[str]:
    """Settings whose default does not do in production and that a process is not given."""
    for workload in deployments(resources):
        settings = SETTINGS[workload.service]
        has = given(resources, workload, workload.app())
        for field, info in settings.model_fields.items():
            name = settings.env_name(field)
            is_ours = workload.role == "worker" or name not in WORKERS_ONLY | SIGNERS
            is_ours &= workload.service != "gateway" or name not in WORKERS_ONLY
            is_ours &= (workload.service, workload.role) != ("rewards", "api") or name != "CHAIN_RPC_URLS"
            if is_ours and is_unset(info.default) and name not in UNNEEDED and name not in has:
                yield f"{workload.where}: {name}"


def test_no_variable_is_unknown_to_the_settings(resources: list[Resource]) -> None:
    assert list(unknown_settings(resources)) == []


def test_an_unknown_variable_shows(prod: list[Resource]) -> None:
    deployments(prod)[0].app().setdefault("env", []).append({"name": "JOBS_SANDBOX_ENABLE", "value": "false"})
    assert list(unknown_settings(prod)) != []


def test_no_needed_setting_is_missing(prod: list[Resource]) -> None:
    assert list(missing_settings(prod)) == []


@pytest.mark.parametrize("name", ["PUBLIC_URL", "IDENTITY_URL", "REWARDS_BTRST_ADDRESS", "BUS_URL", "JOBS_HOST"])
def test_a_missing_setting_shows(name: str, prod: list[Resource]) -> None:
    for resource in prod:
        if resource["kind"] == "ConfigMap":
            resource["data"].pop(name, None)
    assert list(missing_settings(prod)) != []


def test_a_missing_secret_shows(prod: list[Resource]) -> None:
    for workload in deployments(prod):
        for volume in workload.pod["volumes"]:
            if volume["name"] == "secrets":
                del volume["projected"]["sources"][0]
    assert list(missing_settings(prod)) != []


def load(settings: type[ServiceSettings], environment: Mapping[str, str], patch: pytest.MonkeyPatch) -> Any:
    with patch.context() as only_these:
        for name in {one.env_name(field) for one in SETTINGS.values() for field in one.model_fields}:
            only_these.delenv(name, raising=False)
        for name, value in environment.items():
            only_these.setenv(name, value)
        return settings.from_environment()


def test_the_settings_load_from_variables_and_files(
    resources: list[Resource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for workload in deployments(resources):
        folder = tmp_path / workload.name
        folder.mkdir()
        for name, value in secrets_of(workload, workload.app()).items():
            (folder / name).write_text(value)
        environment = plain_env(resources, workload.app()) | {"SECRETS_DIR": str(folder)}
        settings = load(SETTINGS[workload.service], environment, monkeypatch)
        assert settings.role == ("all" if workload.service == "gateway" else workload.role)
        assert settings.host == "0.0.0.0"
        assert settings.port == workload.app()["ports"][0]["containerPort"]
        assert len(settings.internal_secret) >= 32
        assert settings.drain_seconds >= 2
        assert workload.pod["terminationGracePeriodSeconds"] > STOP_SECONDS
        if workload.service != "gateway":
            assert settings.database_url.endswith(f"/btrst_{workload.service}?sslmode=verify-full")
        if workload.role == "worker":
            assert settings.bus_url == "kafka://kafka-kafka-bootstrap:9093"
            assert settings.kafka_security_protocol == "SASL_SSL"
            assert not settings.kafka_create_topics
            assert settings.kafka_sasl_username == f"kafka-{workload.service}"
            assert settings.kafka_sasl_password


def test_production_is_production(prod: list[Resource]) -> None:
    for workload in workloads(prod):
        for container in workload.containers():
            assert plain_env(prod, container)["ENVIRONMENT"] == "production", workload.where
    (jobs,) = [workload for workload in deployments(prod) if workload.name == "jobs-api"]
    assert plain_env(prod, jobs.app())["JOBS_SANDBOX_ENABLED"] == "false"

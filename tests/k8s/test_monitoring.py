"""Alerts and dashboard use metrics, labels and values of the running applications; the runbook knows every alert."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

import chassis.bus_kafka  # noqa: F401 - its metrics, of a process whose BUS_URL is Kafka's
from chassis.app import MEASURE, create_app
from chassis.tally import REQUEST_LABELS, SECONDS_LABELS
from chassis.testing import ROOT, TokenMint, fresh_database
from gateway.app import create_gateway
from gateway.settings import GatewaySettings
from services.governance.app import SERVICE as GOVERNANCE
from services.identity.app import SERVICE as IDENTITY
from services.jobs.app import SERVICE as JOBS
from services.rewards.app import SERVICE as REWARDS
from tests.k8s.manifests import OURS, Resource, deployments, matches, of_kind

ClientFor = Callable[[FastAPI], AbstractAsyncContextManager[httpx.AsyncClient]]

SERVICES = {service.name: service for service in (GOVERNANCE, IDENTITY, JOBS, REWARDS)}
ADDRESS = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
OWN = {
    "governance": {"btrst_address": ADDRESS, "parameters_address": ADDRESS, "governor_address": ADDRESS},
    "identity": {"key_secret": "k" * 40},
}
RUNBOOK = ROOT / "docs/runbook.md"
OF_THE_TARGET = {"job", "service", "pod", "namespace", "instance"}
"""Labels that scraping adds: the Kubernetes Service is job and, where the metric has none of its own, service."""

NAME = re.compile(r"\b(?:btrst_[a-z_]+|up)\b")
MATCHERS = re.compile(r"(btrst_[a-z_]+|up)\{([^}]*)\}")
BY = re.compile(r"by \(([^)]*)\)")
TOLD = re.compile(r"\$labels\.([a-z_]+)|\{\{([a-z_]+)\}\}")


def base_name(name: str) -> str:
    return re.sub(r"_(bucket|sum|count)$", "", name)


def labels_of(name: str) -> set[str]:
    """The labels a metric of ours is registered with."""
    counted = {"btrst_http_requests_total": REQUEST_LABELS, "btrst_http_request_seconds": SECONDS_LABELS}
    if base_name(name) in counted:
        return {*counted[base_name(name)], *({"le"} if name.endswith("_bucket") else ())}
    for collector in REGISTRY._collector_to_names:
        if isinstance(collector, MetricWrapperBase) and collector._name == base_name(name).removesuffix("_total"):
            return {*collector._labelnames, *({"le"} if name.endswith("_bucket") else ())}
    return set()


def expressions(resources: list[Resource]) -> Iterator[tuple[str, str, str]]:
    """(where, expression, text that names labels) of every alert and every panel."""
    for rule in rules(resources):
        yield rule["alert"], rule["expr"], rule["annotations"]["summary"]
    (dashboard,) = [one for name, one in of_kind(resources, "ConfigMap").items() if name == "btrst-dashboard"]
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    for panel in json.loads(dashboard["data"]["btrst.json"])["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"], target["legendFormat"]


def rules(resources: list[Resource]) -> list[Resource]:
    (found,) = of_kind(resources, "PrometheusRule").values()
    return [rule for group in found["spec"]["groups"] for rule in group["rules"]]


def faults(resources: list[Resource], known: set[str]) -> Iterator[str]:
    """Names and labels that are used and that no application has."""
    for where, expression, told in expressions(resources):
        names = set(NAME.findall(expression))
        yield from (f"{where}: {name}" for name in names - {"up"} if base_name(name) not in known)
        usable = set().union(*(labels_of(name) for name in names)) | OF_THE_TARGET
        for name, matchers in MATCHERS.findall(expression):
            used = set(re.findall(r"([a-z_]+)(?:=~|!~|!=|=)\"", matchers))
            yield from (f"{where}: {name}{{{label}}}" for label in used - labels_of(name) - ({"job"} & OF_THE_TARGET))
        for group in BY.findall(expression):
            yield from (f"{where}: by {label}" for label in set(group.split(", ")) - usable)
        yield from (
            f"{where}: tells {label}" for pair in TOLD.findall(told) for label in pair if label and label not in usable
        )


@pytest.fixture
async def scraped(postgres_dsn: str, client_for: ClientFor, mint: TokenMint) -> tuple[set[str], dict[str, set[str]]]:
    """Families of /metrics of all five applications, as they run; and what each service's /readyz checks."""
    families: set[str] = set()
    checked: dict[str, set[str]] = {}
    for name, service in SERVICES.items():
        async with (
            fresh_database(postgres_dsn, f"services/{name}/migrations") as dsn,
            fresh_database(postgres_dsn) as bus,
        ):
            settings = service.settings(
                environment="test", role="worker", database_url=dsn, bus_url=bus, **OWN.get(name, {})
            )
            async with client_for(create_app(service, settings=settings, token_source=mint)) as http:
                checked[name] = set((await http.get("/readyz")).json()["checks"])
                families |= families_in((await http.get("/metrics")).text)
    gateway = create_gateway(GatewaySettings(environment="test"), token_source=mint)
    transport = httpx.ASGITransport(app=gateway)
    async with (
        gateway._surface.router.lifespan_context(gateway._surface),
        httpx.AsyncClient(transport=transport) as http,
    ):
        families |= families_in((await http.get("http://gateway/metrics")).text)
    return families, checked


def families_in(text: str) -> set[str]:
    found = text_string_to_metric_families(text)
    return {family.name + ("_total" if family.type == "counter" else "") for family in found}


async def test_every_metric_and_label_is_one_of_the_running_applications(
    scraped: tuple[set[str], dict[str, set[str]]], prod: list[Resource]
) -> None:
    families, checked = scraped
    assert list(faults(prod, families)) == []
    for where, expression, _ in expressions(prod):
        for service, dependency in re.findall(r'service="(\w+)", dependency="(\w+)"', expression):
            assert dependency in checked[service], where
        for dependency in re.findall(r'\{dependency="(\w+)"', expression):
            assert all(dependency in found for found in checked.values()), where
    for old, new in (
        ("btrst_outbox_oldest_unsent_seconds", "btrst_outbox_oldest_seconds"),
        ("by (service, worker)", "by (service, workers)"),
        ('state="halted"', 'status="halted"'),
        ("$labels.reader", "$labels.lane"),
    ):
        renamed = json.loads(json.dumps(prod).replace(json.dumps(old)[1:-1], json.dumps(new)[1:-1]))
        assert list(faults(renamed, families)) != [], f"{new} is not noticed"


def test_a_worker_that_rests_long_is_not_taken_for_a_silent_one(prod: list[Resource]) -> None:
    (rule,) = [rule for rule in rules(prod) if rule["alert"] == "BtrstWorkerSilent"]
    match = re.search(r'worker!~"([a-z_|]+)"', rule["expr"])
    limit = int(rule["expr"].rpartition("> ")[2])
    assert match is not None
    workers = [MEASURE, *(worker for service in SERVICES.values() for worker in service.workers)]
    slow = {worker.name for worker in workers if worker.interval_seconds > limit / 2} | {"forget_idempotency_keys"}
    assert set(match[1].split("|")) == slow


def sections() -> dict[str, str]:
    """Heading → text of the alerts' sections of the runbook."""
    text = RUNBOOK.read_text().partition("\n## Alerts\n")[2].partition("\n## ")[0]
    parts = re.split(r"^### (\S+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_runbook_says_what_every_alert_means_and_what_to_do(prod: list[Resource]) -> None:
    told, alerts = sections(), {rule["alert"]: rule for rule in rules(prod)}
    assert set(told) == set(alerts)
    for name, rule in alerts.items():
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"
        for part in ("**Means.**", "**Do.**", "**Metric.**"):
            assert part in told[name], f"{name}: {part}"
        for metric in set(NAME.findall(rule["expr"])):
            assert f"`{base_name(metric)}`" in told[name], f"{name}: {metric}"


def test_every_process_is_scraped_and_keeps_its_own_labels(prod: list[Resource]) -> None:
    (monitor,) = of_kind(prod, "ServiceMonitor").values()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["honorLabels"] is True, "`service` would be the name of the Kubernetes Service"
    services = [
        one
        for one in prod
        if one["kind"] == "Service" and matches(monitor["spec"]["selector"], one["metadata"]["labels"])
    ]
    for workload in deployments(prod):
        (behind,) = [one for one in services if matches({"matchLabels": one["spec"]["selector"]}, workload.labels)]
        assert endpoint["port"] in {port["name"] for port in behind["spec"]["ports"]}
        down = [rule["expr"] for rule in rules(prod) if rule["alert"] == "BtrstServiceDown"]
        assert f'absent(up{{job="{behind["metadata"]["name"]}"}})' in down[0]
    assert {one["metadata"]["labels"]["app.kubernetes.io/part-of"] for one in services} == {OURS}


def test_postgresql_is_scraped(prod: list[Resource]) -> None:
    (monitor,) = of_kind(prod, "PodMonitor").values()
    cluster = monitor["spec"]["selector"]["matchLabels"]["cnpg.io/cluster"]
    assert cluster in of_kind(prod, "Cluster")

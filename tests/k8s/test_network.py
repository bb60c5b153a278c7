"""The network lets through exactly the connections that are needed, and nothing else."""

from collections.abc import Callable

import pytest

from tests.k8s.flows import flows, peers_of
from tests.k8s.manifests import SERVICES, Resource, of_kind

APIS = [f"{service}-api" for service in SERVICES]
WORKERS = [f"{service}-worker" for service in SERVICES]
MIGRATIONS = [f"{service}-migration" for service in SERVICES]
INSIDE = [*APIS, *WORKERS, *MIGRATIONS, "gateway", "kafka", "entity-operator", "postgres", "intruder"]

NEEDED = {
    ("ingress", "gateway", 8080),
    *(("gateway", api, 8000) for api in APIS),
    *((caller, "identity-api", 8000) for caller in ("jobs-api", "rewards-api", "governance-api", "rewards-worker")),
    ("rewards-worker", "jobs-api", 8000),  # is the transaction true?
    *((process, "postgres", 5432) for process in [*APIS, *WORKERS, *MIGRATIONS]),
    *((worker, "kafka", 9093) for worker in WORKERS),
    *((process, "internet", 443) for process in ("rewards-worker", "governance-api", "governance-worker")),  # the chain
    *(("monitoring", process, 8000) for process in [*APIS, *WORKERS]),
    ("monitoring", "gateway", 8080),
    ("monitoring", "postgres", 9187),
    *((process, "monitoring", 4318) for process in [*APIS, *WORKERS, "gateway"]),  # traces
    ("autoscaling", "kafka", 9093),
    *(("operators", "kafka", port) for port in (8443, 9090, 9091)),
    *(("operators", "postgres", port) for port in (5432, 8000)),
    *(("kafka", "kafka", port) for port in (9090, 9091)),
    ("entity-operator", "kafka", 9091),
    *(("postgres", "postgres", port) for port in (5432, 8000)),
    *((process, where, port) for process in ("entity-operator", "postgres") for where in ("internet", "intranet")
      for port in (443, 6443)),  # the API server, and the backups' store
    *((process, "dns", 53) for process in INSIDE),
}  # fmt: skip


def test_exactly_the_needed_connections_are_let_through(resources: list[Resource]) -> None:
    allowed = set(flows(resources))
    assert allowed - NEEDED == set()
    assert NEEDED - allowed == set()
    assert {peer.name for peer in peers_of(resources) if peer.is_inside} == set(INSIDE)


def spec(resources: list[Resource], name: str) -> Resource:
    found: Resource = of_kind(resources, "NetworkPolicy")[name]["spec"]
    return found


@pytest.mark.parametrize(
    "mutate",
    [
        lambda all_: all_.remove(of_kind(all_, "NetworkPolicy")["default-deny"]),
        lambda all_: all_.remove(of_kind(all_, "NetworkPolicy")["migrations"]),
        lambda all_: spec(all_, "gateway")["ingress"][0]["from"].append({"namespaceSelector": {}}),
        lambda all_: spec(all_, "rewards-api")["ingress"][0]["from"].clear(),
        lambda all_: spec(all_, "kafka")["ingress"][0]["from"].append({"namespaceSelector": {}}),
        lambda all_: spec(all_, "jobs-api")["egress"].append(
            {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443}]}
        ),
    ],
)
def test_any_other_policy_shows(mutate: Callable[[list[Resource]], object], prod: list[Resource]) -> None:
    mutate(prod)
    assert set(flows(prod)) != NEEDED

"""What answers requests follows its load, what consumes follows its lag, and nothing else sets their number."""

from events.registry import PARTITIONS
from services.identity.handlers import subscriptions as identity
from services.jobs.handlers import subscriptions as jobs
from services.rewards.handlers import subscriptions as rewards
from tests.k8s.manifests import SERVICES, Resource, deployments, of_kind

CONSUMERS = {f"{subscriptions.group}-worker": subscriptions for subscriptions in (identity, jobs, rewards)}
ANSWERING = {"gateway", *(f"{service}-api" for service in SERVICES)}


def test_every_api_follows_its_load(prod: list[Resource]) -> None:
    scalers = of_kind(prod, "HorizontalPodAutoscaler").values()
    assert {scaler["spec"]["scaleTargetRef"]["name"] for scaler in scalers} == ANSWERING
    for scaler in scalers:
        assert 2 <= scaler["spec"]["minReplicas"] < scaler["spec"]["maxReplicas"]
        (metric,) = scaler["spec"]["metrics"]
        assert metric["resource"]["name"] == "cpu"


def test_every_consuming_worker_follows_its_lag(prod: list[Resource]) -> None:
    scaled = {
        found["spec"]["scaleTargetRef"]["name"]: found["spec"] for found in of_kind(prod, "ScaledObject").values()
    }
    assert set(scaled) == set(CONSUMERS)
    for name, spec in scaled.items():
        assert spec["minReplicaCount"] >= 2, "a worker relays and looks at the chain too: never none"
        assert spec["maxReplicaCount"] <= PARTITIONS, "one more would find no partition"
        told = [trigger["metadata"] for trigger in spec["triggers"]]
        assert [one["topic"] for one in told] == CONSUMERS[name].topics()
        assert {one["consumerGroup"] for one in told} == {CONSUMERS[name].group}
        assert {one["offsetResetPolicy"] for one in told} == {"earliest"}


def test_the_scaler_logs_in_as_its_own_user(prod: list[Resource]) -> None:
    for name, spec in of_kind(prod, "ScaledObject").items():
        for trigger in spec["spec"]["triggers"]:
            access = of_kind(prod, "TriggerAuthentication")[trigger["authenticationRef"]["name"]]["spec"]
            password = {one["parameter"]: (one["name"], one["key"]) for one in access["secretTargetRef"]}
            assert password == {"password": ("kafka-keda", "password"), "ca": ("kafka-cluster-ca-cert", "ca.crt")}, name
            (username,) = access["configMapTargetRef"]
            assert of_kind(prod, "ConfigMap")[username["name"]]["data"][username["key"]] == "kafka-keda"
            assert (trigger["metadata"]["sasl"], trigger["metadata"]["tls"]) == ("scram_sha512", "enable")


def test_an_apply_does_not_set_the_number_back(prod: list[Resource]) -> None:
    fixed = {workload.name for workload in deployments(prod) if "replicas" in workload.resource["spec"]}
    assert fixed == {"governance-worker"}


def test_a_worker_that_consumes_nothing_has_a_successor_waiting(prod: list[Resource]) -> None:
    (workload,) = [found for found in deployments(prod) if found.name == "governance-worker"]
    assert workload.resource["spec"]["replicas"] == 2

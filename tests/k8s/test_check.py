"""`make k8s` notices what is wrong with a manifest, whoever defined its kind."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from scripts import k8s_check
from scripts.k8s_render import CannotRender, parse, render, render_set
from tests.k8s.manifests import Resource, of_kind, workloads


def first(resources: list[Resource], kind: str) -> Resource:
    return next(iter(of_kind(resources, kind).values()))


def test_all_is_well(resources: list[Resource]) -> None:
    count, faults = k8s_check.validate({"overlay": resources})
    assert count > 50
    assert faults == []


@pytest.mark.parametrize(
    "mutate",
    [
        lambda all_: workloads(all_)[0].pod.update(automountServiceAcountToken=False),
        lambda all_: first(all_, "Service")["spec"]["ports"][0].update(port="http"),
        lambda all_: first(all_, "NetworkPolicy")["spec"].update(podSelectors={}),
        lambda all_: first(all_, "Job").update(apiVersion="batch/v2"),
        lambda all_: first(all_, "KafkaUser")["spec"]["authorization"]["acls"][0].update(operation="Read"),
        lambda all_: first(all_, "KafkaTopic")["spec"].update(partition=6),
        lambda all_: first(all_, "Kafka")["spec"].update(zookeeper={}),
        lambda all_: first(all_, "Kafka").update(apiVersion="kafka.strimzi.io/v1beta2"),
        lambda all_: first(all_, "Cluster")["spec"].pop("storage"),
        lambda all_: first(all_, "ScheduledBackup")["spec"].update(schedule="0 2 * * *"),
        lambda all_: first(all_, "ScaledObject")["spec"]["triggers"][0]["metadata"].update(lagThreshold=500),
        lambda all_: first(all_, "PrometheusRule")["spec"]["groups"][0]["rules"][0].update({"for": "5 minutes"}),
        lambda all_: all_.append(first(all_, "Deployment")),
    ],
)
def test_a_fault_shows(mutate: Callable[[list[Resource]], object], prod: list[Resource]) -> None:
    before = json.loads(json.dumps(prod))
    mutate(prod)
    changed = [found for found in prod if found not in before]
    assert [*k8s_check.duplicates_of(prod), *(fault for found in changed for fault in k8s_check.faults_of(found))] != []


def test_any_set_of_components_stands_alone() -> None:
    for components in ((), ("autoscaling", "monitoring")):
        assert k8s_check.validate({"set": parse(render_set(components))})[1] == []


def test_a_kustomization_that_cannot_be_rendered_is_told(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [missing.yaml]\n")
    with pytest.raises(CannotRender, match=r"missing\.yaml"):
        render(tmp_path)


def test_a_missing_program_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECTL", str(tmp_path / "kubectl"))
    with pytest.raises(CannotRender, match=r"^there is no .*kubectl: run `make k8s-tools`"):
        render(tmp_path)


def test_checkov_sees_what_it_should_and_skips_nothing_without_a_reason(prod: list[Resource], tmp_path: Path) -> None:
    (job,) = [found for found in prod if found["metadata"]["name"] == "jobs-migration"]
    (tmp_path / "prod.yaml").write_text(yaml.safe_dump(job))
    silenced = json.loads(json.dumps(job))
    silenced["metadata"]["name"] = "silenced"
    silenced["metadata"]["annotations"] = {"checkov.io/skip1": "CKV_K8S_43=no"}
    job["metadata"]["name"] = "privileged"
    job["spec"]["template"]["spec"]["containers"][0]["securityContext"]["privileged"] = True
    (tmp_path / "dev.yaml").write_text(yaml.safe_dump_all([job, silenced]))
    figures, faults = k8s_check.run_checkov(tmp_path)
    assert figures["passed"] > 50
    assert any(fault.startswith("CKV_K8S_16 ") and "privileged" in fault for fault in faults)
    assert any(fault.startswith("CKV_K8S_43 ") and "silenced is skipped without a reason" in fault for fault in faults)

"""What holds for every pod of every overlay, and that each check would notice a manifest that breaks its promise."""

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec

import pytest

from tests.k8s import promises
from tests.k8s.manifests import Resource, Workload, of_kind, workloads

Promise = Callable[[Sequence[Resource]], Iterator[str]]

PROMISES: list[Promise] = [
    promises.unhardened,
    promises.unlimited,
    promises.unprobed,
    promises.hasty,
    promises.unprotected,
    promises.unsplit,
    promises.leaked_keys,
    promises.exposed_secrets,
    promises.unmigrated,
]


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_the_manifests_keep(promise: Promise, resources: list[Resource]) -> None:
    assert list(promise(resources)) == []


def test_every_command_is_one_of_the_repository(resources: list[Resource]) -> None:
    for workload in workloads(resources):
        for container in workload.containers():
            python, option, module, *rest = container["command"]
            assert (python, option) == ("python", "-m")
            assert find_spec(module) is not None, container["command"]
            if module == "chassis.serve":
                where, _, function = rest[0].partition(":")
                assert where == f"services.{workload.service}.app"
                assert callable(getattr(import_module(where), function))


def pod(resources: Sequence[Resource], name: str) -> Workload:
    (found,) = [workload for workload in workloads(resources) if workload.name == name]
    return found


def app(resources: Sequence[Resource], name: str) -> Resource:
    return pod(resources, name).app()


def sources(resources: Sequence[Resource], name: str) -> list[Resource]:
    (volume,) = [volume for volume in pod(resources, name).pod["volumes"] if volume["name"] == "secrets"]
    found: list[Resource] = volume["projected"]["sources"]
    return found


def drop(resources: list[Resource], kind: str, name: str) -> None:
    resources.remove(of_kind(resources, kind)[name])


MUTATIONS: list[tuple[Promise, str, Callable[[list[Resource]], object]]] = [
    (promises.unhardened, "root", lambda a: pod(a, "jobs-api").pod["securityContext"].update(runAsUser=0)),
    (promises.unhardened, "token", lambda a: pod(a, "gateway").pod.pop("automountServiceAccountToken")),
    (promises.unhardened, "links", lambda a: pod(a, "jobs-api").pod.pop("enableServiceLinks")),
    (promises.unhardened, "seccomp", lambda a: pod(a, "jobs-migration").pod["securityContext"].pop("seccompProfile")),
    (promises.unhardened, "writable", lambda a: app(a, "gateway")["securityContext"].pop("readOnlyRootFilesystem")),
    (
        promises.unhardened,
        "capability in an init container",
        lambda a: pod(a, "jobs-api").pod["initContainers"][0]["securityContext"].pop("capabilities"),
    ),
    (
        promises.unhardened,
        "account with a token",
        lambda a: of_kind(a, "ServiceAccount")["jobs"].update(automountServiceAccountToken=True),
    ),
    (promises.unlimited, "no memory limit", lambda a: app(a, "gateway")["resources"]["limits"].pop("memory")),
    (promises.unprobed, "no liveness", lambda a: app(a, "rewards-worker").pop("livenessProbe")),
    (promises.unprobed, "wrong port", lambda a: app(a, "jobs-api")["readinessProbe"]["httpGet"].update(port="web")),
    (promises.hasty, "killed", lambda a: pod(a, "jobs-api").pod.update(terminationGracePeriodSeconds=10)),
    (promises.hasty, "gap", lambda a: pod(a, "gateway").resource["spec"].pop("strategy")),
    (promises.unprotected, "no budget", lambda a: drop(a, "PodDisruptionBudget", "rewards-worker")),
    (promises.unprotected, "one node", lambda a: pod(a, "jobs-api").pod["topologySpreadConstraints"].pop()),
    (promises.unsplit, "api does all", lambda a: app(a, "jobs-api")["env"][0].update(value="all")),
    (
        promises.unsplit,
        "workers behind the service",
        lambda a: of_kind(a, "Service")["jobs"]["spec"]["selector"].pop("app.kubernetes.io/component"),
    ),
    (
        promises.leaked_keys,
        "key in the API",
        lambda a: sources(a, "rewards-api").append({"secret": {"name": "rewards-signer"}}),
    ),
    (
        promises.leaked_keys,
        "key in another service",
        lambda a: sources(a, "identity-worker").append({"secret": {"name": "rewards-signer"}}),
    ),
    (
        promises.leaked_keys,
        "key in the init container",
        lambda a: sources(a, "rewards-worker").append({"secret": {"name": "rewards-signer"}}),
    ),
    (
        promises.exposed_secrets,
        "in the environment",
        lambda a: app(a, "jobs-api")["envFrom"].append({"secretRef": {"name": "jobs"}}),
    ),
    (
        promises.exposed_secrets,
        "in the repository",
        lambda a: a.append({"kind": "Secret", "metadata": {"name": "jobs"}, "data": {}}),
    ),
    (promises.unmigrated, "no job", lambda a: drop(a, "Job", "rewards-migration")),
    (promises.unmigrated, "no wait", lambda a: pod(a, "rewards-api").pod.pop("initContainers")),
    (promises.unmigrated, "another image", lambda a: app(a, "rewards-api").update(image="other:1")),
]


@pytest.mark.parametrize(("promise", "what", "mutate"), MUTATIONS, ids=lambda value: getattr(value, "__name__", value))
def test_a_broken_promise_shows(
    promise: Promise, what: str, mutate: Callable[[list[Resource]], object], prod: list[Resource]
) -> None:
    mutate(prod)
    assert list(promise(prod)) != [], what

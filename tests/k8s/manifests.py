"""A rendered deployment, with the questions that the tests ask of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Resource = dict[str, Any]
SERVICES = ("identity", "jobs", "rewards", "governance")
SECRETS_DIR = "/run/secrets/btrst"
OURS = "btrst-network"


@dataclass(frozen=True)
class Workload:
    """A Deployment or Job with the pod it makes."""

    kind: str
    name: str
    labels: dict[str, str]
    pod: Resource
    resource: Resource

    @property
    def service(self) -> str:
        return self.labels["app.kubernetes.io/name"]

    @property
    def role(self) -> str:
        return self.labels["app.kubernetes.io/component"]

    @property
    def where(self) -> str:
        return f"{self.kind} {self.name}"

    def containers(self) -> list[Resource]:
        return [*self.pod.get("initContainers", []), *self.pod["containers"]]

    def app(self) -> Resource:
        (container,) = [found for found in self.pod["containers"] if found["name"] == "app"]
        return container

    def volumes_of(self, container: Resource) -> Iterator[tuple[str, Resource]]:
        """Where a container sees which volume."""
        volumes = {volume["name"]: volume for volume in self.pod.get("volumes", [])}
        for mount in container.get("volumeMounts", []):
            yield mount["mountPath"], volumes[mount["name"]]


def of_kind(resources: Sequence[Resource], kind: str) -> dict[str, Resource]:
    """Name → resource."""
    return {found["metadata"]["name"]: found for found in resources if found["kind"] == kind}


def workloads(resources: Sequence[Resource]) -> list[Workload]:
    """All that makes pods of ours."""
    found = []
    for resource in resources:
        if resource["kind"] in {"Deployment", "Job", "StatefulSet", "DaemonSet", "CronJob"}:
            template = resource["spec"]["template"]
            name, labels = resource["metadata"]["name"], template["metadata"]["labels"]
            found.append(Workload(resource["kind"], name, labels, template["spec"], resource))
    return found


def deployments(resources: Sequence[Resource]) -> list[Workload]:
    """Those that serve."""
    return [workload for workload in workloads(resources) if workload.kind == "Deployment"]


def secret_files(workload: Workload, container: Resource) -> Iterator[tuple[str, str, str | None]]:
    """(path, Secret, key) of every file that a container has from a Secret; without key, all keys under that folder."""
    for path, volume in workload.volumes_of(container):
        sources = [volume["secret"]] if "secret" in volume else []
        sources += [source["secret"] for source in volume.get("projected", {}).get("sources", []) if "secret" in source]
        for source in sources:
            name = source.get("name") or source["secretName"]
            if "items" not in source:
                yield path, name, None
            for item in source.get("items", []):
                yield f"{path}/{item['path']}", name, item["key"]


def plain_env(resources: Sequence[Resource], container: Resource) -> dict[str, str]:
    """The variables that ConfigMaps and the container itself give, in Kubernetes' order of precedence."""
    maps = of_kind(resources, "ConfigMap")
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= maps[source["configMapRef"]["name"]].get("data", {})
    return found | {entry["name"]: entry.get("value", "") for entry in container.get("env", [])}


def matches(selector: Resource, labels: dict[str, str]) -> bool:
    """Whether a label selector takes these labels."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In", rule
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return True

"""The promises that hold for every pod: each function lists what breaks one, so that a test can show that it would."""

from collections.abc import Iterator, Sequence

from tests.k8s.manifests import SECRETS_DIR, SERVICES, Resource, deployments, matches, of_kind, secret_files, workloads

USER = 10001
STOP_SECONDS = 30
KEYS = {"rewards-signer": "rewards-worker", "governance-relay": "governance-worker"}
"""Secrets that hold a chain account's private key, and the one Deployment that may see each."""


def unhardened(resources: Sequence[Resource]) -> Iterator[str]:
    """Pods that are more than they need to be."""
    for workload in workloads(resources):
        pod, context = workload.pod, workload.pod.get("securityContext", {})
        wanted = {
            "runAsNonRoot": context.get("runAsNonRoot") is True,
            "runAsUser": context.get("runAsUser") == USER,
            "seccomp": context.get("seccompProfile") == {"type": "RuntimeDefault"},
            "no token": pod.get("automountServiceAccountToken") is False,
            "no service links": pod.get("enableServiceLinks") is False,
            "own account": pod.get("serviceAccountName") == workload.service,
            "not on the host": not any(pod.get(f"host{what}") for what in ("Network", "PID", "IPC")),
            "no host folders": not any("hostPath" in volume for volume in pod.get("volumes", [])),
        }
        for container in workload.containers():
            own = container.get("securityContext", {})
            name = container["name"]
            wanted |= {
                f"{name}: no escalation": own.get("allowPrivilegeEscalation") is False,
                f"{name}: read-only root": own.get("readOnlyRootFilesystem") is True,
                f"{name}: no capabilities": own.get("capabilities") == {"drop": ["ALL"]},
                f"{name}: not privileged": not own.get("privileged"),
                f"{name}: user not changed": own.get("runAsUser", USER) == USER and own.get("runAsNonRoot", True),
            }
        yield from (f"{workload.where}: {promise}" for promise, holds in wanted.items() if not holds)
    for name, account in of_kind(resources, "ServiceAccount").items():
        if account.get("automountServiceAccountToken") is not False:
            yield f"ServiceAccount {name} mounts its token"


def unlimited(resources: Sequence[Resource]) -> Iterator[str]:
    """Containers without requests or limits."""
    for workload in workloads(resources):
        for container in workload.containers():
            given = container.get("resources", {})
            if {what: set(given.get(what, {})) for what in ("requests", "limits")} != {
                "requests": {"cpu", "memory"},
                "limits": {"cpu", "memory"},
            }:
                yield f"{workload.where}: {container['name']}"


def unprobed(resources: Sequence[Resource]) -> Iterator[str]:
    """Processes whose health nobody asks for."""
    for workload in deployments(resources):
        app = workload.app()
        ports = {port["name"] for port in app["ports"]}
        ready = "/healthz" if workload.service == "gateway" else "/readyz"
        for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", ready)):
            asked = app.get(probe, {}).get("httpGet", {})
            if asked.get("path") != path or asked.get("port") not in ports:
                yield f"{workload.where}: {probe}"
        start = app.get("startupProbe", {})
        if start.get("periodSeconds", 0) * start.get("failureThreshold", 0) < 60:
            yield f"{workload.where}: less than a minute to start"


def hasty(resources: Sequence[Resource]) -> Iterator[str]:
    """Processes that are killed before they have drained, or replaced before the new ones are ready."""
    for workload in deployments(resources):
        if workload.pod.get("terminationGracePeriodSeconds", 30) <= STOP_SECONDS:
            yield f"{workload.where}: killed too early"
        if workload.resource["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxUnavailable") != 0:
            yield f"{workload.where}: stopped before its successor is ready"


def unprotected(resources: Sequence[Resource]) -> Iterator[str]:
    """Deployments that a drained node may empty, or that may all stand on one node."""
    budgets = of_kind(resources, "PodDisruptionBudget").values()
    for workload in deployments(resources):
        mine = [budget for budget in budgets if matches(budget["spec"]["selector"], workload.labels)]
        if len(mine) != 1 or mine[0]["spec"].get("maxUnavailable") != 1:
            yield f"{workload.where}: no disruption budget of one"
        spread = {found["topologyKey"]: found for found in workload.pod.get("topologySpreadConstraints", [])}
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname"):
            rule = spread.get(key, {})
            told = {"app.kubernetes.io/name", "app.kubernetes.io/component"} <= set(rule.get("matchLabelKeys", []))
            if not told or not matches(rule["labelSelector"], workload.labels) or rule["maxSkew"] != 1:
                yield f"{workload.where}: not spread over {key}"


def unsplit(resources: Sequence[Resource]) -> Iterator[str]:
    """Services whose API and worker are not two Deployments, or whose callers reach the worker."""
    found = {workload.name: workload for workload in deployments(resources)}
    services = of_kind(resources, "Service")
    for service in SERVICES:
        for role in ("api", "worker"):
            workload = found.get(f"{service}-{role}")
            roles = [entry["value"] for entry in workload.app()["env"] if entry["name"] == "ROLE"] if workload else []
            if workload is None or roles != [role] or (workload.service, workload.role) != (service, role):
                yield f"{service}: no Deployment for ROLE={role}"
        reached = [one.role for one in found.values() if matches(_selector(services[service]), one.labels)]
        if reached != ["api"]:
            yield f"Service {service} leads to {reached}"
    for workload in deployments(resources):
        leading = [name for name, service in services.items() if matches(_selector(service), workload.labels)]
        if leading != [workload.service if workload.role == "api" else workload.name]:
            yield f"{workload.where} is behind {leading}"


def _selector(service: Resource) -> Resource:
    return {"matchLabels": service["spec"]["selector"]}


def leaked_keys(resources: Sequence[Resource]) -> Iterator[str]:
    """Where a chain account's key is seen beside the one container that signs with it."""
    seen: set[str] = set()
    for workload in workloads(resources):
        for container in workload.containers():
            for _, secret, _ in secret_files(workload, container):
                if secret in KEYS:
                    seen.add(secret)
                    if (workload.name, container["name"]) != (KEYS[secret], "app"):
                        yield f"{workload.where}: {container['name']} sees {secret}"
    yield from (f"nobody has {secret}" for secret in KEYS.keys() - seen)


def exposed_secrets(resources: Sequence[Resource]) -> Iterator[str]:
    """Secrets in the repository, in the environment, or readable by others than the process."""
    yield from (f"a Secret {name} with its value" for name in of_kind(resources, "Secret"))
    for workload in workloads(resources):
        for container in workload.containers():
            in_env = [entry for entry in container.get("env", []) if "secretKeyRef" in entry.get("valueFrom", {})]
            if in_env or any("secretRef" in source for source in container.get("envFrom", [])):
                yield f"{workload.where}: {container['name']} has a secret in its environment"
            paths = [path for path, _ in workload.volumes_of(container)]
            if SECRETS_DIR not in paths:
                yield f"{workload.where}: {container['name']} has no {SECRETS_DIR}"
        for volume in workload.pod.get("volumes", []):
            mode = (volume.get("secret") or volume.get("projected") or {"defaultMode": 0}).get("defaultMode")
            if mode is None or mode & 0o007:
                yield f"{workload.where}: anybody may read {volume['name']}"


def unmigrated(resources: Sequence[Resource]) -> Iterator[str]:
    """Services whose schema nobody brings up to date, or whose pods do not wait for it."""
    jobs = {workload.service: workload for workload in workloads(resources) if workload.kind == "Job"}
    for service in SERVICES:
        if service not in jobs or jobs[service].app()["command"] != ["python", "-m", "scripts.migrate", service]:
            yield f"{service} has no migration Job"
    for workload in deployments(resources):
        waits = [found["command"] for found in workload.pod.get("initContainers", [])]
        if workload.service in SERVICES and waits != [["python", "-m", "scripts.await_schema", "$(SERVICE)"]]:
            yield f"{workload.where} does not wait for its schema"
        images = {container["image"] for container in workload.containers()}
        if workload.service in jobs and images != {jobs[workload.service].app()["image"]}:
            yield f"{workload.where} runs {sorted(images)}, not the migration's image"

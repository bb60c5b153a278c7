"""The compose file and the Dockerfile as data, and the promises about them: each function lists what breaks it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
OURS = ("btrst-network", "btrst-chain")

Services = dict[str, dict[str, Any]]


def compose_file() -> dict[str, Any]:
    """docker-compose.yml, its anchors merged, its variables as they are."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def default_of(value: str) -> str:
    """A value with every `${NAME:-default}` replaced by its default."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def is_ours(service: dict[str, Any]) -> bool:
    return default_of(service["image"]).startswith(OURS)


def is_one_shot(service: dict[str, Any]) -> bool:
    return service["restart"] == "no"


def unversioned_images(services: Services) -> Iterator[str]:
    """Images of others without a version: none, `latest`, or a word."""
    for name, service in services.items():
        _, _, tag = default_of(service["image"]).rpartition(":")
        if not is_ours(service) and not re.match(r"\d+\.\d+", tag):
            yield name


def unconfined(services: Services) -> Iterator[str]:
    """Services with a capability, a way to gain privileges, root, or (ours and PostgreSQL) a root they can write."""
    for name, service in services.items():
        if service.get("cap_drop") != ["ALL"] or service.get("cap_add") or service.get("privileged"):
            yield f"{name}: capabilities"
        if service.get("security_opt") != ["no-new-privileges:true"]:
            yield f"{name}: may gain privileges"
        if str(service.get("user", "0")).startswith(("0", "root")):
            yield f"{name}: root"
        if is_ours(service) and service.get("user") != "10001:10001":
            yield f"{name}: not 10001"
        if service.get("read_only") is not True and name != "kafka":
            yield f"{name}: can write its root"


def exposed(services: Services) -> Iterator[str]:
    """Ports that someone on another machine could reach, and whatever shares the machine's network."""
    for name, service in services.items():
        yield from (f"{name}: {port}" for port in service.get("ports", ()) if not str(port).startswith("127.0.0.1:"))
        if service.get("network_mode") == "host":
            yield f"{name}: host"


def unwatched(services: Services, image_check: bool) -> Iterator[str]:
    """Long-running services without a health check; ours have the image's."""
    for name, service in services.items():
        if is_one_shot(service):
            continue
        check = service.get("healthcheck", {})
        if not check.get("test") and not (is_ours(service) and image_check and not check.get("disable")):
            yield name


def unmanaged_mounts(compose: dict[str, Any]) -> Iterator[str]:
    """Mounts that are no named volume of the file: folders of the machine, the engine's socket, anonymous volumes."""
    for name, service in compose["services"].items():
        for mount in service.get("volumes", ()):
            if mount.partition(":")[0] not in compose["volumes"]:
                yield f"{name}: {mount}"


def unawaited(services: Services) -> Iterator[str]:
    """What is started before what it needs is ready: each dependency is healthy, or has ended well."""
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if is_one_shot(services[other]) else "service_healthy"
            if how != {"condition": wanted}:
                yield f"{name} → {other}"


def secrets_in_settings(services: Services) -> Iterator[str]:
    """Settings in the open whose names say that they are secret."""
    for name, service in services.items():
        for setting in service.get("environment", {}):
            if re.search(r"(PASSWORD|SECRET|KEY|TOKEN|DATABASE_URL)$", setting):
                yield f"{name}: {setting}"


def dockerfile_lines() -> list[str]:
    """The instructions of the Dockerfile, comments and line ends taken out."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def module_of(command: list[str]) -> str:
    """The Python module that a command runs."""
    if command[:2] != ["python", "-m"]:
        raise AssertionError(f"not a module: {command}")
    return command[2]


def files_of(module: str) -> list[Path]:
    """Where a module or a package's `__main__` could be."""
    path = ROOT / module.replace(".", "/")
    return [path.with_suffix(".py"), path / "__main__.py"]


def has_function(module: str, name: str) -> bool:
    """Whether a module of ours defines a function on its top level."""
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
    return any(isinstance(node, ast.FunctionDef) and node.name == name for node in tree.body)

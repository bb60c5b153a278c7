"""Renders deploy/k8s the way `kubectl apply -k` does: an overlay, or the base with any set of components."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
MANIFESTS = ROOT / "deploy/k8s"
OVERLAYS = ("dev", "prod")
COMPONENTS = ("kafka", "postgres", "autoscaling", "network-policies", "monitoring")
VENV = ROOT / ".cache/k8s-venv"

Resource = dict[str, Any]


class CannotRender(Exception):
    """What kubectl said, or that there is none."""


def kubectl() -> str:
    """The program: `KUBECTL`, else the one that `make k8s-tools` brings. Raises: CannotRender."""
    named = os.environ.get("KUBECTL") or str(VENV / "bin/kubectl")
    found = shutil.which(named)
    if found is None:
        raise CannotRender(f"there is no {named}: run `make k8s-tools`, or name kubectl 1.30 or newer in KUBECTL")
    return found


def render_text(folder: Path) -> str:
    """The YAML of the kustomization in `folder`. Raises: CannotRender."""
    answer = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    if answer.returncode:
        raise CannotRender(f"{folder}: {answer.stderr.strip()[:2_000]}")
    return answer.stdout


def parse(text: str) -> list[Resource]:
    """The resources of a rendered text."""
    return [resource for resource in yaml.load_all(text, Loader=yaml.CSafeLoader) if resource]


def render(folder: Path) -> list[Resource]:
    """The resources of the kustomization in `folder`. Raises: CannotRender."""
    return parse(render_text(folder))


def overlay(name: str) -> Path:
    """The folder of an overlay."""
    return MANIFESTS / "overlays" / name


def sets_of_components() -> Iterator[tuple[str, ...]]:
    """Every subset of the components, the empty one first."""
    for size in range(len(COMPONENTS) + 1):
        yield from combinations(COMPONENTS, size)


def render_set(components: Sequence[str]) -> str:
    """The YAML of the base with these components. Raises: CannotRender."""
    (ROOT / ".cache").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / ".cache") as made:
        up = "../../deploy/k8s"
        text = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": "combined",
            "resources": [f"{up}/base"],
            "components": [f"{up}/components/{name}" for name in components],
        }
        folder = Path(made)
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(text))
        return render_text(folder)

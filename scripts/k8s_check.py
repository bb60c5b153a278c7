"""Render every overlay and every set of components, hold each resource against its schema, and run checkov.

Usage: python -m scripts.k8s_check [FOLDER]   (where the rendered files go; `.cache/k8s` by default)
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import jsonschema
import kubernetes_validate

from scripts.k8s_render import OVERLAYS, ROOT, VENV, CannotRender, Resource, overlay, parse, render_set, render_text
from scripts.k8s_render import sets_of_components as sets
from scripts.k8s_schemas import SPECS

KUBERNETES = "1.34"
"""The oldest version whose schemas the manifests are held against; the newest that the package knows is the other."""


def faults_of(resource: Resource) -> Iterator[str]:
    """What is wrong with one resource, in one line each."""
    where = f"{resource['kind']} {resource['metadata']['name']}"
    schema = SPECS.get((resource["apiVersion"], resource["kind"]))
    if schema is not None:
        for error in jsonschema.Draft202012Validator(schema).iter_errors(resource["spec"]):
            yield f"{where}: {'.'.join(map(str, error.absolute_path))}: {error.message[:300]}"
        if extra := set(resource) - {"apiVersion", "kind", "metadata", "spec"}:
            yield f"{where}: {sorted(extra)}"
        return
    for version in (KUBERNETES, kubernetes_validate.latest_version()):
        try:
            kubernetes_validate.validate(resource, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{where}: {version}: {'.'.join(map(str, error.path))}: {error.message[:300]}"
        except kubernetes_validate.SchemaNotFoundError as error:
            yield f"{where}: {error.message}"


def duplicates_of(resources: Iterable[Resource]) -> Iterator[str]:
    """Names that are used twice for the same kind."""
    seen: set[tuple[str, str]] = set()
    for resource in resources:
        key = (resource["kind"], resource["metadata"]["name"])
        if key in seen:
            yield f"{key[0]} {key[1]} is there twice"
        seen.add(key)


def write_all(folder: Path) -> dict[str, list[Resource]]:
    """Render everything into `folder`; name → resources. Raises: CannotRender."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.yaml"):
        old.unlink()
    texts = {name: render_text(overlay(name)) for name in OVERLAYS}
    texts |= {"base+" + "+".join(components): render_set(components) for components in sets()}
    for name in OVERLAYS:
        (folder / f"{name}.yaml").write_text(texts[name])
    return {name: parse(text) for name, text in texts.items()}


def validate(rendered: dict[str, list[Resource]]) -> tuple[int, list[str]]:
    """How many different resources there are, and what is wrong with them."""
    known: set[str] = set()
    faults: list[str] = []
    for name, resources in rendered.items():
        faults += [f"{name}: {fault}" for fault in duplicates_of(resources)]
        for resource in resources:
            text = json.dumps(resource, sort_keys=True)
            if text not in known:
                known.add(text)
                faults += [f"{name}: {fault}" for fault in faults_of(resource)]
    return len(known), faults


def run_checkov(folder: Path) -> tuple[dict[str, int], list[str]]:
    """Checkov's figures over the overlays, and what failed or was skipped without a reason."""
    program = [str(VENV / "bin/python"), str(VENV / "bin/checkov")]
    options = ["--framework", "kubernetes", "--skip-download", "--compact", "-o", "json"]
    files = [word for name in OVERLAYS for word in ("-f", str(folder / f"{name}.yaml"))]
    answer = subprocess.run([*program, *options, *files], capture_output=True, text=True, check=False, cwd=folder)
    try:
        report = json.loads(answer.stdout)
        summary, results = report["summary"], report["results"]
    except (ValueError, KeyError, TypeError):
        return {}, [f"checkov gave no report: {(answer.stderr or answer.stdout).strip()[-500:]}"]
    faults = [f"{found['check_id']} {found['resource']}: {found['check_name']}" for found in results["failed_checks"]]
    for found in results.get("skipped_checks", []):
        reason = found["check_result"].get("suppress_comment", "")
        if len(reason) < 20:
            faults.append(f"{found['check_id']} {found['resource']} is skipped without a reason")
    if summary["parsing_errors"]:
        faults.append(f"checkov could not read {summary['parsing_errors']} files")
    return {name: summary[name] for name in ("passed", "failed", "skipped")}, faults


def main() -> int:
    """Check everything and say the figures; the exit code."""
    folder = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / ".cache/k8s"
    started = time.monotonic()
    try:
        rendered = write_all(folder)
    except CannotRender as error:
        print(f"make k8s: {error}", file=sys.stderr)
        return 1
    after_rendering = time.monotonic()
    count, faults = validate(rendered)
    after_validating = time.monotonic()
    figures, failed = run_checkov(folder)
    for fault in [*faults, *failed]:
        print(fault, file=sys.stderr)
    print(
        f"rendered {len(rendered)} ways in {after_rendering - started:.1f} s; {count} different resources against "
        f"their schemas in {after_validating - after_rendering:.1f} s, {len(faults)} faults; checkov "
        f"{', '.join(f'{number} {name}' for name, number in figures.items())} in "
        f"{time.monotonic() - after_validating:.1f} s"
    )
    return 1 if faults or failed else 0


if __name__ == "__main__":
    sys.exit(main())

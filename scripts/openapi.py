"""Builds the merged OpenAPI document from the services' applications: `python -m scripts.openapi [--check|--release]`.

Without an option it writes `gateway/openapi.json`. `--check` fails when that file is stale. `--release` also makes it
the released contract that later versions must stay compatible with, unless it would break the one before.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.merge import merge, to_bytes
from scripts.openapi_compat import breaking_changes

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "gateway" / "openapi.json"
EXAMPLES = ROOT / "gateway" / "examples.json"
"""What a running network answered, by operation id and status: written by `make examples`."""

RELEASED = ROOT / "tests" / "compat" / "released.json"
SERVICES = ("identity", "jobs", "rewards", "governance")


def document_of(service: str, *, package: str = "services") -> dict[str, Any]:
    """The document of one service's application, which is built but not started.

    Raises: RuntimeError, in one line, when it cannot be built.
    """
    try:
        app = importlib.import_module(f"{package}.{service}.app").build()
        document: dict[str, Any] = app.openapi()
    except Exception as error:
        raise RuntimeError(f"{package}/{service}: {type(error).__name__}: {error}") from error
    return document


def build_document(services: Sequence[str] = SERVICES, *, package: str = "services") -> bytes:
    """The merged document. Raises: RuntimeError, ValueError."""
    documents = {service: document_of(service, package=package) for service in services}
    examples = json.loads(EXAMPLES.read_bytes())
    return to_bytes(json.loads(json.dumps(merge(documents, examples=examples))))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--check", action="store_true", help="fail when gateway/openapi.json is stale")
    choice.add_argument("--release", action="store_true", help="make it the contract to stay compatible with")
    options = parser.parse_args(arguments)
    try:
        built = build_document()
    except (RuntimeError, ValueError) as error:
        print(f"openapi: {error}", file=sys.stderr)
        return 1
    if options.check:
        return _check(built)
    if options.release and RELEASED.exists():
        found = breaking_changes(json.loads(RELEASED.read_bytes()), json.loads(built))
        if found:
            print("openapi: not released, it breaks the contract:\n  " + "\n  ".join(found), file=sys.stderr)
            return 1
    GOLDEN.write_bytes(built)
    if options.release:
        RELEASED.write_bytes(built)
    print(f"openapi: {GOLDEN.relative_to(ROOT)} has {len(json.loads(built)['paths'])} paths")
    return 0


def _check(built: bytes) -> int:
    if GOLDEN.exists() and GOLDEN.read_bytes() == built:
        return 0
    print(f"openapi: {GOLDEN.relative_to(ROOT)} is stale; run `make openapi`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())

"""Builds what consumers read about the events: `python -m scripts.event_docs [--check|--release]`.

Without an option it writes `docs/events/<type>.json` (JSON Schema 2020-12) and `docs/events.md`. `--check` fails when
one of them is stale, or breaks what was released. `--release` makes the schemas the released contract that later ones
must stay compatible with, unless they would break the one before.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chassis.bus import dead_letter_topic
from events.registry import EVENTS
from events.schemas import event_schema
from scripts.asyncapi import groups_of_services, published_types
from scripts.events_compat import breaking_changes
from scripts.events_page import page
from scripts.openapi import ROOT

FOLDER = ROOT / "docs" / "events"
PAGE = ROOT / "docs" / "events.md"
RELEASED = ROOT / "tests" / "compat" / "released_events.json"

Schemas = Mapping[str, dict[str, Any]]


def build_schemas() -> dict[str, dict[str, Any]]:
    """Event type → its schema. Raises: LookupError when a field is not described."""
    return {name: event_schema(event) for name, event in sorted(EVENTS.items())}


def build_files() -> dict[Path, bytes]:
    """Every generated file with what it has to hold. Raises: LookupError."""
    schemas = build_schemas()
    files = {FOLDER / f"{name}.json": _to_bytes(schema) for name, schema in schemas.items()}
    readers: dict[str, list[str]] = {}
    dead: list[str] = []
    for group, events in groups_of_services().items():
        for event in events:
            readers.setdefault(event.type_, []).append(group)
        dead += [dead_letter_topic(topic, group) for topic in sorted({event.topic() for event in events})]
    return {**files, PAGE: page(schemas, published_types(), readers, dead).encode()}


def stale(files: Mapping[Path, bytes]) -> list[Path]:
    """The files that are missing, differ, or should not be there."""
    wrong = [path for path, content in files.items() if not path.exists() or path.read_bytes() != content]
    return wrong + [path for path in sorted(FOLDER.glob("*")) if path not in files]


def _to_bytes(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--check", action="store_true", help="fail when a file is stale or the contract is broken")
    choice.add_argument("--release", action="store_true", help="make it the contract to stay compatible with")
    options = parser.parse_args(arguments)
    try:
        schemas, files = build_schemas(), build_files()
    except LookupError as error:
        return _refuse(str(error))
    if options.check or options.release:
        released: Schemas = json.loads(RELEASED.read_bytes()) if RELEASED.exists() else {}
        if found := breaking_changes(released, schemas):
            return _refuse("this breaks the released contract of the events:\n  " + "\n  ".join(found))
    if options.check:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale(files))
        return _refuse(f"stale: {names}; run `make events`") if names else 0
    for path in stale(files):
        path.unlink(missing_ok=True)
    FOLDER.mkdir(exist_ok=True)
    for path, content in files.items():
        path.write_bytes(content)
    if options.release:
        RELEASED.write_bytes(_to_bytes(schemas))
    print(f"event_docs: wrote {len(files) - 1} schemas and {PAGE.relative_to(ROOT)}")
    return 0


def _refuse(reason: str) -> int:
    print(f"event_docs: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())

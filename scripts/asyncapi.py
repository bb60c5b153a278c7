"""Builds the AsyncAPI document from `events/` and the services' handlers: `python -m scripts.asyncapi [--check]`.

Without an option it writes `gateway/asyncapi.json`; `--check` fails when that file is stale.
"""

import argparse
import importlib
import re
import sys
from collections.abc import Sequence

from chassis.envelope import Event
from gateway.asyncapi import DOCUMENT, build_document, to_bytes
from scripts.openapi import ROOT, SERVICES


def groups_of_services() -> dict[str, list[type[Event]]]:
    """Consumer group → the events that its service handles."""
    found = {}
    for service in SERVICES:
        try:
            handlers = importlib.import_module(f"services.{service}.handlers")
        except ModuleNotFoundError as error:
            if error.name != f"services.{service}.handlers":
                raise
            continue
        found[handlers.subscriptions.group] = sorted(handlers.subscriptions.handlers, key=lambda event: event.type_)
    return {group: events for group, events in found.items() if events}


def published_types() -> set[str]:
    """The types that services publish today: what their cards say, which a test holds against the code."""
    cards = (importlib.import_module(f"services.{service}").__doc__ or "" for service in SERVICES)
    listed = (re.search(r"^publishes:(.*(?:\n[ ]{2,}.*)*)", card, re.MULTILINE) for card in cards)
    return {word.strip() for found in listed if found for word in found[1].split(",") if word.strip()}


def build() -> bytes:
    """The document as bytes. Raises: LookupError when a field of an event is not described."""
    return to_bytes(build_document(groups_of_services(), published_types()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when gateway/asyncapi.json is stale")
    options = parser.parse_args(arguments)
    name = DOCUMENT.relative_to(ROOT)
    try:
        built = build()
    except LookupError as error:
        print(f"asyncapi: {error}", file=sys.stderr)
        return 1
    if not options.check:
        DOCUMENT.write_bytes(built)
        print(f"asyncapi: wrote {name}")
        return 0
    if DOCUMENT.exists() and DOCUMENT.read_bytes() == built:
        return 0
    print(f"asyncapi: {name} is stale; run `make events`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())

"""Each service's card (its package docstring) says what it owns, publishes and consumes; the code agrees."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest
from sqlalchemy import MetaData

from chassis.chain.tables import chain_tables
from chassis.tables import attach_chassis_tables
from events.registry import EVENTS

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("identity", "jobs", "rewards", "governance")


def card(service: str) -> dict[str, set[str]]:
    docstring = import_module(f"services.{service}").__doc__ or ""
    found = dict(re.findall(r"^(owns|publishes|consumes):(.*(?:\n[ ]{2,}.*)*)", docstring, re.MULTILINE))
    return {line: {word.strip() for word in text.split(",") if word.strip()} for line, text in found.items()}


def own_tables(service: str) -> set[str]:
    chassis = MetaData()
    attach_chassis_tables(chassis)
    chain_tables(chassis)
    tables = import_module(f"services.{service}.models").metadata.tables
    return {name for name in tables if name not in chassis.tables}


def constructed_events(service: str) -> set[str]:
    by_name = {event.__name__: event.type_ for event in EVENTS.values()}
    return {
        by_name[node.func.id]
        for path in (ROOT / "services" / service).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in by_name
    }


def consumed_events(service: str) -> set[str]:
    try:
        handlers = import_module(f"services.{service}.handlers")
    except ModuleNotFoundError:
        return set()
    return {event.type_ for event in handlers.subscriptions.handlers}


@pytest.mark.parametrize("service", SERVICES)
def test_card_has_its_three_lines(service: str) -> None:
    assert set(card(service)) >= {"owns", "publishes"}


@pytest.mark.parametrize("service", SERVICES)
def test_card_names_the_tables(service: str) -> None:
    assert card(service)["owns"] == own_tables(service)


@pytest.mark.parametrize("service", SERVICES)
def test_card_names_what_is_published(service: str) -> None:
    assert card(service)["publishes"] == constructed_events(service)


@pytest.mark.parametrize("service", SERVICES)
def test_card_names_what_is_consumed(service: str) -> None:
    assert card(service).get("consumes", set()) - {"nothing"} == consumed_events(service)

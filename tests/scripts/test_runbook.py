"""What the runbook tells operators to type is there."""

import importlib.util
import re
from pathlib import Path

import pytest

from scripts.migrate import SERVICES

RUNBOOK = Path("docs/runbook.md").read_text()
MODULES = sorted(set(re.findall(r"python -m (scripts\.\w+)", RUNBOOK)))
SECTIONS = (
    "Deploy",
    "Migrate, and go back",
    "Back up and restore",
    "Secrets and keys",
    "Parked events and dead letters",
    "Read everything again",
    "A Kafka broker is lost",
    "The RPC node is away",
    "The signer is out of gas",
    "Follow one transaction",
)


@pytest.mark.unit
def test_the_operations_have_their_sections() -> None:
    told = RUNBOOK.partition("\n## Operations\n")[2].partition("\n## ")[0]
    assert tuple(re.findall(r"^### (.+)$", told, flags=re.MULTILINE)) == SECTIONS


@pytest.mark.unit
def test_its_commands_exist() -> None:
    assert {"scripts.backup", "scripts.migrate", "scripts.events", "scripts.topics"} <= set(MODULES)
    assert [module for module in MODULES if importlib.util.find_spec(module) is None] == []


@pytest.mark.unit
def test_its_tables_and_links_exist() -> None:
    tables = set(re.findall(r"(?:DELETE FROM|UPDATE) (\w+)", RUNBOOK))
    made = "".join(path.read_text() for path in Path("services").glob("*/migrations/versions/*.py"))
    assert {table for table in tables if f'"{table}"' not in made} == set()
    for target in re.findall(r"\]\((\w[\w./-]*\.md)", RUNBOOK):
        assert (Path("docs") / target).exists(), target
    for alert in re.findall(r"\bBtrst[A-Z]\w+", RUNBOOK):
        assert f"### {alert}\n" in RUNBOOK, alert
    assert set(re.findall(r"scripts\.migrate (\w+)", RUNBOOK)) <= set(SERVICES)

"""A machine without a broker: the rest runs, the last lines say why not all; in CI that is a failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ONE_OF_EACH = ("tests/chassis/messaging/test_bus_contract.py", "-k", "byte_for_byte and not sql")
WITHOUT_JAVA = {"JAVA_HOME": "/nowhere", "TEST_POSTGRES_DSN": "postgresql://nobody@127.0.0.1:1/none"}
"""And without a PostgreSQL that nobody asks for."""


def run(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "TEST_", "CI"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, *ONE_OF_EACH]
    return subprocess.run(
        command, cwd=ROOT, env=inherited | environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_where_there_is_no_java_the_last_line_says_so() -> None:
    ran = run(**WITHOUT_JAVA)
    assert ran.returncode == 0, ran.stdout
    assert "1 passed" in ran.stdout
    assert "The Kafka lane did not run: Java is missing: install Java 17 or newer" in _last(ran)


@pytest.mark.parametrize("options", [(), ("-n", "1")])
def test_in_ci_a_lane_that_did_not_run_is_a_failure(options: tuple[str, ...]) -> None:
    ran = run(*options, CI="true", **WITHOUT_JAVA)
    assert ran.returncode == 1, ran.stdout
    assert "1 passed" in ran.stdout
    assert "The Kafka lane did not run: Java is missing" in _last(ran)


def _last(ran: subprocess.CompletedProcess[str]) -> str:
    return "\n".join(ran.stdout.strip().splitlines()[-3:])

"""The import rules hold, and each is proven able to fail by a deliberate violation."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("services", "gateway", "events", "chassis")

VIOLATIONS = {
    "Services and gateway stand on events, events on the chassis": ("events/jobs.py", "import services.jobs.settings"),
    "No service imports another": ("services/jobs/errors.py", "import services.identity.errors"),
    "The rooms of a service, outermost first": ("services/jobs/errors.py", "import services.jobs.app"),
    "The domain does no I/O, even indirectly": ("services/jobs/domain.py", "import chassis.db"),
    "No network call inside a unit of work": ("services/rewards/models.py", "import chassis.http"),
    "web3 only under chassis/chain": ("services/rewards/chain.py", "import web3"),
    "httpx only in chassis/http.py": ("gateway/app.py", "import httpx"),
    "aiokafka only in chassis/bus_kafka": ("chassis/bus_sql.py", "import aiokafka"),
    "redis only in gateway/limit_server.py": ("gateway/shared_limits.py", "import redis.asyncio"),
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [program, "--no-cache", "--config", "pyproject.toml"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("house")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "*.json"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def broken(output: str) -> set[str]:
    return set(re.findall(r"^(.+) BROKEN\b", output, re.MULTILINE))


def test_every_rule_holds(copy: Path) -> None:
    result = lint(copy)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    assert broken(result.stdout) == set()


@pytest.mark.parametrize("contract", VIOLATIONS)
def test_rule_catches_a_violation(copy: Path, contract: str) -> None:
    path, statement = VIOLATIONS[contract]
    target = copy / path
    if not target.exists():  # the room is a folder
        target = target.with_suffix("") / "__init__.py"
    before = target.read_text()
    target.write_text(before + f"\n{statement}\n")
    try:
        result = lint(copy)
    finally:
        target.write_text(before)
    assert contract in broken(result.stdout), result.stdout[-3000:]


def test_an_unknown_room_is_refused(copy: Path) -> None:
    stray = copy / "services" / "jobs" / "utils.py"
    stray.write_text('"""Whatever did not fit."""\n')
    try:
        result = lint(copy)
    finally:
        stray.unlink()
    assert result.returncode != 0
    assert "utils" in result.stdout


def test_every_contract_has_a_violation() -> None:
    import tomllib

    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert {contract["name"] for contract in config["tool"]["importlinter"]["contracts"]} == set(VIOLATIONS)

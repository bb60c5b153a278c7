"""What is said of the Solidity beyond its tests: every line and branch is reached, slither finds nothing of weight, and
halmos proves over all inputs that a number is settled at most once and that the cap holds."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = ROOT / "contracts"
TOOLS = ROOT / ".cache" / "analysis-venv" / "bin"
OURS = ("BTRST", "Governor", "NetworkParameters", "ReservePayer", "RewardsMinter", "SettlementBase")
PROVEN = {
    "check_aNumberIsSettledAtMostOnce",
    "check_theCapHolds",
    "check_onlyTheMinterMints",
    "check_onlyTheSignerSettles",
    "check_theBucketBounds",
}

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The contracts in a folder of their own: what is built there is in nobody's way."""
    folder = tmp_path / "contracts"
    shutil.copytree(CONTRACTS, folder, ignore=shutil.ignore_patterns("node_modules", "out", "cache"))
    (folder / "node_modules").symlink_to(CONTRACTS / "node_modules")
    return folder


def run(folder: Path, command: Sequence[str | Path], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the copy, with forge on the path."""
    path = f"{CONTRACTS / 'node_modules' / '.bin'}:{os.environ['PATH']}"
    return subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**os.environ, "PATH": path, "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=880,
        check=False,
    )


def tool(name: str) -> Path:
    found = TOOLS / name
    assert found.exists(), "run `make analysis-tools`"
    return found


@pytest.mark.timeout(600)
def test_every_line_and_branch_is_reached(copy: Path) -> None:
    report = copy / "lcov.info"
    done = run(
        copy,
        # Without the optimizer the governor is longer than a chain would take.
        ["forge", "coverage", "--report", "lcov", "--report-file", report, "--no-match-coverage",
         "(test|bench|node_modules)/", "--no-match-test", "test_code_fits_the_chain"],
        FOUNDRY_PROFILE="coverage",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    file, seen, missed = "", set(), []
    for line in report.read_text().splitlines():
        kind, _, values = line.partition(":")
        if kind == "SF":
            file = Path(values).stem
            seen.add(file)
        elif (kind == "DA" and values.split(",")[1] == "0") or (kind == "BRDA" and values.split(",")[3] in ("-", "0")):
            missed.append(f"{file}:{values.split(',')[0]}")
    assert seen == set(OURS)
    assert missed == []


@pytest.mark.long
@pytest.mark.timeout(900)
def test_slither_finds_nothing_high_or_medium(copy: Path) -> None:
    done = run(copy, [tool("slither"), ".", "--filter-paths", "(node_modules|test|bench)/", "--fail-medium"])
    assert done.returncode == 0, done.stderr[-5_000:]
    assert re.search(r"analyzed \(\d+ contracts with \d+ detectors\)", done.stderr)


def proofs(folder: Path, *more: str) -> str:
    """What halmos says."""
    command = [tool("halmos"), "--contract", "Proofs", "--solver-timeout-assertion", "0", *more]
    done = run(folder, command, FOUNDRY_PROFILE="coverage")
    assert "Symbolic test result" in done.stdout, done.stdout[-3_000:] + done.stderr[-3_000:]
    return done.stdout


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_number_is_settled_at_most_once_and_the_cap_holds(copy: Path) -> None:
    said = proofs(copy)
    assert set(re.findall(r"PASS\S* (check_\w+)", said)) == PROVEN, said[-3_000:]


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("file", "line", "altered", "refuted"),
    [
        ("SettlementBase", "firstId == current.nextId", "firstId <= current.nextId", "aNumberIsSettledAtMostOnce"),
        ("BTRST", "ERC20Capped(MAX_SUPPLY)", "ERC20Capped(MAX_SUPPLY + 1)", "theCapHolds"),
    ],
)
def test_the_proofs_fail_on_contracts_that_do_not_keep_them(
    copy: Path, file: str, line: str, altered: str, refuted: str
) -> None:
    source = copy / "src" / f"{file}.sol"
    text = source.read_text()
    assert text.count(line) == 1
    source.write_text(text.replace(line, altered))
    assert re.search(rf"FAIL\S* check_{refuted}", proofs(copy, "--early-exit", "--function", f"check_{refuted}"))

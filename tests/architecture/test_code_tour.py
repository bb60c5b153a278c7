"""Every stop of the code tour names a file and a symbol that exist, and so does every attack of the list of attacks."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STOP = re.compile(r"`((?:chassis|services|gateway|events|scripts|contracts)/[\w/.]+\.(?:py|sol)):([\w.]+)`")


def stops() -> list[tuple[str, str]]:
    return STOP.findall((ROOT / "docs" / "code-tour.md").read_text())


TEST = re.compile(r"`(tests/[\w/]+\.py):(\w+)`")


def attacks() -> list[tuple[str, str]]:
    return TEST.findall((ROOT / "docs" / "attacks.md").read_text())


def defined(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            if isinstance(node, ast.ClassDef):
                names |= {f"{node.name}.{inner.name}" for inner in node.body if hasattr(inner, "name")}
    return names


@pytest.mark.unit
def test_the_tour_has_nine_stops() -> None:
    headings = re.findall(r"^## (\d+)\.", (ROOT / "docs" / "code-tour.md").read_text(), re.MULTILINE)
    assert headings == [str(number) for number in range(1, 10)]


@pytest.mark.unit
@pytest.mark.parametrize(("path", "symbol"), stops() if (ROOT / "docs" / "code-tour.md").exists() else [])
def test_stop_exists(path: str, symbol: str) -> None:
    file = ROOT / path
    assert file.exists()
    if path.endswith(".sol"):
        assert re.search(rf"\b(?:function|event|contract|modifier)\s+{symbol}\b", file.read_text())
    else:
        assert symbol in defined(file)


@pytest.mark.unit
def test_every_attack_is_tried_and_every_trial_is_listed() -> None:
    listed = set(attacks())
    for path, name in listed:
        assert name in defined(ROOT / path), f"{path}:{name}"
    for path in ("tests/rewards/test_attacks.py", "tests/rewards/test_attacks_by_numbers.py"):
        tried = {name for name in defined(ROOT / path) if name.startswith("test_")}
        assert tried == {name for other, name in listed if other == path}

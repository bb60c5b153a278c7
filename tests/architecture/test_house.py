"""Sizes, docstrings and the one commit: the promises of docs/architecture.md that are not about imports."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
CODE = ("chassis", "events", "services", "gateway", "scripts")
DOCUMENTED = ("chassis", "services/*/domain", "services/*/service", "services/*/chain", "services/*/clients")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def python_files(*folders: str) -> list[Path]:
    """Python files of these folders but the migrations (`versions`): one is a list of statements that is run once, in
    one transaction, and never changed after its release, so splitting it would only hide that it is one step."""
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if "versions" not in path.parts and "node_modules" not in path.parts]


def documented_files() -> list[Path]:
    found: list[Path] = []
    for pattern in DOCUMENTED:
        found += ROOT.glob(f"{pattern}.py")
        found += ROOT.glob(f"{pattern}/**/*.py")
    return sorted(found)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(tree: ast.AST) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def public_functions(body: list[ast.stmt]) -> Iterator[Function]:
    """Functions of a module and methods of its public classes; not what is nested in functions."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body)


def is_overload(function: Function) -> bool:
    return any("overload" in ast.unparse(decorator) for decorator in function.decorator_list)


@pytest.mark.unit
def test_files_are_short() -> None:
    long = {name(path): len(path.read_text().splitlines()) for path in python_files(*CODE, "tests")}
    assert {path: lines for path, lines in long.items() if lines > MAX_FILE_LINES} == {}


@pytest.mark.unit
def test_functions_are_short() -> None:
    long = {
        f"{name(path)}:{function.name}": function.end_lineno - function.lineno + 1
        for path in python_files(*CODE)
        for function in functions(ast.parse(path.read_text()))
        if function.end_lineno is not None and function.end_lineno - function.lineno + 1 > MAX_FUNCTION_LINES
    }
    assert long == {}


@pytest.mark.unit
def test_modules_say_what_they_own() -> None:
    files = [path for path in python_files(*CODE) if path.read_text().strip()]
    docstrings = {name(path): ast.get_docstring(ast.parse(path.read_text())) for path in files}
    assert [path for path, docstring in docstrings.items() if not docstring] == []


@pytest.mark.unit
def test_public_functions_have_docstrings() -> None:
    missing = [
        f"{name(path)}:{function.name}"
        for path in documented_files()
        for function in public_functions(ast.parse(path.read_text()).body)
        if not ast.get_docstring(function) and not is_overload(function)
    ]
    assert missing == []


@pytest.mark.unit
def test_only_one_place_commits() -> None:
    committing = {
        name(path)
        for path in python_files("chassis", "services", "gateway")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "commit"
        if "consumer" not in ast.unparse(node.func.value) and "member" not in ast.unparse(node.func.value)
    }
    positions_only = {"chassis/bus_group.py"}  # a member commits its own positions there
    assert committing - {"chassis/migrations.py"} - positions_only == {"chassis/db.py"}


@pytest.mark.unit
def test_no_float_near_money() -> None:
    offending = [
        f"{name(path)}:{node.lineno}"
        for path in [
            *ROOT.glob("services/*/domain.py"),
            *ROOT.glob("services/*/domain/*.py"),
            ROOT / "chassis/money.py",
        ]
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div))
        or (isinstance(node, ast.Call) and ast.unparse(node.func) == "float")
        or (isinstance(node, ast.Constant) and isinstance(node.value, float))
    ]
    assert offending == []

"""The container lane where there can be no engine: it says why, and fails unless it was told not to."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.containers import engine, lane
from tests.containers.engine import EngineUnusable

pytestmark = pytest.mark.unit

GATE = Path(__file__).resolve().parents[2] / ".ci" / "run"


@pytest.fixture
def without_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody listens where an engine should, and this account may not start one."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    monkeypatch.setattr(os, "geteuid", lambda: 10_001)


@pytest.mark.usefixtures("without_engine")
@pytest.mark.parametrize(("optional", "code"), [("", 1), ("0", 1), ("1", 0)])
def test_without_an_engine_the_lane_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, optional: str, code: int
) -> None:
    monkeypatch.setenv("CONTAINERS_OPTIONAL", optional)
    monkeypatch.setenv("CONTAINERS_LEFT_OUT", str(tmp_path / "left-out"))
    assert lane.main() == code
    line = (
        "The container lane did not run: no Docker engine answers, and only root could start one: "
        "start Docker, or run this as root\n"
    )
    assert capsys.readouterr().err == line
    assert (tmp_path / "left-out").read_text() == line


@pytest.mark.parametrize(
    ("lane_says", "last"),
    [("", "== all lanes ran"), ("The container lane did not run: why", "== The container lane did not run: why")],
)
def test_the_gate_ends_with_the_lane_that_did_not_run(tmp_path: Path, lane_says: str, last: str) -> None:
    """The gate as it is, with a `make` that does nothing but what the lane does where there can be no engine."""
    tells = f"""[ "$*" != "containers" ] || echo '{lane_says}' >"$CONTAINERS_LEFT_OUT\"""" if lane_says else ":"
    (tmp_path / "make").write_text(f'#!/bin/sh\n{tells}\necho did "$@"\n')
    (tmp_path / "make").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ended = subprocess.run([GATE], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert "did test" in lines
    assert lines[-1] == last


def test_a_command_that_fails_is_one_line() -> None:
    with pytest.raises(EngineUnusable, match=r"^sh -c echo more; echo why >&2; exit 3 … failed: why$"):
        engine.run(["sh", "-c", "echo more; echo why >&2; exit 3"])
    with pytest.raises(EngineUnusable, match=r"^no-such-program is missing$"):
        engine.run(["no-such-program"])
    with pytest.raises(EngineUnusable, match=r"^sleep took more than 0 s$"):
        engine.run(["sleep", "5"], seconds=0.1)


def test_an_engine_that_does_not_start_is_told_by_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "dockerd"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho starting\necho 'no kernel for this' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/before.sock")
    with (
        pytest.raises(EngineUnusable, match=r"^the engine does not start: no kernel for this$"),
        engine.own_engine(tmp_path),
    ):
        pass
    assert os.environ["DOCKER_HOST"] == f"unix://{tmp_path}/before.sock"
    assert subprocess.run(["mountpoint", "-q", tmp_path / "data"], check=False).returncode != 0

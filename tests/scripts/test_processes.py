"""How the supervisor starts processes."""

import sys
import time
from pathlib import Path

import pytest

from scripts.processes import Managed, inherited, stop_all

pytestmark = pytest.mark.unit


def test_a_process_keeps_its_bytecode_whatever_our_environment_says(tmp_path: Path) -> None:
    (tmp_path / "imported.py").write_text("value = 1\n")
    environment = inherited({"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(tmp_path)})
    command = [sys.executable, "-c", "import imported, time; print('up', flush=True); time.sleep(60)"]
    managed = Managed("it", command, environment, tmp_path / "logs" / "it.log", port=0)
    managed.start()
    deadline = time.monotonic() + 30
    while managed.last_words() != "up" and time.monotonic() < deadline:
        time.sleep(0.02)
    stop_all([managed])
    assert managed.last_words() == "up"
    assert list((tmp_path / "__pycache__").glob("imported.*.pyc"))

"""The demo as a newcomer runs it: twice on the same state, and its one-line refusals."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.network import CLOSING, ROOT, environment, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


def demo(run_folder: Path, port: int, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.demo"],
        cwd=ROOT,
        env=environment(run_folder, port, ONCE="1", **more),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_demo_and_again_on_the_same_state(run_folder: Path) -> None:
    for _ in range(2):
        result = demo(run_folder, free_port())
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-2000:]
        assert CLOSING.fullmatch(result.stdout.strip().splitlines()[-1])
    assert not (run_folder / "endpoints.json").exists()
    assert (run_folder / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_a_taken_port_is_one_clear_line(run_folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = demo(run_folder, port)
    assert result.returncode == 1
    assert [line for line in result.stdout.splitlines() if line.strip()] == [
        f"Cannot start: port {port} is taken (Address already in use): free it, or set GATEWAY_PORT to another"
    ]
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("GATEWAY_PORT", "eighty", "GATEWAY_PORT must be a port number, not 'eighty'"),
        ("MODE", "carrier-pigeon", "MODE=carrier-pigeon is not known"),
        ("RUN_DIR", "/proc/nowhere", "cannot use /proc/nowhere"),
        ("DATABASE_URL", "postgresql://nobody:x@127.0.0.1:1/x", "DATABASE_URL"),
    ],
)
def test_a_bad_setting_is_one_clear_line(run_folder: Path, setting: str, value: str, said: str) -> None:
    result = demo(run_folder, free_port(), **{setting: value})
    assert result.returncode == 1
    lines = [line for line in result.stdout.splitlines() if line.strip()]
    assert len(lines) == 1, result.stdout + result.stderr
    assert said in lines[0]
    assert "Traceback" not in result.stdout + result.stderr


def test_a_missing_node_is_one_clear_line(run_folder: Path, tmp_path: Path) -> None:
    result = demo(run_folder, free_port(), ANVIL=str(tmp_path / "anvil"))
    assert result.returncode == 1
    assert "anvil" in result.stdout.splitlines()[-1]
    assert "Traceback" not in result.stdout + result.stderr


def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    """A file system of 512 KiB of its own, in a mount namespace of its own."""
    mounted = f"mount -t tmpfs -o size=512k tmpfs {tmp_path} && exec {sys.executable} -m scripts.demo"
    result = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", mounted],
        cwd=ROOT,
        env=environment(tmp_path, free_port(), ONCE="1"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1].startswith(f"Cannot start: the disk of {tmp_path} is full")

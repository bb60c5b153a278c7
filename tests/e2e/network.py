"""The whole network as processes, for the end-to-end tests."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLOSING = re.compile(r"DEMO OK difference_wei=0 minted_wei=40000000000000000000 seconds=\d+")

BOTH_MODES = ["embedded", pytest.param("kafka", marks=[pytest.mark.kafka, pytest.mark.long])]
"""Parameters of a module's `mode` that runs on either bus."""

NOT_INHERITED = {"TEST_POSTGRES_DSN", "ONCE", "MODE", "BUS_URL", "KAFKA_BROKERS"}

Endpoints = dict[str, Any]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def bus_url(endpoints: Endpoints) -> str:
    """The bus of a running network."""
    return f"kafka://{endpoints['kafka']}" if endpoints["kafka"] else str(endpoints["dsn"]["events"])


def environment(run_folder: Path, port: int, **more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    ballot = {"GOVERNANCE_VOTING_DELAY_SECONDS": "1", "GOVERNANCE_VOTING_PERIOD_SECONDS": "10"}
    return {**inherited, **ballot, "RUN_DIR": str(run_folder), "GATEWAY_PORT": str(port), **more}


@dataclass
class Network:
    """A running network, started by `python -m scripts.dev`."""

    run_folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def endpoints(self) -> Endpoints:
        told: Endpoints = json.loads((self.run_folder / "endpoints.json").read_text())
        return told

    def kill(self, name: str) -> None:
        """SIGKILL one of the five processes."""
        os.kill(self.endpoints["pids"][name], signal.SIGKILL)

    def kill_dependency(self, name: str) -> None:
        """SIGKILL PostgreSQL, the node or a broker."""
        os.kill(int(self.endpoints["infrastructure"][name]), signal.SIGKILL)

    def restart_dependency(self, name: str) -> None:
        """SIGTERM to a broker, as for an upgrade: the supervisor starts it again."""
        os.kill(int(self.endpoints["infrastructure"][name]), signal.SIGTERM)

    def freeze(self, name: str) -> None:
        """Stop PostgreSQL, the node or a broker from running, as a machine that hangs."""
        for pid in self._family(name):
            os.kill(pid, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let a frozen one run again."""
        for pid in self._family(name):
            os.kill(pid, signal.SIGCONT)

    def _family(self, name: str) -> list[int]:
        pid = int(self.endpoints["infrastructure"][name])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def start(run_folder: Path, **more: str) -> Network:
    """Start a network and wait until it says where everything is."""
    port, said = free_port(), run_folder / "supervisor.log"
    with said.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "scripts.dev"],
            cwd=ROOT,
            env=environment(run_folder, port, **more),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    network = Network(run_folder, port, process)
    deadline = time.monotonic() + 240
    while not (run_folder / "endpoints.json").exists():
        if process.poll() is not None:
            raise AssertionError(f"the network did not start: {said.read_text()[-2000:]}")
        if time.monotonic() > deadline:
            network.stop()
            raise AssertionError("the network was not ready within 240 s")
        time.sleep(0.1)
    return network

"""The product's own processes under supervision: start, watch, start again on the same port, stop."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chassis.embedded_postgres import die_with_parent


@dataclass(slots=True)
class Managed:
    """One process: how it is started, and the one that runs now."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log_path: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    started_at: float = field(default=0.0)

    @property
    def pid(self) -> int:
        """The process id of the one that runs now, 0 before the first start."""
        return self.process.pid if self.process else 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it; its output goes to the log file. It ends when this process does."""
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=dict(self.environment),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - makes one system call
            )
        self.starts += 1
        self.started_at = time.monotonic()

    def exited(self) -> int | None:
        """The exit code when it has ended, else None."""
        return self.process.poll() if self.process else None

    def last_words(self) -> str:
        """The last line of its log that is not empty."""
        if not self.log_path.exists():
            return ""
        lines = [line for line in self.log_path.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1][:300] if lines else ""


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """What a process takes over from our environment: all but the wish to compile every module at each start, which
    would take a restart several times as long."""
    return {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}


def service_command(name: str) -> list[str]:
    """The command line of a service or of the gateway; where it listens is in its environment: `<NAME>_PORT`."""
    if name == "gateway":
        return [sys.executable, "-m", "gateway"]
    return [sys.executable, "-m", "chassis.serve", f"services.{name}.app:build"]


def stop_all(processes: Sequence[Managed], *, seconds: float = 30.0) -> None:
    """SIGTERM to all, then SIGKILL to whoever is left after `seconds`."""
    alive = [managed.process for managed in processes if managed.process and managed.process.poll() is None]
    for process in alive:
        process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + seconds
    for process in alive:
        try:
            process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()

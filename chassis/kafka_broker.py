"""One broker of the local Apache Kafka as a child process: start, wait, freeze, kill, start again on the same data."""

import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chassis.embedded_postgres import die_with_parent
from chassis.kafka_jars import KafkaUnusable

LOG_BYTES = 8 * 1024 * 1024
_STARTED = "Kafka Server started"
_START_SECONDS = 90


@dataclass(slots=True)
class Broker:
    """One broker of the cluster: its ports stay the same over restarts."""

    number: int
    folder: Path
    ports: Sequence[int]
    command: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None
    _log_start: int = field(default=0)

    @property
    def address(self) -> str:
        """Where it listens for clients without security: "host:port"."""
        return f"127.0.0.1:{self.ports[0]}"

    @property
    def pid(self) -> int | None:
        """Its process id, once started."""
        return self.process.pid if self.process else None

    @property
    def is_running(self) -> bool:
        """Whether its process lives (frozen or not)."""
        return self.process is not None and self.process.poll() is None

    @property
    def log_path(self) -> Path:
        """Where it writes what it has to say."""
        return self.folder / "broker.log"

    def launch(self) -> None:
        """Start the process; `wait` returns when it serves. It ends with the thread that calls this, or its process."""
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        self._log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own arguments
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - one system call; ends a frozen one too
            )

    def wait(self, seconds: float = _START_SECONDS) -> None:
        """Wait until it serves clients. Raises: KafkaUnusable when it ends instead, or takes too long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if _STARTED in self._said():
                return
            if not self.is_running:
                raise KafkaUnusable(f"Kafka stopped at once: {last_error(self._said())} (more in {self.log_path})")
            time.sleep(0.02)
        raise KafkaUnusable(f"Kafka did not come up within {seconds:.0f} s; see {self.log_path}")

    def restart(self) -> None:
        """Start it again on its data and its ports, after a `stop`, a `kill` or an end of its own.

        Raises: KafkaUnusable.
        """
        self.stop()
        self.launch()
        self.wait()

    def stop(self, seconds: float = 20.0) -> None:
        """Stop it in order: it hands its partitions over first. Killed when that takes longer than `seconds`."""
        if self.process is None:
            return
        if self.is_running:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def freeze(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on where it was frozen."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def _said(self) -> str:
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")


def last_error(told: str) -> str:
    """The line of a broker's output that says best why it ended."""
    lines = [line for line in told.splitlines() if line.strip() and not line.startswith("\t")]
    telling = [line for line in lines if "Exception" in line or "ERROR" in line or line.startswith("Error")]
    return (telling or lines or ["no reason given"])[-1].strip()[:300]

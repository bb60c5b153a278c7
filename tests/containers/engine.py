"""A Docker engine for the container lane: the machine's own, or Debian's, installed and started for the run."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PACKAGES = {"dockerd": "docker.io", "debootstrap": "debootstrap"}
LONG_SECONDS = 900


class EngineUnusable(Exception):
    """No engine can be had on this machine; the message is one line that says why."""


def run(command: Sequence[str | Path], *, seconds: float = 120, **environment: str) -> str:
    """What a command printed. Raises: EngineUnusable when it fails or takes too long."""
    try:
        ended = subprocess.run(
            command, env=os.environ | environment, capture_output=True, text=True, timeout=seconds, check=False
        )
    except FileNotFoundError:
        raise EngineUnusable(f"{command[0]} is missing") from None
    except subprocess.TimeoutExpired:
        raise EngineUnusable(f"{command[0]} took more than {seconds:.0f} s") from None
    if ended.returncode != 0:
        last = (ended.stderr.strip() or ended.stdout.strip() or "no reason given").splitlines()[-1]
        raise EngineUnusable(f"{' '.join(map(str, command[:3]))} … failed: {last}")
    return ended.stdout


@contextmanager
def engine() -> Iterator[Path]:
    """A running engine, which `DOCKER_HOST` names, and a folder for scratch. Raises: EngineUnusable."""
    folder = Path(tempfile.mkdtemp(prefix="btrst-engine-", dir="/var/tmp"))
    try:
        if not _answers():
            _install()
        if _answers():
            yield folder
        else:
            with own_engine(folder):
                yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _answers() -> bool:
    try:
        run(["docker", "version", "--format", "{{.Server.Version}}"], seconds=20)
    except EngineUnusable:
        return False
    return True


def _install() -> None:
    missing = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
    if os.geteuid() != 0:
        raise EngineUnusable(
            "no Docker engine answers, and only root could start one: start Docker, or run this as root"
        )
    if missing and shutil.which("apt-get") is None:
        raise EngineUnusable(f"no Docker engine answers, and {' and '.join(missing)} can be installed on Debian only")
    if missing:
        print(f"installing Debian's {' and '.join(missing)} for the container lane", flush=True)
        run(["apt-get", "update", "-qq"], seconds=LONG_SECONDS)
        install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *missing, "iptables"]
        run(install, seconds=LONG_SECONDS, DEBIAN_FRONTEND="noninteractive")


@contextmanager
def own_engine(folder: Path) -> Iterator[None]:
    """dockerd with everything it has in `folder`, for as long as the block runs. Raises: EngineUnusable."""
    data, socket, log = folder / "data", folder / "docker.sock", folder / "dockerd.log"
    host = f"unix://{socket}"
    options = ["--data-root", data, "--exec-root", folder / "exec", "--pidfile", folder / "pid", "--host", host]
    with log.open("wb") as output:
        process = subprocess.Popen(["dockerd", *options], stdout=output, stderr=output, start_new_session=True)
    before = os.environ.get("DOCKER_HOST")
    os.environ["DOCKER_HOST"] = host
    try:
        give_up_at = time.monotonic() + 60
        while not _answers():
            if process.poll() is not None or time.monotonic() > give_up_at:
                raise EngineUnusable(f"the engine does not start: {_last_words(log)}")
            time.sleep(0.5)
        yield
    finally:
        os.environ.pop("DOCKER_HOST")
        if before is not None:
            os.environ["DOCKER_HOST"] = before
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
        subprocess.run(["umount", data], capture_output=True, check=False)  # it makes a mount of its data's folder


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"

"""One measurement: `wrk` on one door for some seconds, and the CPU that the door's processes took meanwhile."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.load.gateway.peers import LOAD_CORE, Door, PeerMissing


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked for, and by how many connections."""

    path: str
    connections: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one measurement. CPU in microseconds a request, from the kernel's own account of the door's processes."""

    requests_per_second: float
    cpu_us: float
    p50_ms: float
    p99_ms: float


def measure(door: Door, load: Load, seconds: float) -> Figures:
    """Load `door`. Raises: PeerMissing when an answer is not a 200, for such a figure means nothing."""
    command = ["taskset", "-c", LOAD_CORE, shutil.which("wrk") or "wrk", "--latency", "-t1"]
    command += [f"-c{load.connections}", f"-d{seconds:g}s", "--timeout", "30s"]
    for name, value in door.headers.items():
        command += ["-H", f"{name}: {value}"]
    before = _cpu_ns(door.pids)
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{door.port}{load.path}"], capture_output=True, text=True, check=True
    )
    spent = _cpu_ns(door.pids) - before
    requests = _number(r"(\d+) requests in", done.stdout)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout or not requests:
        raise PeerMissing(f"{door.name} failed some requests: {done.stdout}")
    return Figures(
        _number(r"Requests/sec:\s+([\d.]+)", done.stdout),
        spent / 1000 / requests,
        _milliseconds(done.stdout, "50%"),
        _milliseconds(done.stdout, "99%"),
    )


def resident_bytes(door: Door) -> int:
    """Memory of the door's processes."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in door.pids)
    return pages * 4096


def _cpu_ns(pids: list[int]) -> int:
    """Time on a core so far, of every thread. Source: Linux, Documentation/scheduler/sched-stats.rst."""
    paths = [path for pid in pids for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(int(path.read_text().split()[0]) for path in paths)


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    return float(found.group(1)) if found else 0.0


def _milliseconds(text: str, row: str) -> float:
    found = re.search(rf"{row}\s+([\d.]+)(us|ms|s)", text)
    if not found:
        return 0.0
    return float(found.group(1)) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found.group(2)]

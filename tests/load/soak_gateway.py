"""`make soak-gateway`: ten minutes at half of the gateway's capacity, while the service's processes are restarted.

First the capacity is measured, then half of it is offered at an even rate, whatever the answers (h2load, HTTP/1.1).
The service's three processes, nginx, end one after the other by SIGQUIT, SIGTERM and SIGKILL in turn, and come back on
their ports. Every request is a GET with a token; each without a 200 counts as failed. Ends with one line `RESULT
{json}` and 1 when a request failed or memory grew by 5 % or more.
"""

import argparse
import itertools
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

from chassis.embedded_postgres import free_port
from tests.load.gateway import configs
from tests.load.gateway.measure import Load, measure, resident_bytes
from tests.load.gateway.peers import LOAD_CORE, Door, Doors, PeerMissing, find_program, install

CONNECTIONS = 32
SHARE = 0.5
"""Of the capacity: what is offered."""

MOST_GROWTH = 0.05
PROCESSES = 3
AWAY_SECONDS, EVERY_SECONDS = 1.0, 4.0
ENDINGS = (signal.SIGQUIT, signal.SIGTERM, signal.SIGKILL)
SEEN_PATHS = 500
"""So many different things are asked for, besides one long answer."""


@dataclass
class Restarts:
    """Ends the service's processes one by one and brings each back, until told to stop."""

    doors: Doors
    ports: list[int]
    count: int = 0
    _stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until `stop`."""
        processes = {port: self.doors.service(port) for port in self.ports}
        turns = zip(itertools.cycle(self.ports), itertools.cycle(ENDINGS * PROCESSES + ENDINGS[:1]), strict=False)
        for port, ending in turns:
            if self._stopping.wait(EVERY_SECONDS - AWAY_SECONDS):
                return
            for pid in processes[port].pids:
                with suppress(ProcessLookupError):  # nginx's worker has followed its master already
                    os.kill(pid, ending)
            processes[port].process.wait(10)
            time.sleep(AWAY_SECONDS)
            processes[port] = self.doors.service(port)
            self.count += 1

    def stop(self) -> None:
        """End after the restart under way."""
        self._stopping.set()


def soak(seconds: float) -> dict[str, float]:
    """The figures of the last line. Raises: PeerMissing."""
    install({"nginx": "nginx-core", "wrk": "wrk", "h2load": "nghttp2-client"})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="btrst-soak-", dir="/var/tmp")))
        folder.chmod(0o755)  # nginx's workers are another user
        doors = stack.enter_context(Doors(folder))
        (folder / "large").write_bytes(b"x" * configs.LARGE_BYTES)
        restarts = Restarts(doors, [free_port() for _ in range(PROCESSES)])
        restarting = threading.Thread(target=restarts.run)
        restarting.start()
        stack.callback(restarting.join)
        stack.callback(restarts.stop)
        door = doors.ours("lane", upstreams=[f"127.0.0.1:{port}" for port in restarts.ports])
        capacity = _capacity(door)
        print(f"capacity: {capacity:,.0f} requests a second; offering {capacity * SHARE:,.0f}", flush=True)
        memory: list[int] = []
        watching = threading.Event()
        watcher = threading.Thread(target=_watch, args=(door, memory, watching))
        watcher.start()
        stack.callback(watcher.join)
        stack.callback(watching.set)
        told = _offer(door, folder, capacity * SHARE, seconds)
        slow_ms = _p99_ms(door)
        if not restarting.is_alive():
            raise PeerMissing("the restarts of the service ended before the load did")
    failed, requests = _count(told)
    return {
        "failed_safe": failed,
        "requests": requests,
        "restarts": restarts.count,
        "rss_growth_percent": round(100 * growth(memory), 2),
        "p99_ms": slow_ms,
        "seconds": seconds,
    }


def _capacity(door: Door) -> float:
    """Requests a second that the gateway can answer; what restarts cost meanwhile is part of it."""
    while True:
        try:
            return measure(door, Load("/v1/things/small", CONNECTIONS), 5).requests_per_second
        except PeerMissing as error:
            if "Non-2xx" in str(error):
                raise


def _offer(door: Door, folder: Path, rate: float, seconds: float) -> str:
    """Offer `rate` requests a second; h2load's report."""
    paths = [f"/v1/things/{number}" for number in range(SEEN_PATHS)]
    paths.insert(SEEN_PATHS // 2, "/v1/things/large")
    listed = folder / "paths"
    listed.write_text("".join(f"http://127.0.0.1:{door.port}{path}\n" for path in paths))
    command = ["taskset", "-c", LOAD_CORE, find_program("h2load"), "--h1", f"-c{CONNECTIONS}", "-t1", f"-i{listed}"]
    command += [f"--duration={seconds:.0f}", f"--rps={rate / CONNECTIONS:.2f}"]
    for name, value in door.headers.items():
        command += ["-H", f"{name}: {value}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _count(told: str) -> tuple[int, int]:
    """How many requests failed, and how many there were. What the end of the time cut off counts as neither."""
    print(told[told.find("finished in") :], flush=True)
    done, failed, errored, timeout = (
        int(re.search(rf"(\d+) {word}", told)[1])  # type: ignore[index]
        for word in ("done", "failed", "errored", "timeout")
    )
    good = int(re.search(r"status codes: (\d+) 2xx", told)[1])  # type: ignore[index]
    return max(done - good, failed, errored + timeout), done


def _watch(door: Door, memory: list[int], stopping: threading.Event) -> None:
    while not stopping.wait(1):
        memory.append(resident_bytes(door))


def growth(memory: list[int]) -> float:
    """By how much the last tenth of the samples is above the second one: in the first one, caches fill."""
    tenth = max(1, len(memory) // 10)
    return statistics.median(memory[-tenth:]) / statistics.median(memory[tenth : 2 * tenth] or memory) - 1


def _p99_ms(door: Door) -> float:
    """The bound of the bucket that 99 % of the gateway's own times are within, in milliseconds."""
    with urlopen(f"http://127.0.0.1:{door.port}/metrics") as answer:
        text = answer.read().decode()
    buckets: dict[float, float] = {}
    for bound, count in re.findall(r'^btrst_http_request_seconds_bucket\{.*?le="([^"]+)".*?\} (\S+)$', text, re.M):
        buckets[float(bound)] = buckets.get(float(bound), 0.0) + float(count)
    most = buckets.get(float("inf"), 0.0)
    return round(1000 * min((bound for bound, count in buckets.items() if count >= 0.99 * most), default=0.0), 2)


def main() -> int:
    """Print h2load's report and the RESULT line; 1 when the promise does not hold or the soak cannot run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    given = parser.parse_args()
    try:
        found = soak(given.seconds)
    except PeerMissing as error:
        print(f"soak-gateway cannot run: {error}", file=sys.stderr)
        return 1
    print(f"RESULT {json.dumps(found)}")
    return int(found["failed_safe"] > 0 or found["rss_growth_percent"] >= 100 * MOST_GROWTH)


if __name__ == "__main__":
    sys.exit(main())

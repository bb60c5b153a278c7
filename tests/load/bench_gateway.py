"""`make bench-gateway`: CPU a request, beside nginx, HAProxy, Fastify and the gateway of the tutorials.

All doors stand before the same service (nginx, on the other core) and are measured in turns, several rounds in one
run, told as medians and ratios of CPU time: a shared machine's noise falls out. Ends with one line `RESULT {json}`.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.load.gateway.measure import Figures, Load, measure
from tests.load.gateway.peers import Door, Doors, PeerMissing, install

SMALL, LARGE = "/v1/things/small", "/v1/things/large"
MAIN = Load(SMALL, 32)
LOADS = (MAIN, Load(SMALL, 8), Load(SMALL, 128), Load(LARGE, 32))
SLOW = {"textbook"}
"""Measured under the main load only: the rest would take longer than everything else together."""

Found = dict[tuple[str, Load], list[Figures]]


def run(rounds: int, seconds: float, only: set[str]) -> dict[str, float]:
    """Start every door, measure in turns. Raises: PeerMissing."""
    console = Console(width=110)
    install()
    with tempfile.TemporaryDirectory(prefix="btrst-bench-", dir="/var/tmp") as name:
        Path(name).chmod(0o755)  # nginx's workers are another user
        with Doors(Path(name)) as doors:
            doors.start_upstream()
            makers = {
                "nginx": lambda: doors.nginx(duties=False),
                "nginx with duties": lambda: doors.nginx(duties=True),
                "haproxy with JWT": doors.haproxy,
                "fastify": doors.fastify,
                "textbook": doors.textbook,
                "ours, asgi": lambda: doors.ours("asgi"),
                "ours, lane": lambda: doors.ours("lane"),
            }
            started = [make() for name, make in makers.items() if not only or name in only]
            found = measure_all(started, rounds, seconds, console)
    show(found, console)
    return result(found)


def measure_all(doors: list[Door], rounds: int, seconds: float, console: Console) -> Found:
    """Every load on every door, in turns; the first round only warms up."""
    found: Found = defaultdict(list)
    for number in range(rounds + 1):
        for load in LOADS:
            for door in doors:
                if door.name in SLOW and load != MAIN:
                    continue
                figures = measure(door, load, seconds if number else 1)
                if number:
                    found[door.name, load].append(figures)
        console.print(f"round {number} of {rounds} done" if number else "warm", style="dim")
    return found


def cpu_us(found: Found, name: str, load: Load = MAIN) -> float:
    """The median; NaN for what was not measured."""
    values = [each.cpu_us for each in found.get((name, load), [])]
    return statistics.median(values) if values else float("nan")


def show(found: Found, console: Console) -> None:
    """Every median."""
    table = Table("door", "load", "CPU µs/request", "lowest", "highest", "× nginx", "requests/s", "p50 ms", "p99 ms")
    for (name, load), all_figures in sorted(found.items(), key=lambda item: LOADS.index(item[0][1])):
        spent = [each.cpu_us for each in all_figures]
        table.add_row(
            name,
            f"{load.path.rsplit('/', 1)[1]}, {load.connections}",
            *(f"{value:.1f}" for value in (statistics.median(spent), min(spent), max(spent))),
            f"{cpu_us(found, 'nginx', load) / statistics.median(spent):.3f}",
            f"{statistics.median(each.requests_per_second for each in all_figures):,.0f}",
            f"{statistics.median(each.p50_ms for each in all_figures):.2f}",
            f"{statistics.median(each.p99_ms for each in all_figures):.2f}",
        )
    console.print(table)


def result(found: Found) -> dict[str, float]:
    """The figures of the last line: ratios of CPU a request under the main load."""
    ours = cpu_us(found, "ours, lane")
    return {
        "ratio_vs_nginx": round(cpu_us(found, "nginx") / ours, 3),
        "ratio_vs_nginx_equal_duties": round(cpu_us(found, "nginx with duties") / ours, 3),
        "ratio_vs_haproxy_jwt": round(cpu_us(found, "haproxy with JWT") / ours, 2),
        "ratio_vs_fastify": round(cpu_us(found, "fastify") / ours, 2),
        "ratio_vs_textbook": round(cpu_us(found, "textbook") / ours, 1),
        "fallback_vs_nginx": round(cpu_us(found, "nginx") / cpu_us(found, "ours, asgi"), 3),
        "p99_ms": round(statistics.median(each.p99_ms for each in found["ours, lane", MAIN]), 2),
    }


def main() -> int:
    """Print the table and the RESULT line; 1 with one clear line when a peer cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--only", default="", help="names of doors, separated by semicolons")
    given = parser.parse_args()
    only = {name.strip() for name in given.only.split(";") if name.strip()}
    try:
        found = run(given.rounds, given.seconds, only)
    except PeerMissing as error:
        print(f"bench-gateway cannot run: {error}", file=sys.stderr)
        return 1
    print(f"RESULT {json.dumps(found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

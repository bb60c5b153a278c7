"""A second set of the four services beside a running network's: same databases, same bus, same groups, other ports."""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chassis.http import HttpClient, HttpUnavailable
from scripts.api import eventually
from scripts.processes import Managed, service_command, stop_all
from tests.e2e.network import Network, free_port

SERVICES = ("identity", "jobs", "rewards", "governance")
_SAMPLE = re.compile(r"^(?P<name>\w+)\{(?P<labels>[^}]*)\} (?P<value>\S+)$", re.MULTILINE)


@dataclass(slots=True)
class Replicas:
    """The second set, which nobody supervises."""

    network: Network
    http: HttpClient
    names: Sequence[str] = SERVICES
    processes: dict[str, Managed] = field(default_factory=dict)

    async def come(self) -> None:
        """Start them, wait until they are ready."""
        for name in self.names:
            self.processes[name] = self._process(name)
            self.processes[name].start()
        for name, managed in self.processes.items():
            await eventually(
                f"the second {name} is ready", lambda managed=managed: self._is_ready(managed), seconds=120
            )

    def _process(self, name: str) -> Managed:
        port = free_port()
        environ = Path(f"/proc/{self.network.endpoints['pids'][name]}/environ").read_bytes()
        pairs = (entry.partition("=") for entry in environ.decode().split("\0") if entry)
        environment = {key: value for key, _, value in pairs} | {f"{name.upper()}_PORT": str(port)}
        log_path = self.network.run_folder / "logs" / f"{name}-2.log"
        return Managed(f"{name}-2", service_command(name), environment, log_path, port)

    async def _is_ready(self, managed: Managed) -> bool:
        assert managed.exited() is None, f"{managed.name} ended: {managed.last_words()}"
        with contextlib.suppress(HttpUnavailable):
            return (await self.http.get_json(f"{managed.url}/readyz")).status == 200
        return False

    async def go(self) -> None:
        """Stop them in order: each leaves its group."""
        await asyncio.to_thread(stop_all, list(self.processes.values()))
        assert {managed.exited() for managed in self.processes.values()} == {0}

    def die(self) -> None:
        """SIGKILL them: their group has to find out."""
        for managed in self.processes.values():
            if managed.exited() is None and managed.process is not None:
                managed.process.kill()
                managed.process.wait()


@asynccontextmanager
async def second_set(network: Network, http: HttpClient, *, names: Sequence[str] = SERVICES) -> AsyncIterator[Replicas]:
    """The second set, gone at the end in whatever way."""
    replicas = Replicas(network, http, names)
    try:
        yield replicas
    finally:
        replicas.die()


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """SIGSTOP a process for as long as the block runs."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def consumed(http: HttpClient, url: str) -> dict[str, int]:
    """What became of the events that one process has read since it started: outcome → how many."""
    text = (await http.get_json(f"{url}/metrics")).body.decode()
    found: dict[str, int] = {}
    for sample in _SAMPLE.finditer(text):
        outcome = re.search(r'outcome="(\w+)"', sample["labels"])
        if sample["name"] == "btrst_consumer_events_total" and outcome:
            found[outcome[1]] = found.get(outcome[1], 0) + int(float(sample["value"]))
    return found

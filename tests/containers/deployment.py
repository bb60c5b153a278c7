"""The network of the compose file on a real engine, driven as an operator drives it: `make up`, `make down`."""

import json
import os
import subprocess
from dataclasses import dataclass, field
from typing import Any

from chassis.embedded_postgres import free_port
from tests.containers.compose_file import ROOT

PROJECT = "btrst-lane"


class CommandFailed(AssertionError):
    """What a command printed when it failed."""


@dataclass
class Deployment:
    """One deployment with ports of its own."""

    compose: str
    gateway_port: int = field(default_factory=free_port)
    chain_port: int = field(default_factory=free_port)
    kafka_port: int = field(default_factory=free_port)

    @property
    def gateway_url(self) -> str:
        return f"http://127.0.0.1:{self.gateway_port}"

    @property
    def rpc_url(self) -> str:
        return f"http://127.0.0.1:{self.chain_port}"

    @property
    def bus_url(self) -> str:
        return f"kafka://127.0.0.1:{self.kafka_port}"

    @property
    def environment(self) -> dict[str, str]:
        ports = {"GATEWAY_PORT": self.gateway_port, "CHAIN_PORT": self.chain_port, "KAFKA_PORT": self.kafka_port}
        names = {"NETWORK_IMAGE": "btrst-network:lane", "CHAIN_IMAGE": "btrst-chain:lane"}
        told = {name: str(port) for name, port in ports.items()} | names
        return os.environ | told | {"COMPOSE_PROJECT_NAME": PROJECT, "COMPOSE_PROGRESS": "plain"}

    def run(self, *command: str, seconds: float = 120) -> str:
        """What a command printed. Raises: CommandFailed."""
        ended = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=seconds, check=False
        )
        if ended.returncode:
            raise CommandFailed(f"{' '.join(command)}: {ended.returncode}\n{(ended.stdout + ended.stderr)[-4000:]}")
        return ended.stdout

    def up(self) -> None:
        """`make up`; the logs of what did not come up when it fails."""
        try:
            self.run("make", "up", f"COMPOSE={self.compose}", seconds=1_500)
        except CommandFailed as error:
            logs = self.run(*self.compose.split(), "logs", "--no-color", "--tail", "15")
            raise CommandFailed(f"{error}\n{logs[-8000:]}") from None

    def down(self) -> None:
        """`make down`."""
        self.run("make", "down", f"COMPOSE={self.compose}", seconds=300)

    def remove(self) -> None:
        """Everything of it, the volumes too."""
        self.run(*self.compose.split(), "down", "--volumes", "--timeout", "5", seconds=300)

    def inspect(self) -> dict[str, dict[str, Any]]:
        """Service → what the engine knows of its container."""
        ids = self.run("docker", "ps", "-aq", "--filter", f"label=com.docker.compose.project={PROJECT}").split()
        if not ids:
            return {}
        found = json.loads(self.run("docker", "inspect", *ids))
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found}

    def health(self) -> dict[str, str]:
        """Service → what its health check says, of those that have one."""
        found = {name: one["State"].get("Health") for name, one in self.inspect().items()}
        return {name: health["Status"] for name, health in found.items() if health}

    def volumes(self) -> set[str]:
        """The names of its volumes."""
        told = self.run("docker", "volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={PROJECT}")
        return set(told.split())

    def shell(self, service: str, script: str) -> str:
        """What a shell script printed inside a container, on both channels, whether or not it failed."""
        container = self.inspect()[service]["Id"]
        ended = subprocess.run(
            ["docker", "exec", container, "sh", "-c", script],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return ended.stdout + ended.stderr

"""The whole network on one machine: embedded PostgreSQL, the bus, the local chain, four services and the gateway.

What runs where is in `.run/endpoints.json` while it runs.
"""

import asyncio
import errno
import json
import os
import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
from eth_account import Account

from chassis import migrations
from chassis.embedded_postgres import Cluster, PostgresUnusable, free_port, state_folder
from chassis.http import HttpClient, HttpUnavailable
from chassis.kafka_jars import KafkaUnusable
from chassis.localchain import LocalChain, LocalChainError
from chassis.testing import with_database
from scripts.deploy_contracts import Deployment, deploy
from scripts.processes import Managed, inherited, service_command, stop_all
from scripts.secrets_file import Secrets, load_or_make, write_private
from scripts.stack_bus import BusChoice, BusUnusable, StackBus

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("identity", "jobs", "rewards", "governance")
RESTART_SECONDS = 0.2
ETHER_WEI = 10**18


class StackUnusable(Exception):
    """The network cannot run here; the message is one line that says what to do."""


@dataclass(slots=True)
class Stack:
    """A running network. `start`, then `supervise` until told otherwise, then `stop`."""

    run_folder: Path = ROOT / ".run"
    gateway_port: int = 8080
    split_roles: bool = False
    """Each service as an api and a worker process, as an orchestrator runs them."""

    say: Callable[[str], None] = print
    bus_choice: BusChoice = field(default_factory=BusChoice)
    bus: StackBus = field(init=False)
    secrets: Secrets = field(init=False)
    deployment: Deployment = field(init=False)
    processes: dict[str, Managed] = field(default_factory=dict)
    dsns: dict[str, str] = field(default_factory=dict)
    _cluster: Cluster | None = None
    _chain: LocalChain | None = None
    _stopping: bool = False
    _owns_folder: bool = False

    def __post_init__(self) -> None:
        self.bus = StackBus(self.run_folder, self.bus_choice, self.say)

    @property
    def gateway_url(self) -> str:
        """Where the front door is."""
        return f"http://127.0.0.1:{self.gateway_port}"

    @property
    def rpc_url(self) -> str:
        """The node's own address."""
        assert self._chain is not None
        return self._chain.url

    @property
    def endpoints_path(self) -> Path:
        """The file that says what runs where."""
        return self.run_folder / "endpoints.json"

    async def start(self) -> None:
        """Start everything; returns when the gateway is ready.

        Raises: StackUnusable.
        """
        try:
            self._prepare_folder()
            self._refuse_taken_port()
            self.bus.launch()
            await self._start_database()
            await self._start_chain()
            await self.bus.ready(self.dsns["events"])
            await self._start_services()
        except (PostgresUnusable, LocalChainError, KafkaUnusable, BusUnusable) as error:
            raise StackUnusable(str(error)) from error
        except OSError as error:
            raise StackUnusable(self._explain(error)) from error
        self._write_endpoints()

    def _explain(self, error: OSError) -> str:
        if error.errno == errno.ENOSPC:
            return f"the disk of {self.run_folder} is full: free some space, or set RUN_DIR to a folder elsewhere"
        return (
            f"cannot use {error.filename or self.run_folder}: {error.strerror or error}; set RUN_DIR to another folder"
        )

    def _prepare_folder(self) -> None:
        self.run_folder.mkdir(parents=True, exist_ok=True)
        lock = self.run_folder / "supervisor.pid"
        if lock.exists() and _is_supervisor(lock.read_text().strip()):
            raise StackUnusable(
                f"the network of {self.run_folder} runs already (pid {lock.read_text().strip()}): stop it"
            )
        lock.write_text(str(os.getpid()))
        self._owns_folder = True
        self.endpoints_path.unlink(missing_ok=True)
        probe = self.run_folder / ".space"
        probe.write_bytes(b"\0" * 1_000_000)  # a full disk shows here, in one line
        probe.unlink()
        secrets = self.run_folder / "secrets.json"
        left_over = state_folder(self.run_folder)
        if not secrets.exists() and left_over != self.run_folder and left_over.exists():
            self.say(f"{self.run_folder} is new: removing the database that an earlier one left in {left_over}")
            shutil.rmtree(left_over)
        self.secrets = load_or_make(secrets)

    def _refuse_taken_port(self) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.gateway_port))
            except OSError as error:
                raise StackUnusable(
                    f"port {self.gateway_port} is taken ({error.strerror}): free it, or set GATEWAY_PORT to another"
                ) from error

    async def _start_database(self) -> None:
        server = os.environ.get("DATABASE_URL")
        if server is None:
            folder = state_folder(self.run_folder)
            self._cluster = Cluster(folder)
            self._cluster.start()
            server = self._cluster.dsn()
            link = self.run_folder / "database"
            if folder != self.run_folder and not link.is_symlink():
                link.symlink_to(folder)
        try:
            for name in (*SERVICES, "events"):
                self.dsns[name] = await _ensure_database(server, f"btrst_{name}")
        except (OSError, asyncpg.PostgresError, ValueError) as error:
            raise StackUnusable(f"DATABASE_URL does not lead to a usable PostgreSQL: {error}") from error
        for name in SERVICES:
            await asyncio.to_thread(migrations.upgrade, self.dsns[name], ROOT / "services" / name / "migrations")
        self.say("PostgreSQL is up, every service has its own database")

    async def _start_chain(self) -> None:
        self._chain = LocalChain(
            self.run_folder / "chain",
            port=int(os.environ.get("CHAIN_PORT", "0")),
            deadlines_file=self.run_folder / "chain-deadlines",
        )
        await self._chain.start()
        url = self._chain.url
        accounts = {name: Account.from_key(key).address for name, key in self.secrets["keys"].items()}
        await self._fund(url, list(accounts.values()))
        self.deployment = await deploy(
            url,
            self.secrets["keys"]["deployer"],
            signer_address=accounts["rewards_signer"],
            submitter_address=accounts["governance_relay"],
            guardian_address=accounts["guardian"],
            record=self.run_folder / "deployment.json",
        )
        await self._chain.saved()  # or killing the node now would undo the deployment
        for name in ("rewards_signer", "governance_relay"):
            write_private(self.run_folder / f"{name}.key", self.secrets["keys"][name])
        self.say("The local chain is up, the contracts are deployed, the deployer holds no role")

    async def _fund(self, url: str, addresses: list[str]) -> None:
        """Ether for gas, which the local chain gives away."""
        async with HttpClient() as http:
            for number, address in enumerate(addresses):
                params = [address, hex(1_000 * ETHER_WEI)]
                call = {"jsonrpc": "2.0", "id": number, "method": "anvil_setBalance", "params": params}
                await http.post_json(url, call)

    async def _start_services(self) -> None:
        ports = {name: free_port() for name in SERVICES} | {"gateway": self.gateway_port}
        environment = self._environment(ports)
        for name, port in ports.items():
            if self.split_roles and name in SERVICES:
                self._add_process(name, service_command(name), without_keys(environment) | {"ROLE": "api"}, port)
                at = {"ROLE": "worker", f"{name.upper()}_PORT": str(other := free_port())}
                self._add_process(f"{name}-worker", service_command(name), environment | at, other)
            else:
                self._add_process(name, service_command(name), environment, port)
        for managed in self.processes.values():
            await self._until_ready(managed)
        self.say("Four services and the gateway are ready")

    def _add_process(self, name: str, command: list[str], environment: dict[str, str], port: int) -> None:
        log_path = self.run_folder / "logs" / f"{name}.log"
        self.processes[name] = Managed(name, command, environment, log_path, port)
        self.processes[name].start()

    def _environment(self, ports: dict[str, int]) -> dict[str, str]:
        assert self._chain is not None
        at = self.deployment["contracts"]
        ours = {
            "ENVIRONMENT": "development",
            "BUS_URL": self.bus.url(self.dsns["events"]),
            **self.bus.settings,
            "PUBLIC_URL": self.gateway_url,
            "INTERNAL_SECRET": self.secrets["internal_secret"],
            "CHAIN_RPC_URLS": self._chain.url,
            "CHAIN_DEADLINES_FILE": str(self.run_folder / "chain-deadlines"),
            "IDENTITY_KEY_SECRET": self.secrets["identity_key_secret"],
            "IDENTITY_ADMIN_EMAIL": self.secrets["admin_email"],
            "IDENTITY_ADMIN_PASSWORD": self.secrets["admin_password"],
            "IDENTITY_CHAIN_ID": str(self.deployment["chain_id"]),
            "REWARDS_SIGNER_KEY_FILE": str(self.run_folder / "rewards_signer.key"),
            "REWARDS_FIXED_PRICE_USD_E8": "50000000",
            "REWARDS_BTRST_ADDRESS": at["btrst"],
            "REWARDS_MINTER_ADDRESS": at["rewards_minter"],
            "GOVERNANCE_SIGNER_KEY_FILE": str(self.run_folder / "governance_relay.key"),
            "GOVERNANCE_BTRST_ADDRESS": at["btrst"],
            "GOVERNANCE_GOVERNOR_ADDRESS": at["governor"],
            "GOVERNANCE_PARAMETERS_ADDRESS": at["network_parameters"],
            "GATEWAY_PORT": str(self.gateway_port),
        }
        for name in ("rewards", "governance"):
            ours[f"{name.upper()}_START_BLOCK"] = str(self.deployment["block"])
        for name in SERVICES:
            ours[f"{name.upper()}_DATABASE_URL"] = self.dsns[name]
            ours[f"{name.upper()}_PORT"] = str(ports[name])
            ours[f"{name.upper()}_URL"] = f"http://127.0.0.1:{ports[name]}"
        return {"PYTHONPATH": str(ROOT), **ours, **inherited(os.environ)}

    async def _until_ready(self, managed: Managed, *, seconds: float = 90.0) -> None:
        deadline = time.monotonic() + seconds
        async with HttpClient(timeout_seconds=2.0) as http:
            while time.monotonic() < deadline:
                if managed.exited() is not None:
                    raise StackUnusable(f"{managed.name} stopped at once: {managed.last_words()} ({managed.log_path})")
                try:
                    if (await http.get_json(f"{managed.url}/readyz")).status == 200:
                        return
                except HttpUnavailable:
                    pass
                await asyncio.sleep(0.05)
        raise StackUnusable(f"{managed.name} was not ready within {seconds:.0f} s; see {managed.log_path}")

    def _write_endpoints(self) -> None:
        assert self._chain is not None
        told = {
            "mode": self.bus_choice.mode,
            "gateway": self.gateway_url,
            "services": {name: self.processes[name].url for name in SERVICES},
            "metrics": {name: f"{managed.url}/metrics" for name, managed in self.processes.items()},
            "pids": {name: managed.pid for name, managed in self.processes.items()},
            "infrastructure": {
                "postgres": self._cluster.pid if self._cluster else None,
                "anvil": self._chain.pid,
                **self.bus.pids,
            },
            "rpc": self._chain.url,
            "chain_id": self.deployment["chain_id"],
            "contracts": self.deployment["contracts"],
            "dsn": self.dsns,
            "kafka": self.bus.address,
            "admin": {"email": self.secrets["admin_email"], "password": self.secrets["admin_password"]},
        }
        write_private(self.endpoints_path, json.dumps(told, indent=2))

    async def supervise(self) -> None:
        """Start again whatever dies, on the same port, for as long as this is not cancelled."""
        while not self._stopping:
            ended = [managed for managed in self.processes.values() if managed.exited() is not None]
            for managed in ended:
                self.say(f"{managed.name} ended ({managed.exited()}); starting it again")
                managed.start()
            if ended or await self._revive_infrastructure():
                self._write_endpoints()
            await asyncio.sleep(RESTART_SECONDS)

    async def _revive_infrastructure(self) -> bool:
        """Start the broker, the node or the database again if it has ended; True when one had."""
        revived = self.bus.relaunch()
        if self._chain is not None and not self._chain.is_running:
            self.say("the node ended; starting it again on its saved state")
            await self._chain.stop()
            await self._chain.start()
            revived = True
        if self._cluster is not None and self._cluster.has_ended:
            self.say("PostgreSQL ended; starting it again")
            self._cluster.start(port=self._cluster.port)
            revived = True
        return revived

    async def stop(self) -> None:
        """Stop everything in the reverse order; what was committed stays for the next run."""
        self._stopping = True
        if self._owns_folder:  # else another supervisor's network runs there
            self.endpoints_path.unlink(missing_ok=True)
        await asyncio.to_thread(stop_all, list(self.processes.values()))
        if self._chain is not None:
            await self._chain.stop()
        await self.bus.stop()
        if self._cluster is not None:
            await asyncio.to_thread(self._cluster.stop)
        if self._owns_folder:
            (self.run_folder / "supervisor.pid").unlink(missing_ok=True)


def without_keys(environment: dict[str, str]) -> dict[str, str]:
    """What an api process is told: everything but where the signers' keys are."""
    return {name: value for name, value in environment.items() if not name.endswith("_SIGNER_KEY_FILE")}


def _is_supervisor(pid: str) -> bool:
    """True when `pid` is another process that runs this program."""
    command = Path("/proc") / pid / "cmdline"
    if not pid.isdigit() or int(pid) == os.getpid() or not command.exists():
        return False
    return b"scripts." in command.read_bytes()


async def _ensure_database(server_dsn: str, name: str) -> str:
    connection = await asyncpg.connect(server_dsn)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
    return with_database(server_dsn, name)

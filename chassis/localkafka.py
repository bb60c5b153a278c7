"""The local Apache Kafka of development and tests: one broker or a cluster (KRaft), each a child process on loopback.

Every broker is a controller too. Its data and its log are below the folder, and outlive a stop or a kill.
"""

import base64
import random
import signal
import socket
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from types import TracebackType
from typing import Self

from chassis.kafka_broker import Broker, last_error
from chassis.kafka_jars import KafkaUnusable, ensure_jars, find_java, reason_unusable

__all__ = ["Broker", "KafkaUnusable", "LocalKafka", "Secured", "reason_unusable"]

LARGEST_MESSAGE = 9 * 1024 * 1024  # above the 8 MiB of the dead-letter topics
_LOGGING = """\
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %c{1}: %m%n
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = INFO
"""


@dataclass(frozen=True, slots=True)
class Secured:
    """One more listener of every broker, for clients that bring a password or speak TLS.

    `protocol` is SSL, SASL_PLAINTEXT or SASL_SSL, `mechanisms` are PLAIN, SCRAM-SHA-256, SCRAM-SHA-512. `keystore`
    is a PEM file with the broker's key and certificates; with a `truststore` clients must show a certificate too.
    """

    protocol: str
    mechanisms: tuple[str, ...] = ()
    keystore: Path | None = None
    truststore: Path | None = None


class LocalKafka:
    """A cluster of `brokers` brokers with its data in `folder`. Topics are never created by themselves.

    Clients come in by the open listener, or by those of `secured` as one of `users` (name to password). `settings`
    are added to the brokers' configuration, or replace what is there.
    """

    def __init__(
        self,
        folder: Path,
        brokers: int = 1,
        *,
        secured: Sequence[Secured] = (),
        users: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        heap_mib: int = 256,
    ) -> None:
        self.folder = Path(folder).resolve()
        self._secured = tuple(secured)
        self._users = dict(users or {})
        self._settings = dict(settings or {})
        self._heap_mib = heap_mib
        self.brokers = [
            Broker(number, self.folder / f"broker-{number}", _quiet_ports(2 + len(self._secured)))
            for number in range(1, brokers + 1)
        ]

    @property
    def bootstrap(self) -> str:
        """The open listeners of all brokers: "host:port,host:port"."""
        return ",".join(broker.address for broker in self.brokers)

    @property
    def is_running(self) -> bool:
        """Whether every broker's process lives."""
        return all(broker.is_running for broker in self.brokers)

    def bootstrap_of(self, secured: Secured) -> str:
        """The same for one of the `secured` listeners."""
        place = 2 + self._secured.index(secured)
        return ",".join(f"127.0.0.1:{broker.ports[place]}" for broker in self.brokers)

    def start(self) -> str:
        """Make the data folders if they are not there yet and start all brokers; `bootstrap` once they serve.

        Raises: KafkaUnusable.
        """
        self.launch()
        self.wait()
        return self.bootstrap

    def launch(self) -> None:
        """The first half of `start`: everything but the waiting. Raises: KafkaUnusable."""
        java, jars = find_java(), ensure_jars()
        try:
            self._configure(java, jars)
            self._format(java, jars)
            for broker in self.brokers:
                broker.launch()
        except OSError as error:
            raise KafkaUnusable(f"Kafka cannot use {self.folder}: {error.strerror or error}") from error

    def wait(self) -> None:
        """The second half of `start`. Raises: KafkaUnusable."""
        try:
            for broker in self.brokers:
                broker.wait()
        except KafkaUnusable:
            self.kill()
            raise

    def relaunch(self) -> bool:
        """Start every broker again that has ended, without waiting until it serves; True when one had."""
        ended = [broker for broker in self.brokers if not broker.is_running]
        for broker in ended:
            broker.launch()
        return bool(ended)

    def revive(self) -> bool:
        """The same, and wait until they serve. Raises: KafkaUnusable."""
        ended = [broker for broker in self.brokers if not broker.is_running]
        self.relaunch()
        for broker in ended:
            broker.wait()
        return bool(ended)

    def stop(self) -> None:
        """Stop all brokers in order, together; what was acknowledged stays for the next start."""
        for broker in self.brokers:
            if broker.is_running and broker.process is not None:
                broker.process.send_signal(signal.SIGTERM)
        for broker in self.brokers:
            broker.stop()

    def kill(self) -> None:
        """SIGKILL to all brokers."""
        for broker in self.brokers:
            broker.kill()

    def remove(self) -> None:
        """Kill all brokers, and delete the folder with all it holds."""
        self.kill()
        rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _configure(self, java: str, jars: Path) -> None:
        for broker in self.brokers:
            broker.folder.mkdir(parents=True, exist_ok=True)
            settings = self._broker_settings(broker) | self._settings
            told = "".join(f"{name}={value}\n" for name, value in settings.items())
            _write_private(broker.folder / "server.properties", told)
            (broker.folder / "log4j2.properties").write_text(_LOGGING)
            broker.command = [
                *self._java(java, jars, broker),
                *("kafka.Kafka", str(broker.folder / "server.properties")),
            ]

    def _java(self, java: str, jars: Path, broker: Broker) -> list[str]:
        """Quick to start and small: one compiler tier, one collector thread."""
        logging = f"-Dlog4j2.configurationFile={broker.folder / 'log4j2.properties'}"
        memory = ["-Xms64m", f"-Xmx{self._heap_mib}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
        return [java, *memory, "-XX:+ExitOnOutOfMemoryError", logging, "-cp", f"{jars}/*"]

    def _format(self, java: str, jars: Path) -> None:
        """Make the data folders that are not there; one that was left half made is made again."""
        cluster_id = self._cluster_id()
        running = []
        for broker in self.brokers:
            if (broker.folder / "formatted").exists():
                continue
            rmtree(broker.folder / "data", ignore_errors=True)
            command = [*self._java(java, jars, broker), "kafka.tools.StorageTool", "format", "--cluster-id", cluster_id]
            command += ["--config", str(broker.folder / "server.properties"), *self._scram_arguments()]
            process = subprocess.Popen(  # noqa: S603
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=broker.folder
            )
            running.append((broker, process))
        for broker, process in running:
            told, _ = process.communicate()
            if process.returncode != 0:
                raise KafkaUnusable(
                    f"Kafka could not make its data folder {broker.folder / 'data'}: {last_error(told)}"
                )
            (broker.folder / "formatted").touch()

    def _cluster_id(self) -> str:
        path = self.folder / "cluster-id"
        if not path.exists() or path.read_text().startswith("-"):
            path.write_text(new_cluster_id())
        return path.read_text()

    def _scram_arguments(self) -> list[str]:
        mechanisms = {name for secured in self._secured for name in secured.mechanisms if name.startswith("SCRAM")}
        return [
            part
            for mechanism in sorted(mechanisms)
            for user, password in self._users.items()
            for part in ("--add-scram", f"{mechanism}=[name={user},password={password}]")
        ]

    def _broker_settings(self, broker: Broker) -> dict[str, str]:
        names = ["PLAINTEXT", "CONTROLLER", *(f"SECURED{place}" for place in range(len(self._secured)))]
        protocols = ["PLAINTEXT", "PLAINTEXT", *(secured.protocol for secured in self._secured)]
        listeners = [f"{name}://127.0.0.1:{port}" for name, port in zip(names, broker.ports, strict=True)]
        copies = str(min(3, len(self.brokers)))
        return {
            "process.roles": "broker,controller",
            "node.id": str(broker.number),
            "controller.quorum.voters": ",".join(f"{each.number}@127.0.0.1:{each.ports[1]}" for each in self.brokers),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listeners": ",".join(listeners),
            "listener.security.protocol.map": ",".join(f"{n}:{p}" for n, p in zip(names, protocols, strict=True)),
            "log.dirs": str(broker.folder / "data"),
            "default.replication.factor": copies,
            "min.insync.replicas": "2" if len(self.brokers) > 2 else "1",
            "offsets.topic.replication.factor": copies,
            # A broker that was killed may come back only when its old session is over.
            "broker.session.timeout.ms": "6000" if len(self.brokers) > 1 else "1500",
            **_SETTINGS,
            **self._security_settings(),
        }

    def _security_settings(self) -> dict[str, str]:
        told: dict[str, str] = {}
        for place, secured in enumerate(self._secured):
            name = f"listener.name.secured{place}"
            if secured.mechanisms:
                told[f"{name}.sasl.enabled.mechanisms"] = ",".join(secured.mechanisms)
            for mechanism in secured.mechanisms:
                told[f"{name}.{mechanism.lower()}.sasl.jaas.config"] = self._login_module(mechanism)
            if secured.keystore is not None:
                told[f"{name}.ssl.keystore.type"] = "PEM"
                told[f"{name}.ssl.keystore.location"] = str(secured.keystore)
            if secured.truststore is not None:
                told[f"{name}.ssl.truststore.type"] = "PEM"
                told[f"{name}.ssl.truststore.location"] = str(secured.truststore)
                told[f"{name}.ssl.client.auth"] = "required"
        return told

    def _login_module(self, mechanism: str) -> str:
        package = "org.apache.kafka.common.security"
        if mechanism == "PLAIN":
            known = " ".join(f'user_{user}="{password}"' for user, password in self._users.items())
            return f"{package}.plain.PlainLoginModule required {known};"
        return f"{package}.scram.ScramLoginModule required;"


# Source: the names and meanings are Apache Kafka's broker configurations, 4.3.
_SETTINGS = {
    "auto.create.topics.enable": "false",
    "num.partitions": "6",
    "message.max.bytes": str(LARGEST_MESSAGE),
    "replica.fetch.max.bytes": str(LARGEST_MESSAGE),
    "log.segment.bytes": str(16 * 1024 * 1024),
    "log.retention.bytes": str(128 * 1024 * 1024),
    "log.retention.ms": "-1",
    "log.index.size.max.bytes": str(256 * 1024),
    "log.cleaner.dedupe.buffer.size": str(8 * 1024 * 1024),
    "offsets.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "500",
    "broker.heartbeat.interval.ms": "250",
    "metadata.max.idle.interval.ms": "5000",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
}


def _quiet_ports(count: int) -> list[int]:
    """Free TCP ports of loopback below those that the kernel gives to clients.

    A client that calls a broker which is down must never be given the broker's own port: it would answer itself, and
    the broker could not come back.
    """
    probes: list[socket.socket] = []
    try:
        while len(probes) < count:
            probe = socket.socket()
            try:
                probe.bind(("127.0.0.1", random.randint(20_000, 32_000)))  # noqa: S311 - no secret
            except OSError:
                probe.close()
                continue
            probes.append(probe)
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)


def new_cluster_id() -> str:
    """A random id in base64url. None begins with a hyphen, which Kafka's tools take for an option.

    Source: org.apache.kafka.common.Uuid#randomUuid does the same.
    """
    while (made := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return made

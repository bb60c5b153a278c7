"""Which bus a running network has: the log in PostgreSQL, a Kafka broker of its own, or the one that BUS_URL names."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from chassis.bus import BusUnavailable, bus_from_url
from chassis.localkafka import LocalKafka
from events.registry import TOPICS
from scripts.secrets_file import write_private

MODES = ("embedded", "kafka")
EMBEDDED = "embedded"


class BusUnusable(Exception):
    """The network cannot have this bus; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class BusChoice:
    """What the environment asks for: MODE, BUS_URL, and KAFKA_BROKERS for a cluster of our own."""

    mode: str = EMBEDDED
    url: str | None = None
    """Somebody else's bus; None for our own."""

    brokers: int = 1

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "BusChoice":
        """What the environment says. Raises: BusUnusable when it makes no sense."""
        url = environment.get("BUS_URL") or None
        names_kafka = url is not None and url.startswith("kafka://")
        mode = environment.get("MODE") or ("kafka" if names_kafka else EMBEDDED)
        if mode not in MODES:
            raise BusUnusable(f"MODE={mode} is not known: leave it out, or set it to embedded or kafka")
        if url is not None and names_kafka != (mode == "kafka"):
            raise BusUnusable(f"MODE={mode} and BUS_URL={urlsplit(url).scheme}://… contradict each other: unset one")
        if url is not None and not url.startswith(
            ("kafka://", "postgresql://", "postgres://", "postgresql+asyncpg://")
        ):
            raise BusUnusable("BUS_URL must begin with kafka:// or postgresql://")
        brokers = environment.get("KAFKA_BROKERS") or "1"
        if brokers not in {"1", "3"}:
            raise BusUnusable(f"KAFKA_BROKERS must be 1 or 3, not {brokers!r}")
        return cls(mode, url, int(brokers))


@dataclass(slots=True)
class StackBus:
    """The bus of one run folder. `launch`, do something else, `ready`; `relaunch` now and then; `stop`."""

    run_folder: Path
    choice: BusChoice
    say: Callable[[str], None]
    kafka: LocalKafka | None = field(default=None, init=False)

    @property
    def address(self) -> str | None:
        """The brokers, "host:port,host:port", in mode kafka."""
        if self.kafka is not None:
            return self.kafka.bootstrap
        return urlsplit(self.choice.url or "").netloc or None if self.choice.mode == "kafka" else None

    def url(self, log_dsn: str) -> str:
        """The services' BUS_URL; `log_dsn` is the database of the log in mode embedded."""
        if self.choice.url is not None:
            return self.choice.url
        return f"kafka://{self.address}" if self.kafka is not None else log_dsn

    @property
    def settings(self) -> dict[str, str]:
        """More of the services' settings."""
        copies = min(3, len(self.kafka.brokers)) if self.kafka is not None else 1
        return {"KAFKA_REPLICATION_FACTOR": str(copies)} if self.kafka is not None else {}

    @property
    def pids(self) -> dict[str, int | None]:
        """The processes of our own brokers: kafka, kafka-2, kafka-3."""
        brokers = self.kafka.brokers if self.kafka is not None else []
        return {"kafka" if broker.number == 1 else f"kafka-{broker.number}": broker.pid for broker in brokers}

    def launch(self) -> None:
        """Start our own broker if there is to be one; `ready` waits for it.

        Raises: BusUnusable when the folder's state belongs to another bus; KafkaUnusable.
        """
        self._keep_to_one_bus()
        if self.choice.mode == "kafka" and self.choice.url is None:
            self.kafka = LocalKafka(self.run_folder / "kafka", self.choice.brokers)
            self.kafka.launch()

    @property
    def _identity(self) -> str:
        """The bus in one word, without any password."""
        if self.choice.url is None:
            return self.choice.mode
        parts = urlsplit(self.choice.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def _keep_to_one_bus(self) -> None:
        """Each service's database knows how far it has read: on another bus that would skip what is there."""
        if not self._marker.exists():
            made_before = (self.run_folder / "deployment.json").exists()
            write_private(self._marker, EMBEDDED if made_before else "")  # empty until a bus was usable
        found = self._marker.read_text().strip()
        if found and found != self._identity:
            raise BusUnusable(
                f"the state of {self.run_folder} belongs to the bus {found}, not {self._identity}: "
                "set RUN_DIR to another folder, or remove it with `make clean`"
            )

    @property
    def _marker(self) -> Path:
        return self.run_folder / "bus"

    async def ready(self, log_dsn: str) -> None:
        """Wait for our own broker; then make sure that any bus but our own log takes us and has every topic.

        Raises: BusUnusable, KafkaUnusable.
        """
        if self.kafka is not None:
            await asyncio.to_thread(self.kafka.wait)
        if self.choice.mode == "kafka" or self.choice.url is not None:
            await self._make_topics(self.url(log_dsn))
        write_private(self._marker, self._identity)

    async def _make_topics(self, url: str) -> None:
        if self.choice.mode == EMBEDDED and not _has_port(
            url
        ):  # what is wrong with it must not be shown: it may be a part of the password
            raise BusUnusable(
                "BUS_URL does not lead to a usable bus: it must be like postgresql://user:password@host/db"
            )
        try:
            bus = bus_from_url(url)
            try:
                await bus.create_topics(TOPICS)
            finally:
                await bus.close()
        except (BusUnavailable, ValueError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise BusUnusable(f"BUS_URL does not lead to a usable bus: {reason}") from error
        if self.choice.mode == "kafka":
            whose = "its own broker" if self.kafka is not None else f"the brokers at {self.address}"
            self.say(f"Apache Kafka is up ({whose}), every topic is there")
        else:
            self.say(f"The log at {self._identity} is up, every topic is there")

    def relaunch(self) -> bool:
        """Start again each broker of ours that has ended, without waiting for it; True when one had."""
        if self.kafka is None or not self.kafka.relaunch():
            return False
        self.say("a Kafka broker ended; starting it again on its data")
        return True

    async def stop(self) -> None:
        """Stop our own broker in order."""
        if self.kafka is not None:
            await asyncio.to_thread(self.kafka.stop)


def _has_port(url: str) -> bool:
    """False when something else is where a port should be, such as what comes before a "/" in a password."""
    try:
        _ = urlsplit(url).port
    except ValueError:
        return False
    return True

"""How the brokers are reached: addresses, TLS, log-in, patience; and what is wrong, in one line, when they are not."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import errors
from aiokafka.conn import create_conn
from aiokafka.protocol.metadata import MetadataRequest

from chassis.bus import BusUnavailable
from chassis.settings import KafkaSettings
from chassis.telemetry import log


@dataclass(frozen=True, slots=True)
class Timing:
    """How patient the clients are, in seconds. Tests are less so."""

    session_seconds: float = 10.0
    """A member that sends no heartbeat for so long is out of its group."""

    heartbeat_seconds: float = 2.0
    """How often a member shows that it lives; it hears of a change in its group then, too."""

    drain_seconds: float = 10.0
    """How long a hand-over waits for the batch in flight; after it the others go on without this member."""

    join_seconds: float = 5.0
    """How long `consume` waits for the first partitions; they may come later."""

    request_seconds: float = 10.0
    """A broker that has not answered by then is taken for dead."""

    create_seconds: float = 30.0
    """How long the making of topics may take: each of their partitions is a folder and needs a leader."""

    publish_seconds: float = 20.0
    """How long a `publish` goes on trying."""

    metadata_seconds: float = 30.0
    """How old the knowledge of topics and leaders may become without a reason to renew it."""

    stall_seconds: float = 20.0
    """A member that got nothing for so long although there is something is made anew."""

    @property
    def rebalance_seconds(self) -> float:
        """How long the broker waits for a member to join again: it may have a batch to finish first."""
        return self.drain_seconds + 5.0


class Background:
    """Endings that nobody should have to wait for: clients being closed, starts that came too late."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` to its end; what it raises is nobody's concern."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.info("kafka_ending_failed", error=repr(error)[:300])

    async def begin(
        self, start: Coroutine[Any, Any, None], stop: Callable[[], Awaitable[None]], fault: Callable[[], Awaitable[str]]
    ) -> None:
        """Run a client's `start`; if it fails or we no longer wait for it, the client is stopped. `fault` says why.

        Raises: BusUnavailable, with the reason when there is no way to the brokers.
        """
        task = asyncio.create_task(start)
        try:
            await asyncio.shield(task)
        except errors.KafkaConnectionError as error:
            self.spawn(_finish(task, stop))
            raise BusUnavailable(await fault()) from error
        except BaseException:
            self.spawn(_finish(task, stop))
            raise

    async def close(self, seconds: float = 5.0) -> None:
        """Wait for what still runs, but not for ever."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


async def _finish(task: asyncio.Task[None], stop: Callable[[], Awaitable[None]]) -> None:
    """Stop a client whose start runs or has failed. A start that is cut off in the middle would leave sockets."""
    try:
        await asyncio.wait({task}, timeout=20)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stop()


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the brokers are and how to get in."""

    servers: tuple[str, ...]
    options: dict[str, Any]
    """The keyword arguments that every aiokafka client takes."""

    timing: Timing
    background: Background = field(default_factory=Background)

    @property
    def name(self) -> str:
        """The brokers, for people."""
        return ",".join(self.servers)

    async def begin(self, start: Coroutine[Any, Any, None], stop: Callable[[], Awaitable[None]]) -> None:
        """Run a client's `start`. Raises: BusUnavailable, with the reason."""
        await self.background.begin(start, stop, self.fault)

    async def fault(self) -> str:
        """Why no client can be made: the first broker's answer to an attempt, in one line."""
        host, port = _split(self.servers[0])
        secure = {name: value for name, value in self.options.items() if name != "bootstrap_servers"}
        try:
            connection = await create_conn(host, port, request_timeout_ms=3_000, **secure)
            try:
                await connection.send(MetadataRequest([]))  # one that wants a log-in lets us ask for nothing before it
            finally:
                connection.close()
        except Exception as error:  # noqa: BLE001, RUF100 - whatever it is, it is what we are asked for
            return self._words(error)
        return f"Kafka at {self.name} answers, but not to every request"

    def _words(self, error: Exception) -> str:
        protocol, mechanism = self.options["security_protocol"], self.options.get("sasl_mechanism")
        user = self.options.get("sasl_plain_username")
        reasons: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
            (
                (errors.UnsupportedSaslMechanismError, errors.IllegalSaslStateError),
                f"does not offer {mechanism} (KAFKA_SASL_MECHANISM)",
            ),
            (
                (errors.SaslAuthenticationFailed, errors.AuthenticationFailedError),
                f"refuses the log-in of {user!r} by {mechanism} (KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD)",
            ),
            ((ssl.SSLCertVerificationError,), "shows a certificate that is not trusted (KAFKA_SSL_CA_FILE)"),
            ((ssl.SSLError,), f"does not speak TLS as {protocol} wants it (KAFKA_SECURITY_PROTOCOL)"),
            ((TimeoutError,), "does not answer"),
            (
                (errors.KafkaError, EOFError, ConnectionResetError, BrokenPipeError),
                f"hangs up on {protocol}: it wants another KAFKA_SECURITY_PROTOCOL, or a certificate",
            ),
        )
        reason = next((words for kinds, words in reasons if isinstance(error, kinds)), "cannot be reached")
        return f"Kafka at {self.servers[0]} {reason}: {str(error) or type(error).__name__}".replace("\n", " ")[:300]


def connection_of(url: str, settings: KafkaSettings, timing: Timing) -> Connection:
    """The brokers of `kafka://host:port[,host:port]` with the security of the settings; nothing is connected yet.

    Raises: ValueError, in one line, for settings that cannot work.
    """
    servers = tuple(server.strip() for server in url.removeprefix("kafka://").rstrip("/").split(","))
    for server in servers:
        _split(server)
    protocol = settings.kafka_security_protocol
    options: dict[str, Any] = {"bootstrap_servers": list(servers), "security_protocol": protocol}
    if protocol in {"SSL", "SASL_SSL"}:
        options["ssl_context"] = _tls(settings)
    if protocol.startswith("SASL_"):
        if not (settings.kafka_sasl_username and settings.kafka_sasl_password):
            raise ValueError(f"KAFKA_SECURITY_PROTOCOL={protocol} needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD")
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_sasl_username
        options["sasl_plain_password"] = settings.kafka_sasl_password
    return Connection(servers, options, timing)


def _split(server: str) -> tuple[str, int]:
    host, colon, port = server.rpartition(":")
    if not (host and colon and port.isdecimal()):
        raise ValueError(f"BUS_URL must be kafka://host:port[,host:port], but names {server[:80]!r}")
    return host.strip("[]"), int(port)


def _tls(settings: KafkaSettings) -> ssl.SSLContext:
    for name in ("kafka_ssl_ca_file", "kafka_ssl_cert_file", "kafka_ssl_key_file"):
        path = getattr(settings, name)
        if path and not Path(path).is_file():
            raise ValueError(f"{name.upper()} is not a file: {path}")
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ssl_ca_file or None)
        if settings.kafka_ssl_cert_file:
            context.load_cert_chain(settings.kafka_ssl_cert_file, settings.kafka_ssl_key_file or None)
    except (ssl.SSLError, OSError) as error:
        raise ValueError(f"the files of KAFKA_SSL_* cannot be used: {error}") from error
    return context


def unavailable(error: BaseException) -> BusUnavailable:
    """The bus's own word for what a client raised."""
    return BusUnavailable(f"Kafka: {type(error).__name__}: {error}".replace("\n", " ")[:300])


@asynccontextmanager
async def translated(seconds: float) -> AsyncIterator[None]:
    """Ends the block after `seconds`. Raises: BusUnavailable for that, and for every error of Kafka's inside."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise BusUnavailable(f"Kafka did not answer within {seconds:g} s") from error
    except (errors.KafkaError, OSError, errors.ConsumerStoppedError) as error:
        raise unavailable(error) from error

"""The local Apache Kafka: it keeps what it acknowledged over a kill, and says in one line why it cannot run."""

import asyncio
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import AuthenticationFailedError, KafkaConnectionError, UnknownTopicOrPartitionError

from chassis import kafka_jars
from chassis.kafka_broker import Broker
from chassis.kafka_jars import KAFKA_VERSION, KafkaUnusable, find_java
from chassis.localkafka import LocalKafka, Secured, new_cluster_id
from scripts import kafka_tools
from tests.chassis.certificates import write_certificates

PASSWORD = "correct horse"


async def create_topic(bootstrap: str, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def send(bootstrap: str, topic: str, *values: bytes, **security: Any) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, max_request_size=9_000_000, **security
    )
    try:
        await producer.start()
        for value in values:
            await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def read(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


@pytest.mark.kafka
class TestOneBroker:
    async def test_keeps_what_it_acknowledged_over_a_kill_and_a_new_supervisor(self, tmp_path: Path) -> None:
        kafka = LocalKafka(tmp_path)
        kafka.start()
        try:
            bootstrap = kafka.bootstrap
            await create_topic(bootstrap, "facts")
            await send(bootstrap, "facts", b"one", b"x" * 8_400_000)
            kafka.brokers[0].kill()
            assert not kafka.is_running
            assert kafka.revive()
            assert not kafka.revive()
            await send(bootstrap, "facts", b"three")
            kafka.stop()
            kafka = LocalKafka(tmp_path)
            kafka.start()
            values = await read(kafka.bootstrap, "facts", 3)
        finally:
            kafka.kill()
        assert [value[:5] for value in values] == [b"one", b"xxxxx", b"three"]
        assert len(values[1]) == 8_400_000

    async def test_frozen_it_keeps_a_client_waiting_and_goes_on_when_thawed(self, local_kafka: LocalKafka) -> None:
        await create_topic(local_kafka.bootstrap, "frozen")
        local_kafka.brokers[0].freeze()
        try:
            sending = asyncio.create_task(send(local_kafka.bootstrap, "frozen", b"after"))
            done, _ = await asyncio.wait([sending], timeout=1.0)
        finally:
            local_kafka.brokers[0].thaw()
        assert not done
        await sending
        assert await read(local_kafka.bootstrap, "frozen", 1) == [b"after"]

    async def test_makes_no_topic_by_itself(self, local_kafka: LocalKafka) -> None:
        with pytest.raises(UnknownTopicOrPartitionError):
            await send(local_kafka.bootstrap, "nobody-made-this", b"lost", request_timeout_ms=3_000)

    def test_dies_with_the_process_that_started_it(self, tmp_path: Path) -> None:
        program = (
            "import os, signal, sys; from pathlib import Path; from chassis.localkafka import LocalKafka;"
            f"kafka = LocalKafka(Path({str(tmp_path)!r})); kafka.launch(); kafka.brokers[0].freeze();"
            "print(kafka.brokers[0].pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
        )
        told = subprocess.run([".venv/bin/python", "-c", program], capture_output=True, text=True, check=False)
        process = Path(f"/proc/{told.stdout.strip()}/stat")
        deadline = time.monotonic() + 20
        while process.exists() and process.read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}:
            assert time.monotonic() < deadline, "the broker outlived its parent"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    write_certificates(folder)
    return folder


@pytest.fixture(scope="module")
def secured(certificates: Path) -> Iterator[tuple[LocalKafka, Secured, Secured]]:
    passwords = Secured("SASL_PLAINTEXT", ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"))
    tls = Secured("SSL", keystore=certificates / "server.pem", truststore=certificates / "ca.pem")
    kafka = LocalKafka(certificates / "kafka", secured=(passwords, tls), users={"jobs": PASSWORD})
    kafka.start()
    try:
        yield kafka, passwords, tls
    finally:
        kafka.kill()


@pytest.mark.kafka
class TestSecured:
    @pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
    async def test_passwords(self, secured: tuple[LocalKafka, Secured, Secured], mechanism: str) -> None:
        kafka, passwords, _ = secured
        topic = f"by-{mechanism}"
        await create_topic(kafka.bootstrap, topic)
        login = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": mechanism, "sasl_plain_username": "jobs"}
        await send(kafka.bootstrap_of(passwords), topic, b"in", **login, sasl_plain_password=PASSWORD)
        assert await read(kafka.bootstrap, topic, 1) == [b"in"]
        with pytest.raises((AuthenticationFailedError, KafkaConnectionError)):
            await send(kafka.bootstrap_of(passwords), topic, b"out", **login, sasl_plain_password="guess")

    async def test_certificates(self, secured: tuple[LocalKafka, Secured, Secured], certificates: Path) -> None:
        kafka, _, tls = secured
        await create_topic(kafka.bootstrap, "by-certificate")
        context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
        context.load_cert_chain(certificates / "client.pem")
        known = {"security_protocol": "SSL", "ssl_context": context}
        await send(kafka.bootstrap_of(tls), "by-certificate", b"in", **known)
        assert await read(kafka.bootstrap, "by-certificate", 1) == [b"in"]


@pytest.mark.kafka
def test_a_folder_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KafkaUnusable, match=r"Kafka cannot use .*file") as refused:
        LocalKafka(tmp_path / "file").start()
    assert "\n" not in str(refused.value)


@pytest.mark.kafka
def test_a_broken_setting_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(KafkaUnusable, match=r"num\.io\.threads") as refused:
        LocalKafka(tmp_path, settings={"num.io.threads": "-1"}).start()
    assert "\n" not in str(refused.value)


class TestMissing:
    def test_java(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("JAVA_HOME", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(KafkaUnusable, match="Java is missing: install Java 17"):
            find_java()

    def test_a_java_that_is_too_old(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        java = tmp_path / "bin" / "java"
        java.parent.mkdir()
        java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
        java.chmod(0o755)
        monkeypatch.setenv("JAVA_HOME", str(tmp_path))
        with pytest.raises(KafkaUnusable, match=r"needs Java 17 or newer, .* is 11"):
            find_java()

    def test_maven(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(kafka_jars, "JARS", tmp_path / "jars")
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(KafkaUnusable, match="Maven is missing"):
            kafka_jars.ensure_jars()

    def test_a_repository_that_does_not_answer(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        maven = tmp_path / "mvn"
        maven.write_text("#!/bin/sh\necho '[ERROR] Could not transfer artifact'\nexit 1\n")
        maven.chmod(0o755)
        monkeypatch.setattr(kafka_jars, "JARS", tmp_path / "jars")
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        with pytest.raises(KafkaUnusable, match=r"could not fetch .* Could not transfer artifact"):
            kafka_jars.ensure_jars()

    def test_the_tools_target_keeps_the_reason_and_does_not_fail(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        reason = tmp_path / "reason"
        monkeypatch.setattr(kafka_tools, "REASON_FILE", reason)
        monkeypatch.setattr(kafka_tools, "install_missing", lambda: None)
        monkeypatch.setenv("JAVA_HOME", str(tmp_path))
        kafka_tools.main(quiet=True)
        assert capsys.readouterr().out == ""
        kafka_tools.main()
        assert reason.read_text().startswith("Java is missing")
        assert "Kafka cannot run here: Java is missing" in capsys.readouterr().out

    def test_other_jars_than_the_pinned_ones(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        maven = tmp_path / "mvn"
        maven.write_text(f"#!/bin/sh\nmkdir -p {tmp_path}/jars\necho changed > {tmp_path}/jars/kafka-clients.jar\n")
        maven.chmod(0o755)
        monkeypatch.setattr(kafka_jars, "JARS", tmp_path / "jars")
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        with pytest.raises(KafkaUnusable, match=r"not the ones of jars.sha256"):
            kafka_jars.ensure_jars()


def test_the_version_is_the_one_of_the_pom() -> None:
    pom = ElementTree.parse("scripts/kafka/pom.xml").getroot()
    space = {"m": "http://maven.apache.org/POM/4.0.0"}
    pinned = {
        each.findtext("m:artifactId", "", space): each.findtext("m:version", "", space)
        for each in pom.iterfind("m:dependencies/m:dependency", space)
    }
    assert pinned["kafka_2.13"] == KAFKA_VERSION


def test_a_port_is_never_one_that_the_kernel_gives_to_clients(tmp_path: Path) -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    brokers: list[Broker] = LocalKafka(tmp_path, 3).brokers
    assert all(port < lowest for broker in brokers for port in broker.ports)


def test_no_cluster_id_looks_like_an_option() -> None:
    ids = {new_cluster_id() for _ in range(2_000)}
    assert len(ids) == 2_000
    assert [one for one in ids if one.startswith("-") or len(one) != 22] == []

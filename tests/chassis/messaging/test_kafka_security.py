"""Passwords and TLS: what lets a service in, and the one line that says why it is kept out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chassis.app import Service, create_app
from chassis.bus import BusUnavailable, Record, UnknownTopic, bus_from_url
from chassis.bus_kafka import KafkaBus
from chassis.db import Database
from chassis.ids import new_id
from chassis.localkafka import LocalKafka, Secured
from chassis.settings import KafkaSettings, ServiceSettings
from chassis.testing import eventually
from tests.chassis.certificates import write_certificates
from tests.chassis.messaging.kafka import FAST
from tests.chassis.messaging.samples import Recorder, metadata, read_all

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


class Lanes:
    """A broker with an open listener, one for passwords, one for certificates, one for passwords over TLS."""

    def __init__(self, folder: Path) -> None:
        write_certificates(folder)
        write_certificates(folder / "other")
        self.folder = folder
        keystore = folder / "server.pem"
        self.passwords = Secured("SASL_PLAINTEXT", mechanisms=("PLAIN", "SCRAM-SHA-256"))
        self.mutual = Secured("SSL", keystore=keystore, truststore=folder / "ca.pem")
        self.both = Secured("SASL_SSL", mechanisms=MECHANISMS, keystore=keystore)
        lanes = (self.passwords, self.mutual, self.both)
        self.kafka = LocalKafka(
            folder / "kafka",
            secured=lanes,
            users={"jobs": "a secret of jobs"},
            settings={"auto.create.topics.enable": "true"},
        )

    def url(self, lane: Secured | None) -> str:
        return "kafka://" + (self.kafka.bootstrap if lane is None else self.kafka.bootstrap_of(lane))

    def bus(self, lane: Secured | None, **settings: Any) -> KafkaBus:
        named = {f"kafka_{name}": value for name, value in settings.items()}
        return KafkaBus(self.url(lane), KafkaSettings(**named), timing=FAST)


@pytest.fixture(scope="module")
def lanes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lanes]:
    folder = tmp_path_factory.mktemp("security")
    (folder / "other").mkdir()
    lanes = Lanes(folder)
    lanes.kafka.start()
    yield lanes
    lanes.kafka.kill()


LOGIN = {"sasl_username": "jobs", "sasl_password": "a secret of jobs"}


async def works(bus: KafkaBus) -> None:
    topic = f"t{new_id().hex[-12:]}.orders"
    await bus.create_topics([topic])
    await bus.publish([Record(topic, b"a", b"1")])
    member = await bus.consume("g", [topic])
    assert [delivery.record.value for delivery in await member.fetch(max_records=1, timeout_seconds=10)] == [b"1"]
    await member.close()
    assert len(await read_all(bus, topic)) == 1
    await bus.close()


async def refusal(bus: KafkaBus) -> str:
    with pytest.raises(BusUnavailable) as told:
        await bus.ping()
    await bus.close()
    assert "\n" not in str(told.value)
    assert "secret" not in str(told.value)
    return str(told.value)


@pytest.mark.kafka
class TestSecuredBroker:
    @pytest.mark.parametrize("mechanism", MECHANISMS)
    async def test_lets_in_by_password_over_tls(self, lanes: Lanes, mechanism: str) -> None:
        await works(
            lanes.bus(
                lanes.both,
                security_protocol="SASL_SSL",
                sasl_mechanism=mechanism,
                ssl_ca_file=str(lanes.folder / "ca.pem"),
                **LOGIN,
            )
        )

    @pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
    async def test_lets_in_by_password(self, lanes: Lanes, mechanism: str) -> None:
        await works(lanes.bus(lanes.passwords, security_protocol="SASL_PLAINTEXT", sasl_mechanism=mechanism, **LOGIN))

    async def test_lets_in_by_certificate(self, lanes: Lanes) -> None:
        own = str(lanes.folder / "client.pem")
        ca = str(lanes.folder / "ca.pem")
        await works(lanes.bus(lanes.mutual, security_protocol="SSL", ssl_ca_file=ca, ssl_cert_file=own))

    @pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
    async def test_says_that_the_password_is_wrong(self, lanes: Lanes, mechanism: str) -> None:
        login = LOGIN | {"sasl_password": "a wrong secret"}
        told = await refusal(
            lanes.bus(lanes.passwords, security_protocol="SASL_PLAINTEXT", sasl_mechanism=mechanism, **login)
        )
        assert f"refuses the log-in of 'jobs' by {mechanism} (KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD)" in told

    async def test_says_that_the_mechanism_is_not_offered(self, lanes: Lanes) -> None:
        told = await refusal(
            lanes.bus(lanes.passwords, security_protocol="SASL_PLAINTEXT", sasl_mechanism="SCRAM-SHA-512", **LOGIN)
        )
        assert "does not offer SCRAM-SHA-512 (KAFKA_SASL_MECHANISM)" in told

    async def test_says_that_a_password_is_wanted(self, lanes: Lanes) -> None:
        assert "hangs up on PLAINTEXT: it wants another KAFKA_SECURITY_PROTOCOL" in await refusal(
            lanes.bus(lanes.passwords)
        )

    async def test_says_that_tls_is_wanted(self, lanes: Lanes) -> None:
        assert "hangs up on PLAINTEXT: it wants another KAFKA_SECURITY_PROTOCOL" in await refusal(lanes.bus(lanes.both))

    async def test_says_that_there_is_no_tls(self, lanes: Lanes) -> None:
        told = await refusal(lanes.bus(None, security_protocol="SSL"))
        assert "KAFKA_SECURITY_PROTOCOL" in told

    async def test_says_that_the_certificate_is_not_trusted(self, lanes: Lanes) -> None:
        ca = str(lanes.folder / "other" / "ca.pem")
        told = await refusal(lanes.bus(lanes.both, security_protocol="SASL_SSL", ssl_ca_file=ca, **LOGIN))
        assert "shows a certificate that is not trusted (KAFKA_SSL_CA_FILE)" in told

    async def test_says_that_a_certificate_is_wanted(self, lanes: Lanes) -> None:
        ca = str(lanes.folder / "ca.pem")
        told = await refusal(lanes.bus(lanes.mutual, security_protocol="SSL", ssl_ca_file=ca))
        assert "certificate" in told


class NoTokens:
    """Nobody logs in here."""

    async def keys(self) -> dict[str, Any]:
        """No keys."""
        return {"keys": []}

    async def revocations(self, after: str | None) -> dict[str, Any]:
        """Nothing revoked."""
        return {"items": [], "next": "0"}


@pytest.mark.kafka
async def test_a_service_that_is_kept_out_starts_and_says_so(
    lanes: Lanes, client_for: Any, database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    """Readiness and a line of the log tell why; what needs no bus goes on."""
    settings = ServiceSettings(
        environment="test",
        database_url=database.dsn,
        bus_url=lanes.url(lanes.passwords),
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_sasl_mechanism="PLAIN",
        kafka_sasl_username="jobs",
        kafka_sasl_password="a wrong secret",
        role="worker",
    )
    service = Service(
        name="sample",
        settings=ServiceSettings,
        metadata=metadata,
        routers=[],
        subscriptions=Recorder().subscriptions,
    )
    said = ""
    async with client_for(create_app(service, settings=settings, token_source=NoTokens())) as client:
        answer = await client.get("/readyz")

        async def told() -> bool:
            nonlocal said
            captured = capfd.readouterr()
            said += captured.out + captured.err
            return "consumer_waits" in said

        await eventually(told)
    reason = "refuses the log-in of 'jobs' by PLAIN"
    assert answer.status_code == 200
    assert answer.json()["checks"]["database"] == "ok"
    assert reason in answer.json()["checks"]["bus"]
    line = next(line for line in said.splitlines() if "consumer_waits" in line)
    assert reason in line
    assert "Traceback" not in said
    assert "a wrong secret" not in said


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"kafka_security_protocol": "SASL_PLAINTEXT"}, "needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"),
        ({"kafka_security_protocol": "SSL", "kafka_ssl_ca_file": "/none"}, "KAFKA_SSL_CA_FILE is not a file: /none"),
        ({"kafka_security_protocol": "SSL", "kafka_ssl_cert_file": __file__}, r"the files of KAFKA_SSL_\* cannot be"),
    ],
)
async def test_settings_that_cannot_work_are_refused_in_one_line(settings: dict[str, str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as told:
        bus_from_url("kafka://127.0.0.1:9092", kafka=KafkaSettings(**settings))
    assert "\n" not in str(told.value)


@pytest.mark.kafka
async def test_no_topic_comes_by_asking_for_it(lanes: Lanes) -> None:
    """Not even on a broker that creates whatever is asked for by name, as this one does."""
    bus = lanes.bus(None)
    known = f"t{new_id().hex[-12:]}.orders"
    await bus.create_topics([known])
    before = await bus._cluster.partitions()
    with pytest.raises(UnknownTopic):
        await bus.publish([Record("orders.unheard", b"a", b"1")])
    member = await bus.consume("g", [known, "orders.unheard"])
    await member.fetch(max_records=1, timeout_seconds=2 * FAST.metadata_seconds)
    assert [delivery async for delivery in bus.read("orders.unheard", start=0, follow=False)] == []
    assert await bus.end_offsets(["orders.unheard"]) == {}
    assert await bus._cluster.partitions() == before
    await member.close()
    await bus.close()

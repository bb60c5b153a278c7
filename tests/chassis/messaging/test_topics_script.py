"""The command that creates Kafka's topics."""

import asyncio
from typing import Any

import pytest
from typer.testing import CliRunner

from chassis.bus_kafka import KafkaBus
from chassis.settings import KafkaSettings
from events.registry import TOPICS
from scripts.topics import all_topics, app
from tests.chassis.messaging.kafka import FAST


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_it_knows_every_topic_and_the_dead_letters_of_every_group() -> None:
    topics = all_topics()
    assert set(TOPICS) < set(topics)
    letters = set(topics) - set(TOPICS)
    assert {"jobs.transaction.rewards.dlq", "governance.parameter.jobs.dlq"} <= letters
    assert all(letter.endswith(".dlq") for letter in letters)


@pytest.mark.kafka
def test_it_creates_them_once_and_services_need_create_none(kafka_bootstrap: str) -> None:
    url = f"kafka://{kafka_bootstrap}"
    for _ in range(2):
        result = run("--bus-url", url)
        assert result.exit_code == 0, result.output
        assert result.stdout.split() == all_topics()

    async def as_a_service() -> dict[str, int]:
        bus = KafkaBus(url, KafkaSettings(kafka_create_topics=False), timing=FAST)
        await bus.create_topics(all_topics())
        ends = await bus.end_offsets(all_topics())
        await bus.close()
        counts: dict[str, int] = {}
        for at in ends:
            counts[at.topic] = counts.get(at.topic, 0) + 1
        return counts

    assert asyncio.run(as_a_service()) == dict.fromkeys(all_topics(), 6)


def test_it_says_in_one_line_why_it_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    away = run("--bus-url", "kafka://127.0.0.1:1")
    assert away.exit_code == 1
    assert away.stderr.startswith("topics: Kafka at 127.0.0.1:1 cannot be reached")
    assert away.stderr.count("\n") == 1
    monkeypatch.setenv("KAFKA_SASL_MECHANISM", "GUESS")
    wrong = run("--bus-url", "kafka://127.0.0.1:1")
    assert wrong.exit_code == 1
    assert wrong.stderr.startswith("topics: KAFKA_SASL_MECHANISM: Input should be 'PLAIN'")
    monkeypatch.delenv("KAFKA_SASL_MECHANISM")
    database = run("--bus-url", "postgresql://u:secret@127.0.0.1:1/events")
    assert (database.exit_code, database.stderr.count("\n")) == (1, 1)
    assert database.stderr.startswith("topics: ConnectionRefusedError: ")
    assert "secret" not in database.stderr
    monkeypatch.delenv("BUS_URL", raising=False)
    monkeypatch.delenv("SECRETS_DIR", raising=False)
    untold = run()
    assert (untold.exit_code, untold.stderr) == (1, "topics: BUS_URL is not set: give --bus-url\n")
    assert run("--bus-url", "redis://x").stderr.startswith("topics: BUS_URL must begin with kafka://")

"""Which bus the environment asks for, and that a run folder stays with the bus it began with."""

from pathlib import Path

import pytest

from scripts.stack_bus import BusChoice, BusUnusable, StackBus


@pytest.mark.unit
@pytest.mark.parametrize(
    ("environment", "choice"),
    [
        ({}, BusChoice("embedded")),
        ({"MODE": "", "BUS_URL": ""}, BusChoice("embedded")),
        ({"MODE": "kafka"}, BusChoice("kafka")),
        ({"MODE": "kafka", "KAFKA_BROKERS": "3"}, BusChoice("kafka", brokers=3)),
        ({"BUS_URL": "kafka://broker:9092"}, BusChoice("kafka", "kafka://broker:9092")),
        ({"BUS_URL": "postgresql://u:p@h/events"}, BusChoice("embedded", "postgresql://u:p@h/events")),
    ],
)
def test_the_choice(environment: dict[str, str], choice: BusChoice) -> None:
    assert BusChoice.of(environment) == choice


@pytest.mark.unit
@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"MODE": "carrier-pigeon"}, "MODE=carrier-pigeon is not known"),
        ({"MODE": "kafka", "BUS_URL": "postgresql://u:secret@h/x"}, "MODE=kafka and BUS_URL=postgresql://… contradict"),
        ({"MODE": "embedded", "BUS_URL": "kafka://h:1"}, "MODE=embedded and BUS_URL=kafka://… contradict"),
        ({"BUS_URL": "http://secret@h"}, "BUS_URL must begin with kafka:// or postgresql://"),
        ({"BUS_URL": "secret"}, "BUS_URL must begin with kafka:// or postgresql://"),
        ({"MODE": "kafka", "KAFKA_BROKERS": "2"}, "KAFKA_BROKERS must be 1 or 3, not '2'"),
    ],
)
def test_a_choice_that_makes_no_sense_is_one_line(environment: dict[str, str], said: str) -> None:
    with pytest.raises(BusUnusable) as refused:
        BusChoice.of(environment)
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.unit
async def test_a_folder_stays_with_its_bus(tmp_path: Path) -> None:
    said: list[str] = []
    first = StackBus(tmp_path, BusChoice(), said.append)
    first.launch()
    await first.ready("postgresql://h/events")
    assert first.url("postgresql://h/events") == "postgresql://h/events"
    assert first.address is None
    StackBus(tmp_path, BusChoice(), said.append).launch()
    for other in (BusChoice("kafka"), BusChoice("embedded", "postgresql://u:secret@elsewhere/events")):
        with pytest.raises(BusUnusable, match="belongs to the bus embedded, not ") as refused:
            StackBus(tmp_path, other, said.append).launch()
        assert "secret" not in str(refused.value)


@pytest.mark.unit
def test_a_folder_from_before_there_was_a_choice_is_embedded(tmp_path: Path) -> None:
    (tmp_path / "deployment.json").write_text("{}")
    StackBus(tmp_path, BusChoice(), print).launch()
    with pytest.raises(BusUnusable, match="belongs to the bus embedded, not kafka"):
        StackBus(tmp_path, BusChoice("kafka"), print).launch()


@pytest.mark.kafka
async def test_a_broker_of_its_own(tmp_path: Path) -> None:
    said: list[str] = []
    stack_bus = StackBus(tmp_path, BusChoice("kafka"), said.append)
    stack_bus.launch()
    try:
        await stack_bus.ready("postgresql://unused")
        url = stack_bus.url("postgresql://unused")
        assert url == f"kafka://{stack_bus.address}"
        assert stack_bus.settings == {"KAFKA_REPLICATION_FACTOR": "1"}
        assert said == ["Apache Kafka is up (its own broker), every topic is there"]
        assert not stack_bus.relaunch()
        outside = StackBus(tmp_path / "outside", BusChoice("kafka", url), said.append)
        outside.run_folder.mkdir()
        outside.launch()
        await outside.ready("postgresql://unused")
        assert (outside.address, outside.pids) == (stack_bus.address, {})
        before = stack_bus.pids["kafka"]
        assert stack_bus.kafka is not None
        stack_bus.kafka.kill()
        assert stack_bus.relaunch()
        assert stack_bus.pids["kafka"] != before
    finally:
        await stack_bus.stop()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:secret@127.0.0.1:9/events", "Connect call failed ('127.0.0.1', 9)"),
        ("postgresql://u:secret@[::1]:9/events", "Connect call failed ('::1', 9"),
        ("postgresql://u:se/secret@127.0.0.1:9/events", "it must be like postgresql://user:password@host/db"),
        ("postgresql://u:secret", "it must be like postgresql://user:password@host/db"),
    ],
)
async def test_a_log_that_is_not_there_is_one_line(tmp_path: Path, url: str, said: str) -> None:
    stack_bus = StackBus(tmp_path, BusChoice("embedded", url), print)
    stack_bus.launch()
    with pytest.raises(BusUnusable, match="BUS_URL does not lead to a usable bus: ") as refused:
        await stack_bus.ready("postgresql://unused")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)
    (tmp_path / "deployment.json").write_text("{}")  # the chain's, made before the bus was found missing
    StackBus(tmp_path, BusChoice(), print).launch()  # the folder is still free


async def test_a_log_elsewhere(tmp_path: Path, empty_dsn: str) -> None:
    said: list[str] = []
    stack_bus = StackBus(tmp_path, BusChoice("embedded", empty_dsn), said.append)
    stack_bus.launch()
    await stack_bus.ready("postgresql://unused")
    assert len(said) == 1
    assert said[0].endswith(" is up, every topic is there")
    with pytest.raises(BusUnusable, match="belongs to the bus postgresql"):
        StackBus(tmp_path, BusChoice(), said.append).launch()
    wrong = empty_dsn.rpartition("/")[0] + "/none_of_this_name"
    (tmp_path / "other").mkdir()
    with pytest.raises(BusUnusable, match='database "none_of_this_name" does not exist'):
        await StackBus(tmp_path / "other", BusChoice("embedded", wrong), print).ready("postgresql://unused")


async def test_brokers_that_are_not_there_are_one_line(tmp_path: Path) -> None:
    stack_bus = StackBus(tmp_path, BusChoice("kafka", "kafka://127.0.0.1:9"), print)
    stack_bus.launch()
    with pytest.raises(BusUnusable, match=r"BUS_URL does not lead to a usable bus: .*127.0.0.1:9") as refused:
        await stack_bus.ready("postgresql://unused")
    assert "\n" not in str(refused.value)
    (tmp_path / "deployment.json").write_text("{}")  # the chain's, made before the bus was found missing
    StackBus(tmp_path, BusChoice("kafka", "kafka://127.0.0.1:10"), print).launch()  # the folder is still free

"""`scripts.events` on Apache Kafka, as a process: what goes in comes out, to the byte and in the order of each key."""

import asyncio
import base64
import json
import os
import sys
from uuid import uuid4

import pytest

from chassis.bus_kafka import KafkaBus
from chassis.localkafka import LocalKafka
from tests.consumers.external import ROOT

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


async def command(broker: LocalKafka, *arguments: str, stdin: bytes = b"") -> tuple[int, list[str], str]:
    """Exit code, lines of output, errors."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scripts.events", *arguments, "--bus-url", f"kafka://{broker.bootstrap}"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=os.environ,
    )
    out, errors = await asyncio.wait_for(process.communicate(stdin), 120)
    assert process.returncode is not None
    return process.returncode, out.decode().splitlines(), errors.decode().strip()


async def test_publish_and_tail(broker: LocalKafka, bus: KafkaBus) -> None:
    topic = f"jobs.look.{uuid4().hex[:8]}"
    await bus.create_topics([topic])
    bodies = [b'{"n": 0}', b"\xff\x00", b'{"n": 2}']
    for body in bodies:
        code, _, errors = await command(broker, "publish", topic, "k", "--header", "a=b", stdin=body)
        assert (code, errors) == (0, "")
    code, lines, errors = await command(broker, "tail", topic, "--from", "0", "--once")
    assert (code, errors) == (0, "")
    found = [json.loads(line) for line in lines]
    assert [(line["key"], line["offset"], line["headers"]) for line in found] == [
        ("k", n, {"a": "b"}) for n in range(3)
    ]
    assert [found[0]["value"], found[2]["value"]] == [{"n": 0}, {"n": 2}]
    assert base64.b64decode(found[1]["value_base64"]) == bodies[1]
    code, lines, _ = await command(broker, "tail", topic, "--from", "1", "--max", "1")
    assert (code, json.loads(lines[0])["offset"]) == (0, 1)


async def test_what_cannot_be_done_is_one_line(broker: LocalKafka) -> None:
    code, _, errors = await command(broker, "publish", "no.such.topic", "k", stdin=b"{}")
    assert code == 1
    assert len(errors.splitlines()) == 1, errors
    assert "no.such.topic" in errors
    code, lines, errors = await command(broker, "tail", "no.such.topic", "--from", "0", "--once")
    assert (code, lines, errors) == (0, [], "no topic no.such.topic")

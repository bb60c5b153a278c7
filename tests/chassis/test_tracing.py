"""Traces without a collector: ids travel, and OpenTelemetry's SDK is not imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chassis import tracing

ROOT = Path(__file__).resolve().parents[2]
PARENT = f"00-{'ab' * 16}-{'cd' * 8}-01"


@pytest.mark.unit
def test_ids_travel_without_a_collector() -> None:
    assert not tracing.is_on()
    with tracing.span("work", parent=PARENT) as span:
        assert tracing.current_traceparent() == span.traceparent
        assert (span.traceparent[:36], span.traceparent[52:]) == (PARENT[:36], "-01")
        assert span.traceparent != PARENT
        assert tracing.nearest(PARENT) == span.traceparent
        span.set({"ignored": 1})
    assert tracing.current_traceparent() is None
    assert tracing.nearest(PARENT) == PARENT


@pytest.mark.unit
def test_the_trace_of_an_event_is_its_envelopes() -> None:
    inner = PARENT.replace("ab", "ef")
    event = f'{{"id":"1","traceparent":"{PARENT}","data":{{"traceparent":"{inner}"}}}}'.encode()
    assert tracing.traceparent_in(event) == PARENT
    assert tracing.traceparent_in(b"rubbish") is None
    assert tracing.traceparent_in(None) is None


@pytest.mark.unit
def test_without_a_collector_the_sdk_is_not_imported() -> None:
    program = """
import sys
import gateway.app, services.jobs.app, services.rewards.app
from chassis import tracing
tracing.start("jobs")
assert not tracing.is_on()
sys.exit(sum(name.startswith(("opentelemetry.sdk", "opentelemetry.exporter")) for name in sys.modules))
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, timeout=60, check=False)
    assert done.returncode == 0

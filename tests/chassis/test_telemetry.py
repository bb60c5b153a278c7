"""Logs: one JSON object per line, on whatever standard error is at that moment."""

import contextlib
import io
import json

import pytest
import structlog

from chassis.telemetry import configure_logging


@pytest.mark.unit
def test_a_redirection_that_was_closed_keeps_nobody_from_logging() -> None:
    first, second = io.StringIO(), io.StringIO()
    log = structlog.get_logger()
    with contextlib.redirect_stderr(first):
        configure_logging("WARNING", service="test")
        log.warning("one")
        log.info("too little")
        assert [json.loads(line)["event"] for line in first.getvalue().splitlines()] == ["one"]
    first.close()
    with contextlib.redirect_stderr(second):
        log.warning("two")
    assert json.loads(second.getvalue())["event"] == "two"

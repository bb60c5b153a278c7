"""Hostile bytes into the gateway's protocol class, on both planes: everybody has to read the same requests.

What comes out toward the services is read by the parser that they use and by h11; both have to find, in number and in
content, what a strict reading of the client's bytes finds. `inputs` makes the bytes, `oracle` judges.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from itertools import product

import hypothesis
import pytest
from hypothesis import strategies as st

from chassis.testing import TokenMint
from chassis.upstreams import messages
from gateway import app, lane, lines, protocol
from gateway.edge import Edge
from gateway.exchange import Exchange
from tests.gateway.fuzz.found import FOUND
from tests.gateway.fuzz.inputs import Case, case
from tests.gateway.fuzz.memory import Bench, bench
from tests.gateway.fuzz.oracle import Fault, try_case

SHORT, LONG_RUNS, LONG_EACH = 1_000, 21, 5_000
TAPES = st.binary(min_size=4, max_size=120)


@contextmanager
def benched(mint: TokenMint, plane: str) -> Iterator[Callable[[Case], None]]:
    """Something that tries a case on a gateway of this plane."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        stack = AsyncExitStack()
        made: Bench = runner.run(stack.enter_async_context(bench(mint, plane)))
        try:
            yield lambda each: runner.run(try_case(made, each))
        finally:
            runner.run(stack.aclose())


def search(try_one: Callable[[Case], None], *, examples: int, seed: int, shrink: bool = True) -> None:
    """So many inputs. Raises: Fault, with the smallest input that shows it."""

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples, database=None, deadline=None, suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate, *[hypothesis.Phase.shrink] * shrink], report_multiple_bugs=False,
    )  # fmt: skip
    @hypothesis.given(TAPES)
    def searched(tape: bytes) -> None:
        each = case(tape)
        hypothesis.note(repr(each))
        try_one(each)

    searched()


@pytest.mark.parametrize("plane", ["lane", "asgi"])
def test_everybody_reads_the_same_requests(mint: TokenMint, plane: str) -> None:
    with benched(mint, plane) as try_one:
        search(try_one, examples=SHORT, seed=1)


def every_found(try_one: Callable[[Case], None]) -> None:
    """What was found, whole, byte by byte, and on connections with a history. Raises: Fault."""
    for pieces in FOUND.values():
        whole = b"".join(pieces)
        single = tuple(whole[at : at + 1] for at in range(len(whole)))
        for warm, pause in product((False, True), repeat=2):
            for each in (pieces, single):
                try_one(Case(each, (pause,) * len(each), warm))


@pytest.mark.parametrize("plane", ["lane", "asgi"])
def test_what_was_found_stays_mended(mint: TokenMint, plane: str) -> None:
    with benched(mint, plane) as try_one:
        every_found(try_one)


@pytest.mark.long
@pytest.mark.timeout(1_500)
@pytest.mark.parametrize("plane", ["lane", "asgi"])
def test_everybody_reads_the_same_requests_for_long(mint: TokenMint, plane: str) -> None:
    with benched(mint, plane) as try_one:
        for number in range(LONG_RUNS):
            search(try_one, examples=LONG_EACH, seed=100 + number)


def _lenient_lines(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(protocol, "REQUEST_LINE", re.compile(rb"[^\n]*\n"))


def _lenient_repeats(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(app, "REQUEST_LINE", re.compile(rb"GET +(/[^ ]*) +HTTP/1\.1"))


def _no_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Edge, "_check", lambda *_: None)


def _framing_lost(patch: pytest.MonkeyPatch) -> None:
    original = messages.write_head

    def bare(method: bytes, target: bytes, headers: messages.Headers, _: bytes, authority: bytes) -> bytes:
        return original(method, target, headers, b"", authority)

    patch.setattr(lane, "write_head", bare)
    patch.setattr(messages, "write_head", bare)


def _cut_wrongly(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lines.Cutter, "cut", lambda _, data: len(data))


def _answers_mixed_up(patch: pytest.MonkeyPatch) -> None:
    original = Exchange._complete

    def twice(self: Exchange, status: int) -> None:
        if self.inbound.raw_path.endswith(b"summary"):
            self._protocol.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        original(self, status)

    patch.setattr(Exchange, "_complete", twice)


def hunt(try_one: Callable[[Case], None]) -> None:
    """What was found before, then new inputs. Raises: Fault."""
    every_found(try_one)
    search(try_one, examples=3_000, seed=2, shrink=False)


@pytest.mark.parametrize(
    "broken", [_lenient_lines, _lenient_repeats, _no_check, _framing_lost, _cut_wrongly, _answers_mixed_up]
)
def test_a_broken_gateway_is_found_out(
    mint: TokenMint, monkeypatch: pytest.MonkeyPatch, broken: Callable[[pytest.MonkeyPatch], None]
) -> None:
    broken(monkeypatch)
    with benched(mint, "lane") as try_one, pytest.raises(Fault):
        hunt(try_one)

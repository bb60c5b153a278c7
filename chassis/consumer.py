"""The consumer: fetch → decode → once → handler → commit, in order for each key, with nothing lost and nothing stuck.

A batch is handled in one unit of work; if that fails, event by event, so that only the guilty one is held up.
"""

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import Counter as Metric
from prometheus_client import Gauge

from chassis import inbox
from chassis.bus import (
    Bus,
    BusUnavailable,
    Delivery,
    Fenced,
    Handler,
    Member,
    Positions,
    Record,
    Subscriptions,
    TopicPartition,
    dead_letter_topic,
)
from chassis.db import Database, Session
from chassis.decoding import Message, Poison, Registry, decode, known_events
from chassis.failpoints import failpoint
from chassis.inbox import Outcome
from chassis.outbox import publish_copy
from chassis.retries import is_conflict, is_transient, pause_seconds, wait_for
from chassis.telemetry import log
from chassis.watchdog import Watchdog

EVENTS = Metric("btrst_consumer_events_total", "What became of the events read", ["group", "topic", "outcome"])
RETRIES = Metric("btrst_consumer_retries_total", "Handlers tried again", ["group", "topic"])
DEAD_LETTERS = Metric("btrst_consumer_dead_letters_total", "Copies for the dead-letter topics", ["group", "topic"])
LAG = Gauge("btrst_consumer_lag", "Events of the assigned partitions not handled yet", ["group", "topic"])
PARTITIONS = Gauge("btrst_consumer_partitions", "Partitions this process reads", ["group"])


class _Stopping(Exception):
    """The consumer is to end; what is not committed is read again by whoever comes next."""


@dataclass(slots=True)
class _Work:
    """One delivery and what to do with it: run `handler`, dead-letter it for `poison`, or neither."""

    delivery: Delivery
    message: Message | None = None
    handler: Handler | None = None
    poison: str = ""
    attempts: int = 0


class _Progress:
    """Which offsets of a batch are not handled yet, and so where each partition may go on."""

    def __init__(self, batch: Iterable[Delivery]) -> None:
        self.reached: dict[TopicPartition, int] = {}
        self._open: dict[TopicPartition, list[int]] = {}
        self._ends: dict[TopicPartition, int] = {}
        for delivery in batch:
            at = delivery.at
            self._open.setdefault(at, []).append(delivery.offset)
            self._ends[at] = delivery.offset + 1

    def after(self, delivery: Delivery) -> int:
        """The position of the partition once `delivery` is handled too."""
        rest = (offset for offset in self._open[delivery.at] if offset != delivery.offset)
        return next(rest, self._ends[delivery.at])

    def done(self, delivery: Delivery) -> None:
        """`delivery` is handled."""
        self.reached[delivery.at] = self.after(delivery)
        self._open[delivery.at].remove(delivery.offset)

    def all_done(self) -> None:
        """The whole batch is handled."""
        self.reached = dict(self._ends)


class Consumer:
    """Reads the events a service wants from the bus and has them handled.

    `registry` says which types exist (default: every event class of the process).
    """

    def __init__(
        self,
        database: Database,
        bus: Bus,
        subscriptions: Subscriptions,
        *,
        registry: Registry | None = None,
        attempts: int = 5,
        back_off_seconds: float = 0.1,
        batch_size: int = 200,
        fetch_seconds: float = 0.5,
        stall_seconds: float = 60.0,
    ) -> None:
        self._database = database
        self._bus = bus
        self._subscriptions = subscriptions
        self.group = subscriptions.group
        self._registry = registry
        self._attempts = attempts
        self._back_off_seconds = back_off_seconds
        self._batch_size = batch_size
        self._fetch_seconds = fetch_seconds
        self._watchdog = Watchdog(bus, subscriptions.topics(), stall_seconds, self._report_lag)
        self._stopping = asyncio.Event()
        self._reassigned = False
        self._untold: dict[TopicPartition, int] = {}
        """Positions that are stored and not committed yet."""

    def _report_lag(self, topic: str, events: int) -> None:
        LAG.labels(self.group, topic).set(events)
        PARTITIONS.labels(self.group).set(len(self._watchdog.member.assignment()) if self._watchdog.member else 0)

    def healthy(self) -> bool:
        """False when there are events to handle and none was for a minute: a restart may help."""
        return self._watchdog.healthy()

    async def run(self, stopping: asyncio.Event) -> None:
        """Consume until `stopping`, then finish the batch in flight. Starts over by itself after any failure."""
        self._stopping = stopping
        self._registry = self._registry or known_events()
        failures = 0
        watching = asyncio.create_task(self._watchdog.run())
        try:
            while not stopping.is_set():
                started = time.monotonic()
                try:
                    await self._membership()
                except Exception as error:  # the next membership begins at the stored positions
                    failures = 1 if time.monotonic() - started > 30 else failures + 1
                    _report(self.group, error)
                    await wait_for(stopping, pause_seconds(failures, most=2.0))
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching

    async def _membership(self) -> None:
        """From joining the group to leaving it."""
        topics = self._subscriptions.topics()
        await self._bus.create_topics([*topics, *(dead_letter_topic(topic, self.group) for topic in topics)])
        member = await self._bus.consume(self.group, topics, self._start_positions)
        try:
            while not self._stopping.is_set():
                await self._turn(member)
        finally:
            self._watchdog.member = None
            await member.close()

    async def _start_positions(self, partitions: Collection[TopicPartition]) -> Positions:
        async with self._database.unit_of_work() as session:
            known = await inbox.load_positions(session, self.group, {at.topic for at in partitions})
        self._reassigned = True
        self._untold = {}  # the member tells where it begins
        starts = {at: known.get(at, 0) for at in partitions}
        self._watchdog.reached.update(starts)
        return starts

    async def _turn(self, member: Member) -> None:
        self._watchdog.member = member
        try:
            batch = await member.fetch(max_records=self._batch_size, timeout_seconds=self._fetch_seconds)
        except BusUnavailable as error:
            # Positions are kept: nothing was handed out, so nothing can be skipped.
            _report(self.group, error)
            await wait_for(self._stopping, pause_seconds(3))
            return
        if not batch:
            await self._tell(member)
            return
        with contextlib.suppress(_Stopping):
            reached = await self._handle(batch)
            self._watchdog.moved(reached)
            failpoint("p4")
            self._untold.update(reached)
            await self._tell(member)

    async def _tell(self, member: Member) -> None:
        """Commit what is not committed yet. Only those who watch the lag need it, so it may fail: the next turn tries
        again, also when no more events come."""
        if not self._untold:
            return
        held = member.assignment()
        self._untold = {at: position for at, position in self._untold.items() if at in held}
        with contextlib.suppress(Fenced, BusUnavailable):
            await member.commit(self._untold)
            self._untold = {}

    async def _handle(self, batch: Sequence[Delivery]) -> Positions:
        """Handle every delivery of the batch, one way or another; the positions after it."""
        works = [self._work_of(delivery) for delivery in batch]
        progress = _Progress(batch)
        if len(works) > 1 and await self._together(works):
            progress.all_done()
        else:
            await self._apart(works, progress)
        self._reassigned = False
        return progress.reached

    def _work_of(self, delivery: Delivery) -> _Work:
        try:
            message = decode(delivery, self._registry or {})
        except Poison as poison:
            return _Work(delivery, poison=str(poison))
        return _Work(delivery, message, self._subscriptions.handlers.get(type(message.event)))

    async def _together(self, works: Sequence[_Work]) -> bool:
        """The whole batch in one unit of work; False if one of its events stands in the way of all."""
        ends = {work.delivery.at: work.delivery.offset + 1 for work in works}
        wanted = [work for work in works if work.message and work.handler]

        async def attempt(session: Session) -> list[Outcome]:
            outcomes = await inbox.receive(session, self.group, [work.message for work in wanted if work.message])
            for work, outcome in zip(wanted, outcomes, strict=True):
                if outcome is Outcome.DONE and work.message and work.handler:
                    await inbox.run_handler(session, self.group, work.message, work.handler)
                    self._mid_batch()
            for work in works:
                self._dead_letter_if_poison(session, work)
            await inbox.store_positions(session, self.group, ends)
            return outcomes

        try:
            outcomes = await self._commit(attempt, retry_conflicts=False)
        except _Stopping:
            raise
        except Exception as error:  # which of them it is shows when each stands alone
            log.info("batch_apart", group=self.group, events=len(works), error=f"{type(error).__name__}: {error}"[:300])
            return False
        self._count(wanted, outcomes)
        self._count_others(works)
        return True

    async def _apart(self, works: Sequence[_Work], progress: _Progress) -> None:
        """Each event in a unit of work of its own. A key whose event fails waits for the next round, the others
        go on; after the last attempt the event is parked."""
        queues: dict[object, deque[_Work]] = {}
        for work in works:
            record = work.delivery.record
            lane = object() if work.message is None else (record.topic, record.key)
            queues.setdefault(lane, deque()).append(work)
        failures = 0
        while queues:
            for lane in list(queues):
                await self._drain(queues[lane], progress)
                if not queues[lane]:
                    del queues[lane]
            if queues:
                failures += 1
                await self._pause(pause_seconds(failures, first=self._back_off_seconds))

    async def _drain(self, queue: deque[_Work], progress: _Progress) -> None:
        """Handle the events of one key in order, until none is left or one fails."""
        while queue:
            work = queue[0]
            position = progress.after(work.delivery)
            try:
                await self._single(work, position)
            except _Stopping:
                raise
            except Exception as error:  # a handler's own failure: it gets its number of attempts
                work.attempts += 1
                RETRIES.labels(self.group, work.delivery.record.topic).inc()
                if work.attempts < self._attempts:
                    log.warning("handler_failed", group=self.group, attempt=work.attempts, error=repr(error)[:300])
                    return
                log.error("event_parked", group=self.group, at=str(work.delivery.at), exc_info=error)
                await self._park(work, position, error)
            queue.popleft()
            progress.done(work.delivery)
            self._watchdog.moved(progress.reached)
            self._mid_batch()

    async def _single(self, work: _Work, position: int) -> None:
        async def attempt(session: Session) -> list[Outcome]:
            if work.message and work.handler:
                return [await inbox.once(session, self.group, work.message, work.handler, position)]
            self._dead_letter_if_poison(session, work)
            await inbox.store_positions(session, self.group, {work.delivery.at: position})
            return []

        outcomes = await self._commit(attempt, retry_conflicts=True)
        self._count([work] if outcomes else [], outcomes)
        self._count_others([work])

    async def _park(self, work: _Work, position: int, error: Exception) -> None:
        message, reason = work.message, f"{type(error).__name__}: {error}".replace("\n", " ")[:500]
        assert message is not None

        async def attempt(session: Session) -> list[Outcome]:
            if await inbox.park(session, self.group, message, reason=reason, attempts=work.attempts):
                publish_copy(session, self._dead_letter(work.delivery, reason, work.attempts))
            await inbox.store_positions(session, self.group, {work.delivery.at: position})
            return [Outcome.PARKED]

        self._count([work], await self._commit(attempt, retry_conflicts=True))
        DEAD_LETTERS.labels(self.group, work.delivery.record.topic).inc()

    async def _commit(
        self, attempt: Callable[[Session], Awaitable[list[Outcome]]], *, retry_conflicts: bool
    ) -> list[Outcome]:
        """Run `attempt` in a unit of work, again and again while the database is away.

        Raises: whatever the attempt raises that does not pass by itself; _Stopping when we are to end meanwhile.
        """
        failures = 0
        while True:
            try:
                async with self._database.unit_of_work() as session:
                    outcomes = await attempt(session)
                    session.before_commit(_before_commit)
                return outcomes
            except Exception as error:
                if not is_transient(error) or (is_conflict(error) and not retry_conflicts):
                    raise
                failures += 1
                _report(self.group, error)
            await self._pause(pause_seconds(failures))

    async def _pause(self, seconds: float) -> None:
        await wait_for(self._stopping, seconds)
        if self._stopping.is_set():
            raise _Stopping

    def _mid_batch(self) -> None:
        if self._reassigned:
            failpoint("p5")

    def _dead_letter_if_poison(self, session: Session, work: _Work) -> None:
        if work.poison:
            publish_copy(session, self._dead_letter(work.delivery, work.poison, 1))
            log.warning("dead_letter", group=self.group, at=str(work.delivery.at), reason=work.poison)

    def _dead_letter(self, delivery: Delivery, reason: str, attempts: int) -> Record:
        record = delivery.record
        headers = (
            *record.headers,
            ("dlq-reason", reason.encode(errors="replace")),
            ("dlq-partition", str(delivery.partition).encode()),
            ("dlq-offset", str(delivery.offset).encode()),
            ("dlq-attempts", str(attempts).encode()),
        )
        return Record(dead_letter_topic(record.topic, self.group), record.key, record.value, headers)

    def _count(self, works: Iterable[_Work], outcomes: Iterable[Outcome]) -> None:
        became = zip((work.delivery.record.topic for work in works), outcomes, strict=True)
        for (topic, outcome), count in Counter(became).items():
            EVENTS.labels(self.group, topic, outcome.value).inc(count)

    def _count_others(self, works: Iterable[_Work]) -> None:
        for work in works:
            if work.poison:
                DEAD_LETTERS.labels(self.group, work.delivery.record.topic).inc()
                EVENTS.labels(self.group, work.delivery.record.topic, "dead_letter").inc()
            elif work.handler is None:
                EVENTS.labels(self.group, work.delivery.record.topic, "skipped").inc()


async def _before_commit(_session: Session) -> None:
    failpoint("p3")


def _report(group: str, error: Exception) -> None:
    if is_transient(error):
        log.warning("consumer_waits", group=group, error=f"{type(error).__name__}: {error}"[:300])
    else:
        log.error("consumer_failed", group=group, exc_info=error)

"""Copies for the dead-letter topic of transactions and refunds that are events well enough, but not true."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from chassis.bus import PARTITIONS, Record, dead_letter_topic, partition_of
from chassis.db import Session
from chassis.envelope import CONTENT_TYPE, Envelope
from chassis.outbox import publish_copy
from events.jobs import TransactionCompleted

GROUP = "rewards"
UNCONFIRMED = "the jobs service does not confirm this transaction"
CONTRADICTING = "it contradicts what is recorded of this transaction"
UNCONFIRMED_REFUND = "the jobs service does not confirm this refund"
CONTRADICTING_REFUND = "it contradicts what is recorded of this refund"


def dead_letter(session: Session, transaction_id: UUID, event: Mapping[str, Any], reason: str) -> None:
    """Publish a copy of the envelope `event` with its reason, in this unit of work."""
    key = str(transaction_id).encode()
    headers = (
        ("content-type", CONTENT_TYPE.encode()),
        ("dlq-reason", reason.encode()),
        ("dlq-partition", str(partition_of(key, PARTITIONS)).encode()),
        ("dlq-attempts", b"1"),
    )
    topic = dead_letter_topic(TransactionCompleted.topic(), GROUP)
    publish_copy(session, Record(topic, key, Envelope.model_validate(event).to_bytes(), headers))

"""What an operator sees of lanes and indexers."""

import time

from prometheus_client import Gauge

LEADER = Gauge("btrst_signer_leader", "1 in the process that drives the lane", ["lane"])
IN_FLIGHT = Gauge("btrst_signer_in_flight", "Chain txs reserved or sent and not confirmed yet", ["lane"])
NEXT_NONCE = Gauge("btrst_signer_next_nonce", "The nonce the next chain tx of the lane gets", ["lane"])
CHAIN_NONCE = Gauge("btrst_signer_chain_nonce", "The nonce the chain expects next of the lane's address", ["lane"])
STATE = Gauge("btrst_signer_state", "1 for what holds of the lane: halted, problem or alarm", ["lane", "state"])
HEAD = Gauge("btrst_chain_head_timestamp_seconds", "Time of the newest block the node showed", ["reader"])
HEAD_SEEN = Gauge("btrst_chain_head_seen_timestamp_seconds", "When the node last showed a new block", ["reader"])
INDEXED = Gauge("btrst_chain_indexed_block", "Block up to which logs are in the tables", ["indexer"])
TARGET = Gauge("btrst_chain_target_block", "Block up to which logs may be read now", ["indexer"])

_shown: dict[str, int] = {}


def show_head(reader: str, block_number: int, timestamp: int) -> None:
    """`reader` was shown this block as the newest."""
    if _shown.get(reader) != block_number:
        _shown[reader] = block_number
        HEAD.labels(reader).set(timestamp)
        HEAD_SEEN.labels(reader).set(time.time())


def show_lane(
    lane: str,
    *,
    leader: bool,
    in_flight: int,
    next_nonce: int | None,
    chain_nonce: int | None,
    states: dict[str, str | None],
) -> None:
    """How the lane stands after a tick."""
    LEADER.labels(lane).set(leader)
    IN_FLIGHT.labels(lane).set(in_flight)
    if next_nonce is not None:
        NEXT_NONCE.labels(lane).set(next_nonce)
    if chain_nonce is not None:
        CHAIN_NONCE.labels(lane).set(chain_nonce)
    for state, reason in states.items():
        STATE.labels(lane, state).set(reason is not None)


def show_indexer(indexer: str, *, cursor_block: int | None, target_block: int) -> None:
    """How far the indexer is after a tick."""
    INDEXED.labels(indexer).set(cursor_block or 0)
    TARGET.labels(indexer).set(target_block)

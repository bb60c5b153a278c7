"""Loops of rewards: ask for missing facts, verify, look again, reserve, follow the chain, reconcile.

Every tick is one bounded piece of work; the network is only ever used between units of work.
"""

from typing import Final

from chassis.app import Worker
from services.rewards.workers.facts import (
    accrue_ready,
    ask_for_facts,
    review_due,
    verify_refunds,
    verify_transactions,
)
from services.rewards.workers.payouts import (
    ChainSide,
    follow_chain,
    measure_queue,
    mend_settlements,
    open_resources,
    readiness,
    reconcile_supply,
    settle_payouts,
)
from services.rewards.workers.prices import observe_price

__all__ = [
    "WORKERS",
    "ChainSide",
    "accrue_ready",
    "ask_for_facts",
    "follow_chain",
    "measure_queue",
    "mend_settlements",
    "observe_price",
    "open_resources",
    "readiness",
    "reconcile_supply",
    "review_due",
    "settle_payouts",
    "verify_refunds",
    "verify_transactions",
]

WORKERS: Final = (
    Worker("observe_price", observe_price, 1.0),
    Worker("ask_for_facts", ask_for_facts, 1.0),
    Worker("accrue_ready", accrue_ready, 1.0),
    Worker("verify_transactions", verify_transactions, 0.1),
    Worker("verify_refunds", verify_refunds, 0.1),
    Worker("review_due", review_due, 0.5),
    Worker("settle_payouts", settle_payouts, 0.1),
    Worker("follow_chain", follow_chain, 0.25),
    Worker("reconcile_supply", reconcile_supply, 0.5),
    Worker("mend_settlements", mend_settlements, 1.0),
    Worker("measure_queue", measure_queue, 10.0),
)

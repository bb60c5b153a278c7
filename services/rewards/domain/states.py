"""The states of a reward, why one is held, and which way each may go."""

from enum import StrEnum
from typing import Final

from services.rewards.errors import IllegalTransition


class Status(StrEnum):
    """Where a reward is. `submitted`: its chain tx is signed and stored; `minted`: the block of it is N deep."""

    WAITING = "waiting"
    ACCRUED = "accrued"
    HELD = "held"
    QUEUED = "queued"
    SUBMITTED = "submitted"
    MINTED = "minted"
    REVERSED = "reversed"
    CANCELLED = "cancelled"


class Reason(StrEnum):
    """Why a reward is held or was cancelled."""

    NO_PAYOUT_WALLET = "no_payout_wallet"
    REFUND_WINDOW = "refund_window"
    STALE_PRICE = "stale_price"
    EPOCH_BUDGET = "epoch_budget"
    SUPPLY_CAP = "supply_cap"
    RESERVE_EMPTY = "reserve_empty"
    BELOW_MINIMUM = "below_minimum"
    PAUSED = "paused"
    UNDER_REVIEW = "under_review"
    UNVERIFIED = "unverified"
    UNKNOWN_PARTY = "unknown_party"
    ZERO_AMOUNT = "zero_amount"


class Recording(StrEnum):
    """Where a recorded transaction is on its way to rewards."""

    WAITING = "waiting"
    HELD = "held"
    ACCRUED = "accrued"
    FORGED = "forged"


class Verification(StrEnum):
    """Whether the jobs service has confirmed a recorded transaction."""

    PENDING = "pending"
    VERIFIED = "verified"
    FORGED = "forged"
    NOT_NEEDED = "not_needed"


TRANSITIONS: Final[dict[Status, frozenset[Status]]] = {
    Status.WAITING: frozenset({Status.ACCRUED}),
    Status.ACCRUED: frozenset({Status.HELD, Status.QUEUED, Status.CANCELLED}),
    Status.HELD: frozenset({Status.HELD, Status.QUEUED, Status.CANCELLED}),
    Status.QUEUED: frozenset({Status.HELD, Status.SUBMITTED, Status.CANCELLED}),
    Status.SUBMITTED: frozenset({Status.MINTED, Status.QUEUED}),
    Status.MINTED: frozenset({Status.SUBMITTED, Status.REVERSED}),
    Status.REVERSED: frozenset(),
    Status.CANCELLED: frozenset(),
}
"""held → held is a change of reason. accrued → cancelled is an amount of 0."""


def check_transition(current: Status, wanted: Status) -> None:
    """Let a reward go from `current` to `wanted`.

    Raises: IllegalTransition when the states do not allow it.
    """
    if wanted not in TRANSITIONS[current]:
        raise IllegalTransition(f"a reward cannot go from {current} to {wanted}")

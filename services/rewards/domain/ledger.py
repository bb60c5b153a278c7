"""The double-entry ledger: what each step of a reward's life writes. Every entry sums to 0.

Accounts: `emission` (the network's promise), and for each beneficiary `payable` (owed in tokens), `minted` (paid on
chain) and `receivable` (below 0: what refunds took back and later rewards still have to make good).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Code(StrEnum):
    """What an entry is about; also the code of the line that the beneficiary sees."""

    ACCRUAL = "accrual"
    MINT = "mint"
    REFUND = "refund"
    OFFSET = "offset"
    CANCEL = "cancel"


class Account(StrEnum):
    """The accounts of the ledger."""

    EMISSION = "emission"
    PAYABLE = "payable"
    MINTED = "minted"
    RECEIVABLE = "receivable"


_MOVES: Final[dict[Code, tuple[Account, Account]]] = {
    Code.ACCRUAL: (Account.EMISSION, Account.PAYABLE),
    Code.CANCEL: (Account.EMISSION, Account.PAYABLE),
    Code.MINT: (Account.PAYABLE, Account.MINTED),
    Code.OFFSET: (Account.RECEIVABLE, Account.PAYABLE),
    Code.REFUND: (Account.EMISSION, Account.RECEIVABLE),
}
"""Code → (the other side, the account whose posting the beneficiary sees)."""


@dataclass(frozen=True, slots=True)
class Posting:
    """One line of an entry: wei into (or, below 0, out of) an account."""

    code: Code
    account: Account
    amount_wei: int
    shown: bool
    """Whether it is the line that the beneficiary sees."""


def entry(code: Code, amount_wei: int) -> tuple[Posting, Posting]:
    """The two postings of one entry, the shown one last with the signed `amount_wei`.

    accrual and mint are above 0 (a mint undone by a reorganisation is below); cancel, refund and offset are below 0
    (an undone offset is above).
    """
    other, shown = _MOVES[code]
    postings = (Posting(code, other, -amount_wei, False), Posting(code, shown, amount_wei, True))
    assert sum(posting.amount_wei for posting in postings) == 0
    return postings

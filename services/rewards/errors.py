"""What can go wrong in rewards, with status and stable code."""

from chassis.errors import Conflict, InvalidState, NotFound, Unavailable, Unprocessable


class RewardNotFound(NotFound):
    """No such reward, or not the caller's."""

    code, title = "reward_not_found", "Unknown reward"


class ProofNotFound(NotFound):
    """The reward is unknown or not part of a chain tx yet."""

    code, title = "proof_not_found", "No proof yet"


class BadPeriod(Unprocessable):
    """The days of a statement are not a period of at most a year."""

    code, title = "bad_period", "Not a period"


class StatementTooLong(Unprocessable):
    """More lines than one statement holds."""

    code, title = "statement_too_long", "Too many lines for one statement"


class EpochNotFound(NotFound):
    """Nothing was charged to an epoch of this number yet."""

    code, title = "epoch_not_found", "Unknown epoch"


class IllegalTransition(InvalidState):
    """A reward cannot go from its state to that one."""


class ChainStateUnknown(Unavailable):
    """The token's figures have never been read from the chain."""

    code, title = "chain_not_reached", "The chain has not been reached yet"


class PriceUnknown(Unavailable):
    """The source of prices has none now."""

    code, title = "price_unknown", "The price is not known"


class SettlementMismatch(Conflict):
    """What the chain says was settled cannot be what this database knows of."""

    code, title = "settlement_mismatch", "The chain settled other rewards than recorded"

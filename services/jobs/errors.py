"""What can go wrong in jobs, beyond the errors every service shares."""

from chassis.errors import Conflict, Forbidden, NotFound, Unprocessable


class UnknownTransaction(NotFound):
    """To another service: there is no such transaction, or no such refund of it. Not just an address that leads
    nowhere: what is not known here is never paid."""

    code, title = "unknown_transaction", "No such transaction"


class DuplicateBid(Conflict):
    """The Talent already has a bid on this job that was not withdrawn."""

    code, title = "duplicate_bid", "You already have a bid on this job"


class OwnJob(Forbidden):
    """A member may not bid on their own job."""

    code, title = "own_job", "You cannot bid on your own job"


class MissingRole(Forbidden):
    """The token does not carry the role that this call needs."""

    code, title = "missing_role", "You lack the role for this"


class AlreadyPaid(Conflict):
    """The invoice was paid before."""

    code, title = "already_paid", "The invoice is already paid"


class UnknownPaymentMethod(Unprocessable):
    """No such payment provider, or it is switched off."""

    code, title = "unknown_payment_method", "Unknown payment method"


class RefundExceedsTransaction(Unprocessable):
    """More is asked back than is left of the transaction."""

    code, title = "refund_exceeds_transaction", "More than is left of the transaction"


class InvoiceAmountOutOfBounds(Unprocessable):
    """The lines sum up to less than the minimum invoice, or to more than any amount may be."""

    code, title = "amount_out_of_bounds", "The invoice's amount is out of bounds"


class MalformedParameters(ValueError):
    """A version of the network's parameters lacks a number jobs needs, or has one out of range."""

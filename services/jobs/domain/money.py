"""Fees and refunds in integer cents: one division at the end, rounding down."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chassis.errors import Unprocessable
from chassis.money import BPS, MAX_CENTS, format_usd, mul_div_floor
from services.jobs.domain.parameters import Parameters
from services.jobs.domain.states import TransactionStatus
from services.jobs.errors import InvoiceAmountOutOfBounds, RefundExceedsTransaction

MIN_INVOICE_CENTS: Final = 100
"""Source: the network's rules, rule 3."""

TALENT_FEE_CENTS: Final = 0
"""Talent keeps 100 %: a constant, not a parameter. Source: the network's rules, rule 4."""

CURRENCY: Final = "USD"


@dataclass(frozen=True)
class Charge:
    """What one invoice costs its client."""

    amount_cents: int
    client_fee_cents: int
    talent_fee_cents: int
    total_cents: int
    parameters_version: int


@dataclass(frozen=True)
class RefundTotals:
    """What went back of one transaction so far.

    `fee_numerator` is Σ refunded_cents × the bps given back at the time: keeping the sum undivided makes the
    total independent of order and splitting.
    """

    refunded_cents: int
    fee_numerator: int
    fee_refunded_cents: int


NOTHING_REFUNDED: Final = RefundTotals(0, 0, 0)


def invoice_amount_cents(line_amounts_cents: Sequence[int]) -> int:
    """The sum of an invoice's lines.

    Raises: InvoiceAmountOutOfBounds below the minimum invoice or above the largest amount.
    Source: the network's rules, rule 3.
    """
    amount_cents = sum(line_amounts_cents)
    if not MIN_INVOICE_CENTS <= amount_cents <= MAX_CENTS:
        bounds = f"{format_usd(MIN_INVOICE_CENTS)} and {format_usd(MAX_CENTS)}"
        raise InvoiceAmountOutOfBounds.field("lines", f"The lines must sum up to between {bounds}.")
    return amount_cents


def charge_for(amount_cents: int, parameters: Parameters) -> Charge:
    """The amount with the client fee of this version on top.

    Source: the network's rules, rule 4.
    """
    client_fee_cents = mul_div_floor(amount_cents, parameters.client_fee_bps, BPS)
    return Charge(
        amount_cents=amount_cents,
        client_fee_cents=client_fee_cents,
        talent_fee_cents=TALENT_FEE_CENTS,
        total_cents=amount_cents + client_fee_cents,
        parameters_version=parameters.version,
    )


def fee_refund_bps(parameters: Parameters, *, hold_passed: bool) -> int:
    """How much of each refunded unit comes back as client fee, in bps.

    Within the hold no reward has been minted, so all of it; later only what two rewards cannot have cost.
    Source: the network's rules, rule 6.
    """
    if not hold_passed:
        return parameters.client_fee_bps
    return max(0, parameters.client_fee_bps - 2 * parameters.connector_reward_bps)


def refund(
    totals: RefundTotals, *, amount_cents: int, refunded_cents: int, parameters: Parameters, hold_passed: bool
) -> RefundTotals:
    """The totals of a transaction of `amount_cents` after another `refunded_cents` went back.

    The fee is floored over the cumulative sum, so no order and no splitting of refunds gains a cent.

    Raises: RefundExceedsTransaction when more is asked than is left.
    Source: the network's rules, rule 6.
    """
    left_cents = amount_cents - totals.refunded_cents
    if refunded_cents > left_cents:
        raise RefundExceedsTransaction.field(
            "amount_cents", f"Only {format_usd(left_cents)} of the transaction is left to refund."
        )
    fee_numerator = totals.fee_numerator + refunded_cents * fee_refund_bps(parameters, hold_passed=hold_passed)
    return RefundTotals(totals.refunded_cents + refunded_cents, fee_numerator, fee_numerator // BPS)


def status_after_refund(totals: RefundTotals, *, amount_cents: int) -> TransactionStatus:
    """completed, partially_refunded or refunded, by what went back of the amount."""
    if totals.refunded_cents == 0:
        return TransactionStatus.COMPLETED
    return TransactionStatus.REFUNDED if totals.refunded_cents == amount_cents else TransactionStatus.PARTIALLY_REFUNDED


def require_rate_range(rate_min_cents: int, rate_max_cents: int) -> None:
    """Let pass only a range whose lower end is not above its upper one.

    Raises: Unprocessable otherwise.
    """
    if rate_min_cents > rate_max_cents:
        raise Unprocessable.field("rate_max_cents", "rate_max_cents must not be below rate_min_cents.")

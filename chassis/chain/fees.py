"""What a transaction bids for gas: the market's price, the replacement's, and the ceilings. Pure."""

from dataclasses import dataclass

_BUMP_NUMERATOR, _BUMP_DENOMINATOR = 9, 8
"""+12.5 %. Nodes drop a replacement that bids less than 10 % more on both fees."""


@dataclass(frozen=True)
class Fees:
    """The two bids of an EIP-1559 transaction, in wei per gas."""

    max_fee_per_gas_wei: int
    max_priority_fee_per_gas_wei: int

    def bumped(self) -> "Fees":
        """Both fees raised by 12.5 %, rounded up."""
        return Fees(_bump(self.max_fee_per_gas_wei), _bump(self.max_priority_fee_per_gas_wei))

    def at_least(self, other: "Fees") -> "Fees":
        """The larger of each fee."""
        return Fees(
            max(self.max_fee_per_gas_wei, other.max_fee_per_gas_wei),
            max(self.max_priority_fee_per_gas_wei, other.max_priority_fee_per_gas_wei),
        )


@dataclass(frozen=True)
class Ceilings:
    """Limits on every bid: an absolute one, and one relative to the market's price."""

    max_fee_per_gas_wei: int
    max_priority_fee_per_gas_wei: int
    market_multiple: int


def market_fees(base_fee_wei: int, suggested_priority_wei: int, ceilings: Ceilings) -> Fees:
    """The bid of a first attempt: twice the base fee plus the suggested tip, so that six full blocks are
    outlived; never above the ceilings. Source: EIP-1559 (the base fee rises by 12.5 % per full block)."""
    priority = min(max(suggested_priority_wei, 1), ceilings.max_priority_fee_per_gas_wei)
    whole = min(2 * base_fee_wei + priority, ceilings.max_fee_per_gas_wei)
    return Fees(whole, min(priority, whole))


def replacement_fees(last: Fees, market: Fees, ceilings: Ceilings) -> Fees | None:
    """The bid that replaces `last`: 12.5 % above it on both fees, and no less than the market's first bid.

    None when that would pass the absolute ceiling or `market_multiple` times the market's bid: better late
    than at any price.
    """
    needed = last.bumped()
    limit = min(ceilings.max_fee_per_gas_wei, ceilings.market_multiple * market.max_fee_per_gas_wei)
    if needed.max_fee_per_gas_wei > limit:
        return None
    wanted = needed.at_least(market)
    return Fees(wanted.max_fee_per_gas_wei, min(wanted.max_priority_fee_per_gas_wei, wanted.max_fee_per_gas_wei))


def _bump(fee_wei: int) -> int:
    return -(-fee_wei * _BUMP_NUMERATOR // _BUMP_DENOMINATOR)

"""What goes wrong on the way to the chain. Not errors for a caller over HTTP: workers see them."""

from typing import Any


class ChainError(Exception):
    """Base of everything this package raises by itself."""


class RpcError(ChainError):
    """The node answered, with an error. `data` holds the revert bytes (0x text) when a call reverted."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message
        self.data = data


class RpcUnavailable(ChainError):
    """No usable answer came back. A transaction sent this way may still have arrived."""


class ChainMismatch(ChainError):
    """The node speaks for another chain, or other code, than the one pinned at first use: nothing is signed."""


class KeyRefused(ChainError):
    """A key that must not sign on this chain, or that cannot be read."""


class KeyUnavailable(ChainError):
    """A key on another machine did not answer: the next attempt may find it."""


class IntentRefused(ChainError):
    """Not a known (contract, method), or above the gas-price ceiling: the signer does not sign it."""


class LeaseLost(ChainError):
    """Another process took the lane over; what was about to be written is dropped."""


class LaneNotOpen(ChainError):
    """No worker has yet seeded this lane from the chain: nothing can be reserved."""


class LaneHalted(ChainError):
    """The lane stands still until a person resumes it; the message is the reason."""


class LaneFull(ChainError):
    """The lane has as many transactions in flight as it may have."""

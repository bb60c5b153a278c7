"""The payment providers a client may choose. A provider that has to be waited for would settle outside the
unit of work; the sandbox moves no real money and settles inside the call."""

from collections.abc import Mapping
from typing import Final, Protocol

from services.jobs.errors import UnknownPaymentMethod


class PaymentProvider(Protocol):
    """What jobs needs of a provider: its name, and that it takes a charge at once."""

    @property
    def name(self) -> str:
        """The `method` a client names, and the `provider` of the transaction."""

    def settle(self, *, total_cents: int) -> str:
        """Take `total_cents` from the client; the payment's final status comes back."""


class Sandbox:
    """Always succeeds: for development and tests. Its payments never mint off the local chain (rule 3)."""

    name: Final = "sandbox"

    def settle(self, *, total_cents: int) -> str:
        """ "succeeded", whatever the amount above 0."""
        assert total_cents > 0
        return "succeeded"


def providers(*, sandbox_on: bool) -> Mapping[str, PaymentProvider]:
    """The providers that are switched on, by name."""
    return {Sandbox.name: Sandbox()} if sandbox_on else {}


def provider_named(method: str, available: Mapping[str, PaymentProvider]) -> PaymentProvider:
    """The provider a client named.

    Raises: UnknownPaymentMethod when there is none of this name, or it is switched off.
    """
    provider = available.get(method)
    if provider is None:
        raise UnknownPaymentMethod.field("method", "No such payment method is available.")
    return provider

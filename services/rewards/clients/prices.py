"""Where the price of BTRST comes from: the settings, or a market's answer over HTTP. (A price feed on a chain is in
`chain.py`.)"""

import asyncio
import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Protocol

from chassis.http import HttpClient, HttpResponse, HttpUnavailable
from chassis.retries import pause_seconds
from services.rewards.domain.prices import to_usd_e8
from services.rewards.errors import PriceUnknown

ATTEMPTS: Final = 3
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,30})?", re.ASCII)


class PriceSource(Protocol):
    """Where the price of BTRST comes from."""

    name: str
    """Stored with every price."""

    async def usd_e8(self) -> int:
        """USD per BTRST × 10^8, now. Raises: PriceUnknown."""
        ...


class FixedPrice:
    """A price from the settings: for development, and where no market is."""

    name = "fixed"

    def __init__(self, usd_e8: int | None) -> None:
        self._usd_e8 = usd_e8

    async def usd_e8(self) -> int:
        """The price from the settings. Raises: PriceUnknown without one."""
        if self._usd_e8 is None:
            raise PriceUnknown("REWARDS_FIXED_PRICE_USD_E8 is not set")
        return self._usd_e8


class HttpPrice:
    """A number in a JSON document behind a URL.

    `pointer` says where in the document it is (RFC 6901): a JSON number, or a string of digits with a point, in USD.
    """

    def __init__(self, http: HttpClient, url: str, pointer: str, *, name: str, authorization: str = "") -> None:
        self.name = name
        self._http = http
        self._url = url
        self._pointer = pointer
        self._headers = {"Authorization": authorization} if authorization else {}

    async def usd_e8(self) -> int:
        """The number, rounded down. Asked again, with growing pauses, when the source is away or answers 429 or 5xx.

        Raises: PriceUnknown.
        """
        for attempt in range(1, ATTEMPTS + 1):
            problem = "it did not answer"
            try:
                answer = await self._http.get_json(self._url, headers=self._headers)
            except HttpUnavailable as error:
                problem = str(error)
            else:
                if answer.status == 200:
                    return self._read(answer)
                problem = f"it answered {answer.status}"
                if answer.status != 429 and answer.status < 500:
                    break
            if attempt < ATTEMPTS:
                await asyncio.sleep(pause_seconds(attempt, first=0.2))
        raise PriceUnknown(f"{self.name} told no price: {problem[:200]}")

    def _read(self, answer: HttpResponse) -> int:
        try:
            found = pointed_at(answer.json(decimals=True), self._pointer)
            if isinstance(found, str) and _NUMBER.fullmatch(found):
                found = Decimal(found)
            if not isinstance(found, Decimal):
                raise ValueError(f"at {self._pointer} is no number")
            return to_usd_e8(found)
        except (ValueError, LookupError, InvalidOperation) as error:
            raise PriceUnknown(f"{self.name} told no price: {str(error)[:200]}") from error


def pointed_at(document: Any, pointer: str) -> Any:
    """What a JSON pointer names. Source: RFC 6901. Raises: LookupError, ValueError."""
    if pointer and not pointer.startswith("/"):
        raise ValueError("a JSON pointer begins with a slash")
    found = document
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list):
            found = found[int(name)] if name.isascii() and name.isdigit() else _missing(pointer)
        elif isinstance(found, dict) and name in found:
            found = found[name]
        else:
            _missing(pointer)
    return found


def _missing(pointer: str) -> Any:
    raise LookupError(f"there is nothing at {pointer}")

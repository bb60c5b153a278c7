"""How the fields of events are told to those who read them: a description with the unit, and an example.

The examples are one story: Ada referred Clio (a client), Ben referred Tariq (Talent); Clio paid Tariq $1,000.00.
"""

from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import Field

ADA: Final = "0199a1c0-0000-7000-8000-00000000ada0"
BEN: Final = "0199a1c0-0000-7000-8000-00000000be00"
CLIO: Final = "0199a1c0-0000-7000-8000-000000c11000"
TARIQ: Final = "0199a1c0-0000-7000-8000-0000007a1100"
JOB: Final = "0199a1c0-0001-7000-8000-000000000001"
BID: Final = "0199a1c0-0002-7000-8000-000000000002"
ENGAGEMENT: Final = "0199a1c0-0003-7000-8000-000000000003"
OFFER: Final = "0199a1c0-000b-7000-8000-00000000000b"
INVOICE: Final = "0199a1c0-0004-7000-8000-000000000004"
TRANSACTION: Final = "0199a1c0-0005-7000-8000-000000000005"
REFUND: Final = "0199a1c0-0006-7000-8000-000000000006"
REWARD: Final = "0199a1c0-0007-7000-8000-000000000007"
PROPOSAL: Final = "0199a1c0-0008-7000-8000-000000000008"
GRANT: Final = "0199a1c0-0009-7000-8000-000000000009"
EVENT: Final = "0199a1c0-00ff-7000-8000-0000000000ff"
SESSION: Final = "0199a1c0-000a-7000-8000-00000000000a"
ADDRESS: Final = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
HASH: Final = "0x" + "4d" * 32
BLOCK_HASH: Final = "0x" + "b1" * 32
MOMENT: Final = "2026-11-22T10:00:00Z"
TWENTY_BTRST: Final = "20000000000000000000"


def told(description: str, example: Any) -> Any:
    """What a field means and an example of it, for the schemas. Changes nothing of what is accepted."""
    return Field(description=description, examples=[example])


def at(description: str) -> Any:
    """The same for a moment."""
    return told(f"{description}; RFC 3339, UTC, ends in Z.", MOMENT)


def wei(description: str, example: str = TWENTY_BTRST) -> Any:
    """The same for an amount of BTRST."""
    return told(f"{description}; in wei (BTRST × 10^18), as a decimal digit string.", example)


def cents(description: str, example: int) -> Any:
    """The same for an amount of USD."""
    return told(f"{description}; in USD cents.", example)


MemberId = Annotated[UUID, told("The member the event is about.", CLIO)]
ClientId = Annotated[UUID, told("The member who pays.", CLIO)]
TalentId = Annotated[UUID, told("The member who works.", TARIQ)]
JobId = Annotated[UUID, told("The job.", JOB)]
BidId = Annotated[UUID, told("The bid.", BID)]
EngagementId = Annotated[UUID, told("The agreement between client and Talent.", ENGAGEMENT)]
TransactionId = Annotated[UUID, told("The marketplace payment from a client to a Talent.", TRANSACTION)]

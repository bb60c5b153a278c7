"""Bodies of the parameters."""

from typing import Any

from chassis.clock import Timestamp
from chassis.money import Wei
from chassis.web import ReadModel


class ParameterRead(ReadModel):
    """A parameter; the value is a digit string, since some are wei."""

    name: str
    value: Wei


class ParametersRead(ReadModel):
    """One version: the whole set."""

    version: int
    created_at: Timestamp
    effective_at: Timestamp
    block_number: int | None
    chain_tx_hash: str | None
    items: list[ParameterRead]

    @classmethod
    def of(cls, row: Any) -> "ParametersRead":
        """The answer for a row."""
        items = [ParameterRead(name=name, value=value) for name, value in sorted(row.entries.items())]
        return cls(
            version=row.version,
            created_at=row.created_at,
            effective_at=row.effective_at,
            block_number=row.block_number,
            chain_tx_hash=row.chain_tx_hash,
            items=items,
        )

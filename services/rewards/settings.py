"""Settings of the rewards service: `REWARDS_*`, and `CHAIN_RPC_URLS`, which governance reads too."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from chassis.settings import ServiceSettings


class RewardsSettings(ServiceSettings):
    """What rewards adds. Without RPC URLs and addresses the service earns and records, but pays nothing."""

    model_config = SettingsConfigDict(env_prefix="REWARDS_", extra="ignore", populate_by_name=True)

    chain_rpc_urls: str = Field("", validation_alias="CHAIN_RPC_URLS")
    """JSON-RPC endpoints, comma-separated, the preferred one first."""

    chain_id: int = 31337
    payout_mode: Literal["mint"] = "mint"
    btrst_address: str = ""
    minter_address: str = ""
    start_block: int = Field(0, ge=0)
    """The block of the deployment: no log of ours is older."""

    signer_key: SecretStr = SecretStr("")
    """64 hexadecimal digits; development only."""

    signer_key_file: Path | None = None
    """A file with the same."""

    confirmations: int = Field(2, ge=0)
    """Blocks on top of a settlement's block before its rewards count as minted."""

    fixed_price_usd_e8: int | None = Field(None, gt=0)
    """USD per BTRST × 10^8, for development. Without a price rewards are held `stale_price`."""

    fact_wait_seconds: float = Field(5.0, gt=0)
    verify_retry_seconds: float = Field(2.0, gt=0)
    batch_wait_seconds: float = Field(0.2, ge=0)
    """How long the head of the queue waits for others to share its chain tx."""

    blocked_retry_seconds: float = Field(1.0, gt=0)
    """How soon to look again when nothing can be reserved."""

    idle_chain_seconds: float = Field(2.0, gt=0)
    """How often to look at the chain while nothing is under way."""

    rpc_timeout_seconds: float = Field(5.0, gt=0)
    replace_after_seconds: float = Field(30.0, gt=0)
    max_fee_per_gas_wei: int = Field(500 * 10**9, gt=0)
    gas_budget_wei_per_day: int = Field(50 * 10**18, gt=0)

    @property
    def rpc_urls(self) -> list[str]:
        """The endpoints, in order of preference."""
        return [url.strip() for url in self.chain_rpc_urls.split(",") if url.strip()]

    @property
    def pays(self) -> bool:
        """Whether this process knows a chain to pay on."""
        return bool(self.rpc_urls and self.btrst_address and self.minter_address)

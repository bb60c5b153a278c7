"""Settings of the rewards service: `REWARDS_*`, and `CHAIN_RPC_URLS`, which governance reads too."""

from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from chassis.settings import ServiceSettings
from chassis.signer_settings import SignerSettings


class RewardsSettings(ServiceSettings, SignerSettings):
    """What rewards adds. Without RPC URLs and addresses the service earns and records, but pays nothing."""

    model_config = SettingsConfigDict(env_prefix="REWARDS_", extra="ignore", populate_by_name=True)

    chain_rpc_urls: str = Field("", validation_alias="CHAIN_RPC_URLS")
    """JSON-RPC endpoints, comma-separated, the preferred one first."""

    chain_id: int = 31337
    payout_mode: Literal["mint", "transfer"] = "mint"
    """Whether rewards are minted, or paid from a reserve of a token that has no mint."""

    btrst_address: str = ""
    minter_address: str = ""
    """The RewardsMinter; for `transfer` the ReservePayer."""

    start_block: int = Field(0, ge=0)
    """The block of the deployment: no log of ours is older."""

    confirmations: int = Field(2, ge=0)
    """Blocks on top of a settlement's block before its rewards count as minted."""

    fixed_price_usd_e8: int | None = Field(None, gt=0)
    """USD per BTRST × 10^8, for development. Without a price rewards are held `stale_price`."""

    price_source: Literal["fixed", "http", "aggregator"] = "fixed"
    """Where prices come from: the setting above, a JSON document, or a price feed on a chain."""

    price_url: str = ""
    """For `http`: the document."""

    price_pointer: str = "/price"
    """For `http`: where in the document the USD are (a JSON pointer, RFC 6901)."""

    price_name: str = Field("market", min_length=1, max_length=100)
    """For `http`: the source's name, stored with every reward."""

    price_authorization: SecretStr = SecretStr("")
    """For `http`: the value of the `Authorization` header, if one is needed."""

    price_feed_address: str = ""
    """For `aggregator`: a contract of the shape of AggregatorV3Interface, USD per BTRST."""

    price_feed_rpc_urls: str = ""
    """For `aggregator`: endpoints of its chain, if that is not ours."""

    price_feed_max_age_seconds: float = Field(90_000.0, gt=0)
    """For `aggregator`: how old its answer may be; feeds that hardly move are updated once a day."""

    price_every_seconds: float = Field(300.0, gt=0)
    """How often to ask. A price needs 576 of the last 720 hours, and one of the last two."""

    price_lowest_usd_e8: int = Field(100_000, gt=0)
    price_highest_usd_e8: int = Field(100 * 10**8, gt=0)
    """What is outside is taken for an error of the source, not for a price ($0.001 to $100)."""

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

    @model_validator(mode="after")
    def _prices_have_a_source(self) -> Self:
        if self.price_source == "http" and not self.price_url.startswith(("http://", "https://")):
            raise ValueError("REWARDS_PRICE_SOURCE=http needs REWARDS_PRICE_URL, an http or https URL")
        if self.price_source == "http" and self.price_pointer and not self.price_pointer.startswith("/"):
            raise ValueError("REWARDS_PRICE_POINTER begins with a slash (RFC 6901)")
        if self.price_source == "aggregator" and not (self.price_feed_address and self.feed_urls):
            raise ValueError("REWARDS_PRICE_SOURCE=aggregator needs REWARDS_PRICE_FEED_ADDRESS and an RPC URL")
        if self.price_lowest_usd_e8 > self.price_highest_usd_e8:
            raise ValueError("REWARDS_PRICE_LOWEST_USD_E8 is above REWARDS_PRICE_HIGHEST_USD_E8")
        return self

    @property
    def feed_urls(self) -> list[str]:
        """The endpoints of the price feed's chain."""
        return [url.strip() for url in (self.price_feed_rpc_urls or self.chain_rpc_urls).split(",") if url.strip()]

    @property
    def rpc_urls(self) -> list[str]:
        """The endpoints, in order of preference."""
        return [url.strip() for url in self.chain_rpc_urls.split(",") if url.strip()]

    @property
    def pays(self) -> bool:
        """Whether this process knows a chain to pay on."""
        return bool(self.rpc_urls and self.btrst_address and self.minter_address)

"""Settings of governance: `GOVERNANCE_*` in the environment, and where the chain is."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chassis.settings import ServiceSettings
from chassis.signer_settings import SignerSettings


class GovernanceSettings(ServiceSettings, SignerSettings):
    """What governance needs beside the chassis' own settings. The signer is the relay."""

    model_config = SettingsConfigDict(env_prefix="GOVERNANCE_", extra="ignore", populate_by_name=True)

    chain_rpc_urls: str = Field("http://127.0.0.1:8545", validation_alias="CHAIN_RPC_URLS")
    """Comma-separated JSON-RPC endpoints, tried in order."""

    chain_id: int = 31337
    btrst_address: str = ""
    parameters_address: str = ""
    governor_address: str = ""
    start_block: int = Field(0, ge=0)
    """The first block worth indexing: the one that holds the contracts."""

    index_follow: str = Field("finalized", pattern=r"^(latest|finalized|[0-9]{1,4})$")
    """How far the index of votes goes: to the finalized block, the latest, or so many blocks behind it."""

    voting_delay_seconds: int = Field(0, ge=0)
    voting_period_seconds: int = Field(25, ge=1)
    effective_after_seconds: int = Field(120, ge=1)
    """From the close of the ballot to the second its parameters take effect; it must leave time for the on-chain
    vote, the timelock and the contract's notice, else the change cannot be executed any more."""

    proposal_threshold_wei: int = Field(10**18, ge=0)
    quorum_floor_wei: int = Field(10**18, ge=0)
    quorum_percent: int = Field(4, ge=0, le=100)
    """Floor and percentage are the Governor's own."""

    max_live_proposals_per_author: int = Field(10, ge=1)

    confirmations: int = Field(2, ge=1)
    relay_daily_budget_wei: int = Field(10**18, ge=0)
    """The most ether the relay spends on gas in a day."""

    relay_max_fee_per_gas_wei: int = Field(500 * 10**9, ge=1)
    relay_min_balance_wei: int = Field(0, ge=0)
    """BTRST a delegator must hold for the relay to pay the gas."""

    relay_wait_seconds: float = Field(8.0, gt=0)
    """How long a request waits for its chain tx to be signed."""

    signature_threads: int = Field(2, ge=1)
    signature_backlog: int = Field(1_000, ge=1)
    """Signatures that may wait to be checked, before 429."""

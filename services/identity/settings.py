"""Settings of identity: `IDENTITY_*` in the environment."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from chassis.settings import ServiceSettings


class IdentitySettings(ServiceSettings):
    """What identity needs beside the chassis' own settings."""

    model_config = SettingsConfigDict(env_prefix="IDENTITY_", extra="ignore", populate_by_name=True)

    public_url: str = Field("http://127.0.0.1:8080", validation_alias="PUBLIC_URL")
    """Where people reach the network: the domain and uri they sign in EIP-4361 messages."""

    chain_id: int = 31337

    key_secret: SecretStr = SecretStr("")
    """Encrypts the private signing keys at rest. At least 32 characters."""

    key_rotation_seconds: int = Field(30 * 24 * 3600, ge=3600)
    access_token_seconds: int = Field(900, ge=10, le=900)
    session_seconds: int = Field(30 * 24 * 3600, ge=60)
    """How long a session can be refreshed before the member must log in again."""

    admin_email: str = ""
    admin_password: SecretStr = SecretStr("")

    payout_delay_seconds: int = Field(0, ge=0)
    """How long a change of the payout wallet waits, so that its owner can notice and undo it."""

    login_rate_limit: int = Field(100, ge=1)
    """Log-ins a second from one address, before 429."""

    trusted_proxies: str = "127.0.0.1,::1"
    """Comma-separated addresses and networks whose `X-Forwarded-For` names the caller: the gateway's, and those of
    the proxies that the gateway itself believes."""

    hashing_threads: int = Field(2, ge=1)
    hashing_backlog: int = Field(512, ge=1)
    """Password hashes and signature checks that may wait for a thread, before 429."""

    feed_keep_seconds: int = Field(14 * 24 * 3600, ge=60)
    """How long an event stays in the feeds of the members it concerns, and so how far back a stream can go on from."""

    max_streams: int = Field(1_000, ge=1)
    """Event streams open in one process, before 429."""

    max_streams_per_member: int = Field(8, ge=1)
    stream_heartbeat_seconds: float = Field(15.0, gt=0, le=20)
    """A comment is sent when nothing else was for so long; the gateway takes a pause of 30 s for a failure."""

    stream_stall_seconds: float = Field(30.0, gt=0)
    """How long a reader may take nothing before the stream is cut off."""

"""The gateway's settings, `GATEWAY_*` in the environment; where the services are comes from the shared ones."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from chassis.settings import ServiceSettings
from chassis.upstreams import Origin
from gateway.cors import origin_of


class GatewaySettings(ServiceSettings):
    """What an operator may turn. Rates are requests per second; a second's worth may come at once."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", extra="ignore", populate_by_name=True)

    port: int = 8080

    identity_urls: str = ""
    """Several addresses of the service, `http://host:port` each, separated by commas: requests are balanced over them.
    Empty: the one of `IDENTITY_URL`; likewise for the others."""

    jobs_urls: str = ""
    rewards_urls: str = ""
    governance_urls: str = ""
    rate_limit: int = Field(10_000, ge=1)
    """For each token (all tokens of one session count together)."""

    address_rate_limit: int | None = Field(None, ge=1)
    """For each address, counting what comes without a valid token; as `rate_limit` if not set."""

    limits_url: str = Field("", repr=False)
    """The Redis or Valkey that counts for all gateways together: `redis://[:password@]host:port`, or `rediss://` with
    TLS. Empty: each counts by itself, in memory."""

    limits_seconds: float = Field(0.25, gt=0, le=10)
    """How long it may take to answer, before each gateway counts by itself until it is back."""

    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    """Networks, separated by commas, whose X-Forwarded-* are believed."""

    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins, separated by commas, whose pages may read answers (`https://app.example`); none if empty, never `*`."""

    cors_seconds: int = Field(600, ge=0, le=86_400)
    """How long a browser may remember that a page may call."""

    max_header_bytes: int = Field(16_384, ge=1_024)
    max_headers: int = Field(100, ge=10)
    max_target_bytes: int = Field(8_192, ge=256)
    max_in_flight: int = Field(10_000, ge=1)
    max_connections: int = Field(10_000, ge=1)
    """Client connections; for a new one over it, idle ones are closed, or it is told to come back."""

    address_connections: int = Field(1_000, ge=1)
    """The same for each address, but for trusted proxies."""

    upstream_connections: int = Field(256, ge=1)
    max_streams: int = Field(1_000, ge=1)
    """Event streams open at once, before 429; each has an upstream connection beside those above."""

    head_seconds: float = Field(10.0, gt=0)
    """How long a client may take to send a request's header."""

    body_seconds: float = Field(20.0, gt=0)
    """How long a client may take to send a whole body."""

    stall_seconds: float = Field(60.0, gt=0)
    """How long a client may refuse to read what we send."""

    connect_seconds: float = Field(1.0, gt=0)
    upstream_seconds: float = Field(30.0, gt=0)
    """How long a service may take to begin its answer, and may pause within it."""

    breaker_failures: int = Field(5, ge=1)
    """An address that fails so many times in a row is left alone for a while."""

    breaker_seconds: float = Field(0.5, gt=0)
    """For how long at first; twice as long after each attempt that fails."""

    breaker_longest_seconds: float = Field(5.0, gt=0)
    """No longer than that: so long may a service be back before it is noticed."""

    retry_seconds: float = Field(3.0, ge=0)
    """How long a request that can be sent again waits for a service to come back."""

    keep_alive_seconds: int = Field(75, ge=1)
    access_log: bool = True
    data_plane: Literal["lane", "asgi"] = "lane"
    """How requests go to the services: below ASGI where they can, or through ASGI always."""

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
        return value

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _read_origins(cls, value: object) -> object:
        parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        return tuple(origin_of(part) for part in parts if part) if isinstance(parts, list | tuple) else value

    @field_validator("limits_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        if value and not re.fullmatch(r"rediss?://[^\s]+", value):
            raise ValueError("redis://host:port or rediss://host:port is expected")
        return value

    def addresses(self) -> dict[str, tuple[str, ...]]:
        """Service → the URLs it listens at, each once."""
        return {
            "identity": _listed(self.identity_urls) or (self.identity_url,),
            "jobs": _listed(self.jobs_urls) or (self.jobs_url,),
            "rewards": _listed(self.rewards_urls) or (self.rewards_url,),
            "governance": _listed(self.governance_urls) or (self.governance_url,),
        }

    def origins(self) -> dict[str, tuple[Origin, ...]]:
        """Where each service listens. Raises: ValueError for a URL with more than host and port."""
        return {
            service: tuple(dict.fromkeys(Origin.parse(url) for url in urls))
            for service, urls in self.addresses().items()
        }


def _listed(urls: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in urls.split(",") if part.strip()))

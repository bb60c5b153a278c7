"""Settings every service has, read from the environment; each service adds its own with its own prefix."""

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SecretsSettingsSource, SettingsConfigDict


class SettingsFault(ValueError):
    """A setting that cannot be used; the message is one line that names it."""


class KafkaSettings(BaseSettings):
    """How to get into Kafka, when `BUS_URL` names it. The same for services and scripts."""

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True)

    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", validation_alias="KAFKA_SECURITY_PROTOCOL"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", validation_alias="KAFKA_SASL_MECHANISM"
    )
    kafka_sasl_username: str = Field("", validation_alias="KAFKA_SASL_USERNAME")
    kafka_sasl_password: str = Field("", validation_alias="KAFKA_SASL_PASSWORD", repr=False)
    kafka_ssl_ca_file: str = Field("", validation_alias="KAFKA_SSL_CA_FILE")
    """Whose certificates are trusted (PEM); empty: the system's."""

    kafka_ssl_cert_file: str = Field("", validation_alias="KAFKA_SSL_CERT_FILE")
    kafka_ssl_key_file: str = Field("", validation_alias="KAFKA_SSL_KEY_FILE")
    """Our own certificate and its key (PEM), for brokers that ask for one."""

    kafka_replication_factor: int = Field(1, ge=1, le=9, validation_alias="KAFKA_REPLICATION_FACTOR")
    """Of topics that we create."""

    kafka_create_topics: bool = Field(True, validation_alias="KAFKA_CREATE_TOPICS")
    """False: the topics must be there already (`python -m scripts.topics`), and a missing one is said so."""


class ServiceSettings(KafkaSettings):
    """What the chassis needs. `DATABASE_URL` and the ports come as `<SERVICE>_DATABASE_URL` and so on.

    Fields without the service's prefix (`BUS_URL`, `JWKS_URL` ...) are shared by all services of a deployment. What
    the environment does not say may stand in a file of the folder `SECRETS_DIR`, named like the variable.
    """

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True)

    environment: Literal["development", "test", "production"] = Field("development", validation_alias="ENVIRONMENT")
    role: Literal["all", "api", "worker"] = Field("all", validation_alias="ROLE")
    log_level: str = Field("INFO", validation_alias="LOG_LEVEL")
    failpoint: str = Field("", validation_alias="FAILPOINT")

    host: str = "127.0.0.1"
    port: int = 0
    database_url: str = ""
    database_pool_size: int = 10

    bus_url: str = Field("", validation_alias="BUS_URL")
    """memory://, postgresql://… (the log of events) or kafka://host:port[,host:port]."""

    jwt_issuer: str = Field("btrst-network", validation_alias="JWT_ISSUER")
    jwt_audience: str = Field("btrst-api", validation_alias="JWT_AUDIENCE")
    identity_url: str = Field("http://127.0.0.1:8101", validation_alias="IDENTITY_URL")
    """Where this deployment's identity service listens: its JWKS and its internal API."""

    jobs_url: str = Field("http://127.0.0.1:8102", validation_alias="JOBS_URL")
    rewards_url: str = Field("http://127.0.0.1:8103", validation_alias="REWARDS_URL")
    governance_url: str = Field("http://127.0.0.1:8104", validation_alias="GOVERNANCE_URL")
    internal_secret: str = Field("", validation_alias="INTERNAL_SECRET")
    """Shared by the services of a deployment; signs the tokens of the internal API. At least 32 characters."""

    max_body_bytes: int = Field(262_144, validation_alias="MAX_BODY_BYTES")
    drain_seconds: float = Field(0.0, ge=0, le=10, validation_alias="DRAIN_SECONDS")
    """How long a process that is to end goes on taking connections while it says that it is not ready: as long as
    a load balancer needs to notice."""

    @classmethod
    def from_environment(cls) -> Self:
        """The settings. Raises: SettingsFault, in one line that names each variable and echoes no value."""
        try:
            return cls()
        except ValidationError as error:
            faults = [f"{cls.env_name(str(fault['loc'][0]))}: {fault['msg']}" for fault in error.errors()]
            raise SettingsFault("; ".join(faults)) from None

    @classmethod
    def env_name(cls, field: str) -> str:
        """The environment variable of a field."""
        found = cls.model_fields.get(field)
        if found is None:
            return field
        alias = found.validation_alias
        return alias if isinstance(alias, str) else f"{cls.model_config.get('env_prefix', '')}{field}".upper()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, then the files of `SECRETS_DIR`. Raises: SettingsFault when there is no such folder."""
        folder = os.environ.get("SECRETS_DIR")
        if not folder:
            return init_settings, env_settings
        if not Path(folder).is_dir():
            raise SettingsFault(f"SECRETS_DIR names no folder: {folder}")
        return init_settings, env_settings, SecretsSettingsSource(settings_cls, secrets_dir=folder)

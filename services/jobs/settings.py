"""Settings of the jobs service: `JOBS_*` beside what every service reads."""

from pydantic_settings import SettingsConfigDict

from chassis.settings import ServiceSettings


class JobsSettings(ServiceSettings):
    """What jobs adds. `sandbox_enabled` unset means: everywhere but in production."""

    model_config = SettingsConfigDict(env_prefix="JOBS_", extra="ignore", populate_by_name=True)

    sandbox_enabled: bool | None = None

    @property
    def sandbox_on(self) -> bool:
        """Whether payments by the `sandbox` provider are taken."""
        if self.sandbox_enabled is None:
            return self.environment != "production"
        return self.sandbox_enabled

"""Alembic's entry point for the rewards database."""

from chassis.migrations import run_env
from services.rewards.models import metadata

run_env(metadata)

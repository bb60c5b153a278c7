"""Alembic's entry point for the jobs database."""

from chassis.migrations import run_env
from services.jobs.models import metadata

run_env(metadata)

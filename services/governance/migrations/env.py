"""Alembic runs this: governance's own tables, in governance's own database."""

from chassis.migrations import run_env
from services.governance.models import metadata

run_env(metadata)

"""Write a new migration of one service by comparing its tables with a database at the newest revision.

Usage: python -m scripts.migration SERVICE MESSAGE
"""

import asyncio
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from alembic import command

from chassis.embedded_postgres import Cluster
from chassis.migrations import config_for, upgrade
from chassis.testing import create_database

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Make the file and print where it is."""
    service, message = sys.argv[1], " ".join(sys.argv[2:])
    import_module(f"services.{service}.models")
    location = ROOT / "services" / service / "migrations"
    folder = Path(tempfile.mkdtemp(prefix="btrst-migration-", dir="/var/tmp"))
    folder.chmod(0o711)
    cluster = Cluster(folder, durable=False)
    cluster.start()
    try:
        dsn = asyncio.run(create_database(cluster.dsn(), service))
        upgrade(dsn, location)
        number = len(list((location / "versions").glob("*.py"))) + 1
        command.revision(config_for(dsn, location), message, autogenerate=True, rev_id=f"{number:04d}")
    finally:
        cluster.remove()


if __name__ == "__main__":
    main()

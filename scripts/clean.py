"""Remove the state of a run folder, with the database that root keeps elsewhere.

Usage: python -m scripts.clean FOLDER
"""

import shutil
import sys
from pathlib import Path

from chassis.embedded_postgres import state_folder


def main() -> None:
    """Remove the folder and its database."""
    run_folder = Path(sys.argv[1])
    shutil.rmtree(state_folder(run_folder), ignore_errors=True)
    shutil.rmtree(run_folder, ignore_errors=True)


if __name__ == "__main__":
    main()

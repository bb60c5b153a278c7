"""`make containers`: build the image and run the compose file on a real engine, then hold both to their promises.

Where there can be no engine it says so and fails; with CONTAINERS_OPTIONAL=1 it says so and does not fail, and writes
the line into the file CONTAINERS_LEFT_OUT, if it is set, for whoever sums up.
`CONTAINERS_PULL=1` takes the images that the compose file names instead of stand-ins.
"""

import os
import subprocess
import sys
from pathlib import Path

from tests.containers.engine import EngineUnusable, engine
from tests.containers.images import compose_command, make_stand_ins

TESTS = Path(__file__).parent


def is_set(name: str) -> bool:
    return os.environ.get(name, "") not in {"", "0"}


def main() -> int:
    try:
        with engine() as folder:
            images = {} if is_set("CONTAINERS_PULL") else make_stand_ins(folder)
            told = images | {"CONTAINERS_COMPOSE": compose_command(folder)}
            command = [sys.executable, "-m", "pytest", "-m", "containers", str(TESTS), *sys.argv[1:]]
            return subprocess.run(command, env=os.environ | told, check=False).returncode
    except EngineUnusable as error:
        line = f"The container lane did not run: {error}"
        print(line, file=sys.stderr)
        if told := os.environ.get("CONTAINERS_LEFT_OUT"):
            Path(told).write_text(f"{line}\n")
        return 0 if is_set("CONTAINERS_OPTIONAL") else 1


if __name__ == "__main__":
    sys.exit(main())

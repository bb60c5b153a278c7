"""Fetch the local Kafka broker's jars for `make`. Never fails: where there can be no broker, it keeps the reason.

As root on Debian a missing Java or Maven is installed first (CI's machine may be new), and told.
"""

import os
import shutil
import subprocess

from chassis.kafka_jars import REASON_FILE, KafkaUnusable, ensure_jars, find_java

PACKAGES = {"java": "openjdk-17-jre-headless", "mvn": "maven"}
_APT_SECONDS = 600


def main() -> None:
    """Install what is missing if that is allowed here, fetch the jars, keep or remove the reason file."""
    install_missing()
    REASON_FILE.parent.mkdir(exist_ok=True)
    try:
        find_java()
        ensure_jars()
    except KafkaUnusable as error:
        REASON_FILE.write_text(f"{error}\n")
        print(f"Kafka cannot run here: {error}")
    else:
        REASON_FILE.unlink(missing_ok=True)


def install_missing() -> None:
    """Install Debian's packages of the programs that are missing, as root; anyone else is told by the reason."""
    missing = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
    if not missing or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    print(f"installing Debian's {' and '.join(missing)} for the Kafka broker")
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", *missing]):
        try:
            ran = subprocess.run(
                ["apt-get", *command], env=quiet, capture_output=True, text=True, check=False, timeout=_APT_SECONDS
            )
        except subprocess.TimeoutExpired:
            print(f"apt-get {command[0]} took more than {_APT_SECONDS} s; going on without")
            return
        if ran.returncode != 0:
            print(f"apt-get {command[0]} failed: {(ran.stderr.strip().splitlines() or ['no reason given'])[-1]}")
            return


if __name__ == "__main__":
    main()

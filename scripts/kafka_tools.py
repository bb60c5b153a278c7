"""Fetch the local Kafka broker's jars for `make`. Never fails: where there can be no broker, it keeps the reason.

As root on Debian a missing Java or Maven is installed first (CI's machine may be new), and told.
"""

import os
import shutil
import subprocess
import sys

from chassis.kafka_jars import REASON_FILE, KafkaUnusable, ensure_jars, find_java

JAVA_PACKAGES = ("openjdk-17-jre-headless", "openjdk-21-jre-headless", "openjdk-25-jre-headless")
"""The first that this release of Debian (or Ubuntu) has."""

_APT_SECONDS = 600


def main(*, quiet: bool = False) -> None:
    """Install what is missing if that is allowed here, fetch the jars, keep or remove the reason file.

    `quiet`: leave it to others to tell the reason.
    """
    install_missing()
    REASON_FILE.parent.mkdir(exist_ok=True)
    try:
        find_java()
        ensure_jars()
    except KafkaUnusable as error:
        REASON_FILE.write_text(f"{error}\n")
        if not quiet:
            print(f"Kafka cannot run here: {error}")
    else:
        REASON_FILE.unlink(missing_ok=True)


def install_missing() -> None:
    """Install Debian's packages of the programs that are missing, as root; anyone else is told by the reason."""
    if not _missing() or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    _apt("update")
    packages = [_java_package() if program == "java" else "maven" for program in _missing()]
    print(f"installing Debian's {' and '.join(packages)} for the Kafka broker", flush=True)
    _apt("install", "-y", "--no-install-recommends", *packages)


def _missing() -> list[str]:
    missing = [] if shutil.which("mvn") else ["mvn"]
    try:
        find_java()
    except KafkaUnusable:
        missing.insert(0, "java")
    return missing


def _java_package() -> str:
    known = subprocess.run(["apt-cache", "pkgnames", "openjdk-"], capture_output=True, text=True, check=False).stdout
    return next((name for name in JAVA_PACKAGES if name in known.split()), JAVA_PACKAGES[0])


def _apt(command: str, *arguments: str) -> None:
    """Run apt-get; what goes wrong is told, and shows again as the reason why there is no broker."""
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        ran = subprocess.run(
            ["apt-get", command, "-qq", *arguments],
            env=quiet,
            capture_output=True,
            text=True,
            check=False,
            timeout=_APT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        print(f"apt-get {command} took more than {_APT_SECONDS} s; going on without")
        return
    if ran.returncode != 0:
        print(f"apt-get {command} failed: {(ran.stderr.strip().splitlines() or ['no reason given'])[-1]}")


if __name__ == "__main__":
    main(quiet="--quiet" in sys.argv[1:])

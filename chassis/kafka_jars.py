"""Where the local broker's Java programs come from: Maven, once, into `.cache/kafka-<version>`, checked by hash."""

import fcntl
import os
import re
import shutil
import subprocess
from functools import cache
from hashlib import sha256
from pathlib import Path

KAFKA_VERSION = "4.3.1"
JAVA_VERSION = 17
_ROOT = Path(__file__).resolve().parents[1]
_POM = _ROOT / "scripts" / "kafka" / "pom.xml"
_HASHES = _ROOT / "scripts" / "kafka" / "jars.sha256"
JARS = _ROOT / ".cache" / f"kafka-{KAFKA_VERSION}"
REASON_FILE = _ROOT / ".cache" / "kafka-unusable"
_FETCH_SECONDS = 300


class KafkaUnusable(Exception):
    """Apache Kafka cannot be had or started here; the message is one line that says what to do."""


@cache
def reason_unusable() -> str | None:
    """Why no broker can be started on this machine, in one line; None when one can.

    What `make kafka-tools` found out is believed; without that, the jars are fetched now.
    """
    try:
        find_java()
        if not _is_whole(JARS) and REASON_FILE.exists():
            return REASON_FILE.read_text().strip()
        ensure_jars()
    except KafkaUnusable as error:
        return str(error)
    return None


def find_java() -> str:
    """The path of a Java that can run the broker.

    Raises: KafkaUnusable.
    """
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if found is None or not os.access(found, os.X_OK):
        raise KafkaUnusable(
            f"Java is missing: install Java {JAVA_VERSION} or newer (Debian: openjdk-17-jre-headless), or set JAVA_HOME"
        )
    told = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603
    version = re.search(r'version "(\d+)', told)
    if version is None or int(version[1]) < JAVA_VERSION:
        shown = version[1] if version else "unknown"
        raise KafkaUnusable(
            f"Kafka needs Java {JAVA_VERSION} or newer, {found} is {shown}: install one, or set JAVA_HOME"
        )
    return found


def ensure_jars() -> Path:
    """The folder with the broker's jars, fetched when it is not there yet.

    Raises: KafkaUnusable.
    """
    if not _is_whole(JARS):
        JARS.parent.mkdir(exist_ok=True)
        with (JARS.parent / "kafka.lock").open("w") as lock:  # tests in several processes come here at once
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_whole(JARS):
                _fetch()
    return JARS


def _is_whole(folder: Path) -> bool:
    """True when the folder was filled from the list of hashes that counts now."""
    stamp = folder / ".hashes"
    return stamp.exists() and stamp.read_bytes() == _HASHES.read_bytes()


def _fetch() -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaUnusable("Maven is missing: install it (Debian: maven), it fetches the jars of Apache Kafka")
    shutil.rmtree(JARS, ignore_errors=True)
    plain = ["-B", "-q", "-C", "-Dstyle.color=never"]
    command = [maven, *plain, "-f", str(_POM), "dependency:copy-dependencies", f"-DoutputDirectory={JARS}"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_FETCH_SECONDS)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise KafkaUnusable(
            f"Maven did not fetch the jars of Kafka within {_FETCH_SECONDS} s: is it reachable?"
        ) from None
    if ran.returncode != 0:
        lines = [line for line in ran.stdout.splitlines() if "ERROR" in line] or ["no reason given"]
        raise KafkaUnusable(f"Maven could not fetch the jars of Kafka {KAFKA_VERSION}: {lines[0][:300]}")
    _verify(JARS)
    shutil.copyfile(_HASHES, JARS / ".hashes")


def _verify(folder: Path) -> None:
    found = {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.jar")}
    wanted = {name: digest for digest, name in (line.split() for line in _HASHES.read_text().splitlines())}
    if found != wanted:
        names = sorted({name for name, _ in set(found.items()) ^ set(wanted.items())})
        raise KafkaUnusable(f"the jars of Kafka are not the ones of {_HASHES.name}: {', '.join(names)[:200]}")

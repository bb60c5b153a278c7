"""What the compose file is given to run with where images cannot be pulled: stand-ins made of Debian's packages.

The base is Debian's own Python on the same release; PostgreSQL is Debian's; Kafka is the release's jars from Maven,
started by the wrapper that the official image uses. Our own image and the chain's are built as they are anywhere.
"""

import os
import shutil
import subprocess
from pathlib import Path

from chassis.kafka_jars import KafkaUnusable, ensure_jars
from tests.containers.engine import LONG_SECONDS, EngineUnusable, run

STAND_INS = Path(__file__).parent / "stand_ins"
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
NAMES = {
    "PYTHON_IMAGE": "stand-in-base",
    "POSTGRES_IMAGE": "stand-in-postgres",
    "KAFKA_IMAGE": "stand-in-kafka",
}
RELEASE = "trixie"


def make_stand_ins(folder: Path) -> dict[str, str]:
    """Build the three; which variable of the compose file names which. Raises: EngineUnusable."""
    context = folder / "stand-ins"
    shutil.copytree(STAND_INS, context)
    try:
        shutil.copytree(ensure_jars(), context / "jars")
    except KafkaUnusable as error:
        raise EngineUnusable(str(error)) from error
    if BUNDLE.exists():  # whom this machine trusts
        shutil.copyfile(BUNDLE, context / BUNDLE.name)
    _import_debian(folder / "rootfs")
    for name in NAMES.values():
        file = context / f"{name.removeprefix('stand-in-')}.Dockerfile"
        print(f"building {name}", flush=True)
        run(["docker", "build", "-q", "-t", name, "-f", file, context], seconds=LONG_SECONDS, DOCKER_BUILDKIT="0")
    return NAMES


def _import_debian(rootfs: Path) -> None:
    print(f"making a Debian {RELEASE} for the base image", flush=True)
    include = "--include=python3,python3-venv,ca-certificates"
    run(["debootstrap", "--variant=minbase", include, RELEASE, rootfs], seconds=LONG_SECONDS)
    with subprocess.Popen(["tar", "-C", rootfs, "-c", "."], stdout=subprocess.PIPE) as tar:
        imported = subprocess.run(
            ["docker", "import", "-", "stand-in-rootfs"], stdin=tar.stdout, capture_output=True, check=False
        )
    if imported.returncode or tar.returncode:
        raise EngineUnusable(f"the base image cannot be imported: {imported.stderr.decode().strip()}")
    shutil.rmtree(rootfs)


def compose_command(folder: Path) -> str:
    """How Compose v2 is called here; fetched from Debian's package where it is missing. Raises: EngineUnusable."""
    for command in (["docker", "compose"], ["docker-compose"]):
        try:
            if run([*command, "version", "--short"], seconds=20).lstrip("v").startswith(("2.", "3.", "4.", "5.")):
                return " ".join(command)
        except EngineUnusable:
            continue
    print("fetching Compose from Debian's package", flush=True)
    out = folder / "compose"
    out.mkdir()
    fetch = "apt-get update -qq && cd /out && apt-get download -qq docker-compose"
    run(["docker", "run", "--rm", "-v", f"{out}:/out", NAMES["PYTHON_IMAGE"], "sh", "-c", fetch], seconds=300)
    package = next(iter(out.glob("docker-compose_*.deb")), None)
    if package is None:
        raise EngineUnusable("Debian's package of Compose did not come")
    run(["dpkg-deb", "-x", package, out])
    program = out / "usr/libexec/docker/cli-plugins/docker-compose"
    os.chmod(program, 0o755)
    return str(program)

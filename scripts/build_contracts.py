"""Builds the contracts and writes what running the product needs of them to `contracts/abi`.

`python -m scripts.build_contracts` writes; with `--check` it only compares, and fails when a file is stale.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CONTRACTS = Path(__file__).resolve().parent.parent / "contracts"
ABI_FOLDER = CONTRACTS / "abi"
FORGE = CONTRACTS / "node_modules" / ".bin" / "forge"
RELEASED = {
    "BTRST": "BTRST.sol/BTRST.json",
    "RewardsMinter": "RewardsMinter.sol/RewardsMinter.json",
    "ReservePayer": "ReservePayer.sol/ReservePayer.json",
    "NetworkParameters": "NetworkParameters.sol/NetworkParameters.json",
    "TimelockController": "TimelockController.sol/TimelockController.json",
    "BTRSTGovernor": "Governor.sol/BTRSTGovernor.json",
}
CODE_LIMIT_BYTES = 24_576  # EIP-170


class BuildError(Exception):
    """The contracts cannot be built; the text says why and what to do."""


def compile_all(out: Path) -> None:
    """Compiles the sources without the tests into `out`, from nothing.

    Raises: BuildError when forge is missing or refuses.
    """
    if not FORGE.exists():
        raise BuildError("forge is missing: run `npm ci --ignore-scripts` in contracts/")
    # Paths below forge's root, so that nothing of this machine gets into the metadata.
    command = [str(FORGE), "build", "--root", str(CONTRACTS), "--skip", "test/**", "--force"]
    done = subprocess.run(
        [*command, "--out", str(out / "out"), "--cache-path", str(out / "cache")],
        cwd=CONTRACTS,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        raise BuildError(f"forge failed:\n{done.stdout}{done.stderr}")


def digest(value: object) -> str:
    """SHA-256 of the canonical JSON of `value`, as 0x hex."""
    return "0x" + hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def immutables(references: dict[str, list[dict[str, int]]]) -> list[dict[str, int]]:
    """Where the constructor writes immutables into the deployed code, in order; byte offsets and lengths."""
    places = [place for group in references.values() for place in group]
    return sorted(places, key=lambda place: place["start"])


def artifact(name: str, built: dict[str, Any]) -> dict[str, Any]:
    """The part of forge's output that deployment, services and verification need.

    Raises: BuildError when the deployed code is over the limit.
    """
    deployed = built["deployedBytecode"]
    if len(deployed["object"]) // 2 - 1 > CODE_LIMIT_BYTES:
        raise BuildError(f"{name}: the deployed code is over {CODE_LIMIT_BYTES} bytes")
    metadata = built["metadata"]
    settings = {key: value for key, value in metadata["settings"].items() if key != "compilationTarget"}
    sources = {path: source["keccak256"] for path, source in metadata["sources"].items()}
    return {
        "contractName": name,
        "compiler": metadata["compiler"]["version"],
        "settings": settings,
        "settingsHash": digest(settings),
        "sourcesHash": digest(sources),
        "abi": built["abi"],
        "bytecode": built["bytecode"]["object"],
        "deployedBytecode": deployed["object"],
        "immutableReferences": immutables(deployed.get("immutableReferences", {})),
    }


def build() -> dict[str, str]:
    """File name → text for every released contract, the same bytes on every machine.

    Raises: BuildError.
    """
    scratch = CONTRACTS / "cache"
    scratch.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="build-") as folder:
        compile_all(Path(folder))
        texts = {}
        for name, path in RELEASED.items():
            built = json.loads((Path(folder) / "out" / path).read_text())
            texts[f"{name}.json"] = json.dumps(artifact(name, built), indent=1) + "\n"
        return texts


def stale(texts: dict[str, str]) -> list[str]:
    """The files of `contracts/abi` that differ from `texts`, lack, or are too many."""
    present = {path.name: path.read_text() for path in ABI_FOLDER.glob("*.json")}
    return sorted(name for name in present.keys() | texts.keys() if present.get(name) != texts.get(name))


def main() -> int:
    """Command line; 0 when the files are fresh or have been written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only, exit 1 when a file is stale")
    arguments = parser.parse_args()
    try:
        texts = build()
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.check:
        differing = stale(texts)
        for name in differing:
            print(f"contracts/abi/{name} is stale: run `python -m scripts.build_contracts`", file=sys.stderr)
        return 1 if differing else 0
    ABI_FOLDER.mkdir(exist_ok=True)
    for name, text in texts.items():
        (ABI_FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

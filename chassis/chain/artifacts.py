"""Built contracts, as committed in contracts/abi: one JSON file per contract with its ABI and creation bytecode."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "contracts" / "abi"


@dataclass(frozen=True)
class Artifact:
    """A compiled contract: its name, its ABI and the bytecode that creates it."""

    name: str
    abi: tuple[dict[str, Any], ...]
    bytecode: bytes


def load_artifact(name: str, folder: Path = FOLDER) -> Artifact:
    """The artifact `<name>.json`.

    Raises: FileNotFoundError when there is none of that name.
    """
    content = json.loads((folder / f"{name}.json").read_text("utf-8"))
    bytecode = content.get("bytecode", "0x")
    if isinstance(bytecode, dict):  # the compiler's own layout nests it
        bytecode = bytecode["object"]
    return Artifact(name, tuple(content["abi"]), bytes.fromhex(bytecode.removeprefix("0x")))

"""The contracts under `contracts/bench`, compiled as the product's are: for tests and for `make gas`."""

import json
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_utils.abi import collapse_if_tuple
from eth_utils.crypto import keccak

from scripts.build_contracts import CONTRACTS, FORGE

NAMES = ("PlainToken", "MappingMinter", "BitmapMinter", "Disperser", "FixedSupplyToken")


@cache
def built() -> dict[str, Any]:
    """Name → forge's output."""
    scratch = CONTRACTS / "cache"
    scratch.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="bench-") as name:
        folder = Path(name)
        command = [str(FORGE), "build", "--root", str(CONTRACTS), "--contracts", "bench", "--skip", "test/**"]
        places = ["--out", str(folder / "out"), "--cache-path", str(folder / "cache")]
        subprocess.run([*command, *places], cwd=CONTRACTS, check=True, capture_output=True, timeout=300)
        return {each: json.loads((folder / "out" / f"{each}.sol" / f"{each}.json").read_text()) for each in NAMES}


def creation(name: str, *arguments: object) -> bytes:
    """The data of the chain tx that deploys it."""
    artifact = built()[name]
    constructor: Any = next((entry for entry in artifact["abi"] if entry["type"] == "constructor"), {"inputs": []})
    return bytes.fromhex(artifact["bytecode"]["object"][2:]) + encode(_types(constructor), arguments)


def calldata(name: str, function: str, *arguments: object) -> bytes:
    """The data of a call."""
    types = _types(next(entry for entry in built()[name]["abi"] if entry.get("name") == function))
    return keccak(text=f"{function}({','.join(types)})")[:4] + encode(types, arguments)


def _types(entry: Any) -> list[str]:
    return [collapse_if_tuple(item) for item in entry["inputs"]]

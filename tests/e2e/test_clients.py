"""The generated clients play the whole story on the running network, and nothing else speaks to it."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.network import ROOT, Network

pytestmark = pytest.mark.e2e

TWENTY, THIRTY_FIVE = "20000000000000000000", "35000000000000000000"
EXPECTED = {
    "difference_wei": "0",
    "for_wei": TWENTY,
    "against_wei": TWENTY,
    "balances_wei": [THIRTY_FIVE, THIRTY_FIVE],
}
"""Two rewards of 20 BTRST each, the second less 5 for the refund; in wei."""

CLIENTS = ROOT / "clients"
PYTHON = ROOT / ".cache" / "clients-venv" / "bin" / "python"
PATHS = os.environ | {"PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"}
"""Node may be the one of our own environment."""


def played(command: list[str], network: Network, folder: Path, **more: str) -> object:
    """What a client's story printed last. Raises: AssertionError with what it said when it failed."""
    told = network.endpoints
    done = subprocess.run(
        [*command, str(told["gateway"]), str(told["rpc"]), str(told["contracts"]["btrst"])],
        cwd=folder,
        env=PATHS | more,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4_000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_typescript_client_plays_the_story(network: Network) -> None:
    folder = CLIENTS / "typescript"
    assert played(["node", "dist/story/story.js"], network, folder) == EXPECTED


def test_the_python_client_plays_the_story(network: Network) -> None:
    folder = CLIENTS / "python"
    assert played([str(PYTHON), "story.py"], network, folder, PYTHONPATH=str(folder / "build")) == EXPECTED


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ('answerOf(anybody.GET("/v1/audit/sypply", {}))', "/v1/audit/sypply"),
        ('answerOf(anybody.POST("/v1/sessions", { body: { email: "a" } }))', "password"),
        ("mintedReward.minted_wei + 1n", "minted_wei"),
    ],
)
def test_the_typescript_compiler_refuses_what_the_document_does_not_have(wrong: str, message: str) -> None:
    """Else the types would say nothing."""
    folder = CLIENTS / "typescript"
    program = folder / "story" / "wrong.ts"
    source = (folder / "story" / "story.ts").read_text()
    program.write_text(source + f"\nexport const wrong = () => {wrong};\n")
    try:
        done = subprocess.run(
            ["node", "node_modules/typescript/bin/tsc", "--noEmit"],
            cwd=folder, env=PATHS, capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        program.unlink()
    assert done.returncode != 0
    assert "story/wrong.ts" in done.stdout
    assert message in done.stdout

"""The command line of `python -m scripts.deploy_contracts`: once by hand, or as a one-shot container.

What is not an option comes from the environment or from a file of `SECRETS_DIR`: the deployer's key (`DEPLOYER_KEY`),
the node (`CHAIN_RPC_URLS`), whom the contracts obey (`REWARDS_SIGNER_ADDRESS`, `GOVERNANCE_SUBMITTER_ADDRESS`,
`GUARDIAN_ADDRESS`). A second run with the same record finds the deployment and changes nothing.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from eth_account import Account

from scripts.contract_tools import DeployError, Node
from scripts.deploy_contracts import ALLOCATIONS_FILE, LOCAL_CHAIN_ID, PRESETS, Deployment, deploy, load_allocations
from scripts.told import NotTold, told

ETHER_WEI = 10**18
GIFT_WEI = 1_000 * ETHER_WEI
PEOPLE = {
    "signer": "REWARDS_SIGNER_ADDRESS",
    "submitter": "GOVERNANCE_SUBMITTER_ADDRESS",
    "guardian": "GUARDIAN_ADDRESS",
}


def settings_of(deployment: Deployment) -> dict[str, dict[str, str]]:
    """Service → setting → value: what the services must be told of a deployment."""
    at, block = deployment["contracts"], str(deployment["block"])
    chain_id = str(deployment["chain_id"])
    return {
        "identity": {"IDENTITY_CHAIN_ID": chain_id},
        "rewards": {
            "REWARDS_CHAIN_ID": chain_id,
            "REWARDS_BTRST_ADDRESS": at["btrst"],
            "REWARDS_MINTER_ADDRESS": at["rewards_minter"],
            "REWARDS_START_BLOCK": block,
        },
        "governance": {
            "GOVERNANCE_CHAIN_ID": chain_id,
            "GOVERNANCE_BTRST_ADDRESS": at["btrst"],
            "GOVERNANCE_GOVERNOR_ADDRESS": at["governor"],
            "GOVERNANCE_PARAMETERS_ADDRESS": at["network_parameters"],
            "GOVERNANCE_START_BLOCK": block,
        },
    }


def write_settings(folder: Path, deployment: Deployment) -> None:
    """One file per setting, in a folder per service, each replaced in one step; no secret is among them."""
    for service, values in settings_of(deployment).items():
        for name, value in values.items():
            path = folder / service / name
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch = path.with_name(f".{name}")
            scratch.write_text(value)
            scratch.replace(path)


async def await_node(node: Node, seconds: float) -> int:
    """The chain id, once the node answers. Raises: DeployError when it has not within `seconds`."""
    give_up_at = time.monotonic() + seconds
    while True:
        try:
            return int(await node.call("eth_chainId"), 16)
        except DeployError:
            if time.monotonic() > give_up_at:
                raise
            await asyncio.sleep(0.5)


async def fund(node: Node, chain_id: int, addresses: Sequence[str]) -> None:
    """Ether for gas to whoever has little, which only the local chain gives away.

    Raises: DeployError on any other chain.
    """
    if chain_id != LOCAL_CHAIN_ID:
        raise DeployError(f"--fund: chain {chain_id} gives no ether away")
    for address in addresses:
        if int(await node.call("eth_getBalance", address, "latest"), 16) < GIFT_WEI // 2:
            await node.call("anvil_setBalance", address, hex(GIFT_WEI))


async def run(options: argparse.Namespace) -> Deployment:
    """Deploy as the options say, or find what was deployed. Raises: DeployError, NotTold."""
    key = told("DEPLOYER_KEY")
    rpc_url = options.rpc_url or told("CHAIN_RPC_URLS").split(",")[0].strip()
    people = {role: getattr(options, role) or told(name) for role, name in PEOPLE.items()}
    try:
        deployer = Account.from_key(key).address
    except ValueError:
        raise DeployError("DEPLOYER_KEY is not a private key: 64 hexadecimal digits") from None
    node = Node(rpc_url)
    chain_id = await await_node(node, options.wait)
    if options.fund:
        await fund(node, chain_id, [deployer, people["signer"], people["submitter"]])
    result = await deploy(
        rpc_url,
        key,
        signer_address=people["signer"],
        submitter_address=people["submitter"],
        guardian_address=people["guardian"],
        settings=PRESETS[options.preset],
        allocations=load_allocations(options.allocations),
        record=options.record,
    )
    if options.settings is not None:
        await asyncio.to_thread(write_settings, options.settings, result)
    return result


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.deploy_contracts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rpc-url", help="the node; else the first of CHAIN_RPC_URLS")
    parser.add_argument("--preset", choices=sorted(PRESETS), required=True)
    parser.add_argument("--signer", help="address of the rewards signer")
    parser.add_argument("--submitter", help="address of the governance submitter")
    parser.add_argument("--guardian", help="address that may pause minting")
    parser.add_argument("--allocations", type=Path, default=ALLOCATIONS_FILE)
    parser.add_argument("--record", type=Path, help="file that remembers the deployment; reruns read it")
    parser.add_argument(
        "--settings", type=Path, metavar="FOLDER", help="write FOLDER/<service>/<SETTING> for SECRETS_DIR"
    )
    parser.add_argument("--fund", action="store_true", help="ether for gas, from the local chain")
    parser.add_argument("--wait", type=float, default=0.0, metavar="SECONDS", help="for the node (0)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Deploys, prints the deployment as JSON; else one line that says why not."""
    options = parse(arguments)
    try:
        result = asyncio.run(run(options))
    except NotTold as error:
        print(error, file=sys.stderr)
        return 2
    except DeployError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"cannot write {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    print(json.dumps(result, indent=2))
    return 0

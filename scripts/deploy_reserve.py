"""Deploys a ReservePayer: for a network whose token has no mint, and pays rewards from a funded reserve.

    DEPLOYER_KEY=0x… python -m scripts.deploy_reserve --rpc-url URL --token 0x… --timelock 0x… \
        --signer 0x… --guardian 0x…

Prints the settings of the rewards service. The deployer keeps no power, which is asked of the node. Whoever transfers
the token to the payer funds the reserve; only the timelock takes anything out.
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping

from eth_account import Account
from eth_utils.address import to_checksum_address

from scripts.contract_tools import Contract, DeployError, Node, contract_address
from scripts.deploy_contracts import PRODUCTION, Deployment, refuse_bad_people, send_all
from scripts.told import NotTold, told

PEOPLE = ("token", "timelock", "signer", "guardian")


async def deploy_reserve(
    rpc_url: str,
    deployer_key: str,
    people: Mapping[str, str],
    *,
    capacity_wei: int = PRODUCTION.mint_capacity_wei,
    refill_wei_per_second: int = PRODUCTION.mint_refill_wei_per_second,
) -> Deployment:
    """Deploys it and asks the node whom it obeys. `people` are the addresses of token, timelock, signer and guardian.

    Raises: DeployError.
    """
    node = Node(rpc_url)
    deployer = Account.from_key(deployer_key).address
    refuse_bad_people(people, deployer)
    if (await node.call("eth_getCode", people["token"], "latest")) == "0x":
        raise DeployError(f"there is no contract at the token's address {people['token']}")
    chain_id = int(await node.call("eth_chainId"), 16)
    nonce = int(await node.call("eth_getTransactionCount", deployer, "pending"), 16)
    payer = Contract("ReservePayer")
    creation = payer.creation([*(people[name] for name in PEOPLE), capacity_wei, refill_wei_per_second])
    at = contract_address(deployer, nonce)
    (block,) = await send_all(node, deployer_key, [creation], first_nonce=nonce, chain_id=chain_id)
    if not await payer.is_at(node, at):
        raise DeployError(f"the chain has other code than ReservePayer at {at}")
    for name in PEOPLE:
        found = await payer.read(node, at, name)
        if found.lower() != people[name].lower():
            raise DeployError(f"reserve_payer.{name}() is {found}, not {people[name]}")
    contracts = {"btrst": to_checksum_address(people["token"]), "reserve_payer": at, "timelock": people["timelock"]}
    genesis_hash = (await node.call("eth_getBlockByNumber", "0x0", False))["hash"]
    return Deployment(chain_id=chain_id, genesis_hash=genesis_hash, block=block, contracts=contracts)


def settings_of(deployment: Deployment) -> dict[str, str]:
    """What the rewards service must be told."""
    at = deployment["contracts"]
    return {
        "REWARDS_PAYOUT_MODE": "transfer",
        "REWARDS_CHAIN_ID": str(deployment["chain_id"]),
        "REWARDS_BTRST_ADDRESS": at["btrst"],
        "REWARDS_MINTER_ADDRESS": at["reserve_payer"],
        "REWARDS_START_BLOCK": str(deployment["block"]),
    }


def main() -> int:
    """Command line; 0 when it is deployed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rpc-url", required=True)
    for name in PEOPLE:
        parser.add_argument(f"--{name}", required=True, metavar="ADDRESS")
    parser.add_argument("--capacity-wei", type=int, default=PRODUCTION.mint_capacity_wei)
    parser.add_argument("--refill-wei-per-second", type=int, default=PRODUCTION.mint_refill_wei_per_second)
    given = parser.parse_args()
    try:
        deployment = asyncio.run(
            deploy_reserve(
                given.rpc_url,
                told("DEPLOYER_KEY"),
                {name: getattr(given, name) for name in PEOPLE},
                capacity_wei=given.capacity_wei,
                refill_wei_per_second=given.refill_wei_per_second,
            )
        )
    except (DeployError, NotTold) as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(f"{name}={value}" for name, value in settings_of(deployment).items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

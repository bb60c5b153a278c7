"""Check every reward that a BTRST network says it paid, as a stranger: by its public API and a node of the chain.

    python verify_rewards.py --api http://127.0.0.1:8080 --rpc http://127.0.0.1:8545 [--minter 0x…]

For each settlement: the chain tx succeeded, called the minter, and named exactly these rewards; each leaf is the hash
of what the API says of its reward, and all leaves make the root in the `Settled` log; each address got exactly the sum
of its rewards. And nothing was settled that the API is silent about. What does not hold is named, a line each, and the
exit status is 1. Give `--minter` if you know its address from elsewhere; else the API's own word is taken for it.

Needs nothing but Python and a keccak (`pip install "eth-hash[pycryptodome]"`).
Source: leaves and tree as in OpenZeppelin's StandardMerkleTree (double keccak, sorted pairs, an odd node moves up);
`settle(uint64,bytes,bytes32,bytes32[])`, words of address and uint96.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen
from uuid import UUID

from eth_hash.auto import keccak

KINDS = {"connector": 0, "screening": 1, "grant": 2, "offset": 3}
SETTLED = "0x" + keccak(b"Settled(uint64,uint32,uint256,bytes32)").hex()
TRANSFER = "0x" + keccak(b"Transfer(address,address,uint256)").hex()
SETTLE = keccak(b"settle(uint64,bytes,bytes32,bytes32[])")[:4]
BLOCKS = 10_000  # of logs asked for at once


class Sources:
    """The two things that are asked: the API, and the node."""

    def __init__(self, api: str, rpc: str) -> None:
        self._api, self._rpc = api.rstrip("/"), rpc

    def get(self, path: str, **query: str) -> Any:
        return self._load(Request(self._api + path + ("?" + urlencode(query) if query else "")))

    def pages(self, path: str) -> Iterator[Any]:
        query: dict[str, str] = {"limit": "100"}
        while True:
            page = self.get(path, **query)
            yield from page["items"]
            if page["next_cursor"] is None:
                return
            query["cursor"] = page["next_cursor"]

    def call(self, method: str, *params: Any) -> Any:
        asked = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        answer = self._load(Request(self._rpc, asked, {"content-type": "application/json"}))
        if "result" not in answer:
            raise SystemExit(f"the node refused {method}: {answer.get('error')}")
        return answer["result"]

    def _load(self, request: Request) -> Any:
        try:
            with urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except (URLError, OSError, ValueError) as error:
            raise SystemExit(f"{request.full_url}: {error}") from error


def word(value: int | str | UUID) -> bytes:
    """One word of abi.encode: a number, an address, or a bytes16."""
    if isinstance(value, UUID):
        return value.bytes.ljust(32, b"\0")
    if isinstance(value, str):
        return bytes.fromhex(value[2:]).rjust(32, b"\0")
    return value.to_bytes(32, "big", signed=True)


def leaf_of(line: Any) -> bytes:
    """The hash of what the API says of a line."""
    words = (
        word(line["minter"]), word(line["seq"]), word(KINDS[line["kind"]]), word(UUID(line["source_id"])),
        word(UUID(line["beneficiary_id"])), word(line["payout_address"]), word(int(line["amount_wei"])),
    )  # fmt: skip
    return keccak(keccak(b"".join(words)))


def root_of(nodes: list[bytes]) -> bytes:
    """The root over leaves."""
    while len(nodes) > 1:
        pairs = [nodes[i : i + 2] for i in range(0, len(nodes), 2)]
        nodes = [keccak(min(pair) + max(pair)) if len(pair) == 2 else pair[0] for pair in pairs]
    return nodes[0] if nodes else b""


def calldata_of(data: bytes) -> tuple[int, list[UUID], dict[str, int]]:
    """firstId, the reward ids, and what each address gets, of a call of `settle`."""
    if data[:4] != SETTLE:
        raise ValueError("it is no call of settle")
    body = data[4:]

    def number(at: int) -> int:
        return int.from_bytes(body[at : at + 32], "big")

    at, size = number(32) + 32, number(number(32))
    ids = [UUID(bytes=body[i : i + 16]) for i in range(at, at + size, 16)]
    at, size = number(96) + 32, number(number(96))
    paid: Counter[str] = Counter()
    for i in range(at, at + 32 * size, 32):
        paid["0x" + body[i : i + 20].hex()] += int.from_bytes(body[i + 20 : i + 32], "big")
    return number(0), ids, dict(paid)


def problems_of(settlement: Any, sources: Sources, minter: str, token: str) -> Iterator[str]:
    """What does not hold of one settlement."""
    name, first = f"settlement {settlement['first_id']}", settlement["first_id"]
    sent = sources.call("eth_getTransactionByHash", settlement["chain_tx_hash"])
    receipt = sources.call("eth_getTransactionReceipt", settlement["chain_tx_hash"])
    if sent is None or receipt is None or int(receipt["status"], 16) != 1 or (sent["to"] or "").lower() != minter:
        yield f"{name}: {settlement['chain_tx_hash']} is no successful call of the minter {minter}"
        return
    logs = [log for log in receipt["logs"] if log["address"].lower() == minter and log["topics"][0] == SETTLED]
    if [int(log["topics"][1], 16) for log in logs] != [first]:
        yield f"{name}: {settlement['chain_tx_hash']} settled something else"
        return
    data = bytes.fromhex(logs[0]["data"][2:])
    count, total, root = int.from_bytes(data[:32], "big"), int.from_bytes(data[32:64], "big"), data[64:96]
    told = (settlement["reward_count"], int(settlement["sum_wei"]), settlement["leaves_root"])
    if told != (count, total, "0x" + root.hex()):
        yield f"{name}: the API says {told}, the chain {(count, total, '0x' + root.hex())}"
    _, ids, paid = calldata_of(bytes.fromhex(sent["input"][2:]))
    lines = settlement["leaves"]
    yield from altered_lines(name, lines, ids, first)
    if root_of([bytes.fromhex(line["leaf"][2:]) for line in lines]) != root:
        told_why = "the API does not know all that was set off in it" if not settlement["is_proven"] else "altered"
        yield f"{name}: its leaves do not make the root on chain: {told_why}"
    moved: Counter[str] = Counter()
    for log in receipt["logs"]:
        if log["address"].lower() == token and log["topics"][0] == TRANSFER:
            moved["0x" + log["topics"][2][-40:]] += int(log["data"], 16)
            moved["0x" + log["topics"][1][-40:]] -= int(log["data"], 16)
    owed: Counter[str] = Counter()
    for line in lines:
        owed[line["payout_address"].lower()] += int(line["amount_wei"])
    for address in sorted(owed.keys() | paid.keys()):
        if not owed[address] == paid.get(address, 0) == moved[address]:
            of = ", ".join(line["reward_id"] for line in lines if line["payout_address"].lower() == address)
            yield (
                f"{name}: {address} is owed {owed[address]} wei for rewards {of or 'none'}, "
                f"calldata says {paid.get(address, 0)}, it got {moved[address]}"
            )


def altered_lines(name: str, lines: list[Any], ids: list[UUID], first: int) -> Iterator[str]:
    """Rewards that are not what was settled."""
    for line in lines:
        if "0x" + leaf_of(line).hex() != line["leaf"]:
            yield f"{name}: reward {line['reward_id']} (seq {line['seq']}, {line['kind']}) is not what its leaf says"
    said = {line["seq"]: line["reward_id"] for line in lines if line["kind"] != "offset"}
    for seq, reward_id in enumerate(ids, first):
        if said.pop(seq, None) != str(reward_id):
            yield f"{name}: reward {reward_id} (seq {seq}) was settled, and the API does not say so"
    for seq, reward_id in said.items():
        yield f"{name}: reward {reward_id} (seq {seq}) was not settled"


def settled_on_chain(sources: Sources, minter: str, until: int) -> dict[int, int]:
    """firstId → wei of every `Settled` log of the minter up to a block."""
    found = {}
    for start in range(0, until + 1, BLOCKS):
        span = {"fromBlock": hex(start), "toBlock": hex(min(until, start + BLOCKS - 1))}
        for log in sources.call("eth_getLogs", {"address": minter, "topics": [SETTLED], **span}):
            found[int(log["topics"][1], 16)] = int(log["data"][66:130], 16)
    return found


def main(sources: Sources, known_minter: str | None) -> int:
    """Print what does not hold, and a summary; 0 if all holds."""
    token, audit = sources.get("/v1/token")["address"].lower(), sources.get("/v1/audit/supply")
    epochs = [epoch["number"] for epoch in sources.pages("/v1/audit/epochs")]
    settlements = [each for number in epochs for each in sources.pages(f"/v1/audit/epochs/{number}")]
    minter = (known_minter or (settlements[0]["minter"] if settlements else "0x" + "00" * 20)).lower()
    problems = [problem for each in settlements for problem in problems_of(each, sources, minter, token)]
    on_chain = settled_on_chain(sources, minter, audit["as_of_block"])
    told = [each["first_id"] for each in settlements]
    problems += [f"settlement {first}: on chain, but not in the API" for first in on_chain.keys() - set(told)]
    problems += [f"settlement {first}: told more than once" for first, times in Counter(told).items() if times > 1]
    if not sum(on_chain.values()) == int(audit["onchain_minted_wei"]) == int(audit["ledger_minted_wei"]):
        problems.append(f"the chain settled {sum(on_chain.values())} wei by the block of {audit}")
    print("\n".join(problems) or "all holds")
    rewards, paid = (sum(int(each[of]) for each in settlements) for of in ("reward_count", "sum_wei"))
    print(f"{len(settlements)} settlements, {rewards} rewards, {paid} wei, minter {minter}: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--api", required=True, help="the network's gateway")
    arguments.add_argument("--rpc", required=True, help="JSON-RPC of a node of the chain")
    arguments.add_argument("--minter", help="the minter's address, if you know it from elsewhere")
    given = arguments.parse_args()
    sys.exit(main(Sources(given.api, given.rpc), given.minter))

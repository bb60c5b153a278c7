"""Merkle leaves of a settlement: what a stranger needs to check that a reward is in a chain tx.

A leaf is keccak256(keccak256(abi.encode(minter, seq, kind, source id, beneficiary, payout address, signed amount)));
inner nodes hash their two children in ascending order. An offset is a leaf of its own, below 0, under the same seq.
Source: the convention of OpenZeppelin's StandardMerkleTree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from eth_hash.auto import keccak

KINDS: Final[dict[str, int]] = {"connector": 0, "screening": 1, "grant": 2, "offset": 3}


@dataclass(frozen=True, slots=True)
class Leaf:
    """One line of a settlement."""

    minter: str
    seq: int
    kind: str
    source_id: UUID
    beneficiary_id: UUID
    payout_address: str
    amount_wei: int

    def encoded(self) -> bytes:
        """abi.encode(address, uint64, uint8, bytes16, bytes16, address, int256): seven words."""
        return b"".join(
            (
                _address_word(self.minter),
                self.seq.to_bytes(32, "big"),
                KINDS[self.kind].to_bytes(32, "big"),
                self.source_id.bytes.ljust(32, b"\0"),
                self.beneficiary_id.bytes.ljust(32, b"\0"),
                _address_word(self.payout_address),
                self.amount_wei.to_bytes(32, "big", signed=True),
            )
        )

    def hash(self) -> bytes:
        """The leaf as it stands in the tree, 32 bytes."""
        return keccak(keccak(self.encoded()))


def _address_word(address: str) -> bytes:
    return bytes.fromhex(address[2:]).rjust(32, b"\0")


def _parent(left: bytes, right: bytes) -> bytes:
    return keccak(min(left, right) + max(left, right))


def merkle_levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """The tree from the leaves up to the root; an odd node moves up as it is.

    Raises: ValueError without leaves.
    """
    if not leaves:
        raise ValueError("a tree has at least one leaf")
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        pairs = [below[i : i + 2] for i in range(0, len(below), 2)]
        levels.append([_parent(pair[0], pair[1]) if len(pair) == 2 else pair[0] for pair in pairs])
    return levels


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The root over `leaves`. Raises: ValueError without leaves."""
    return merkle_levels(leaves)[-1][0]


def merkle_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The siblings on the way from leaf `index` to the root.

    Raises: ValueError without leaves; IndexError when there is no such leaf.
    """
    path = []
    for level in merkle_levels(leaves)[:-1]:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        index //= 2
    return path


def verify_path(leaf: bytes, path: Sequence[bytes], root: bytes) -> bool:
    """Whether `path` leads from `leaf` to `root`."""
    node = leaf
    for sibling in path:
        node = _parent(node, sibling)
    return node == root

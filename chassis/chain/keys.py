"""Keys behind one protocol: an address and `sign_digest`. Only the typed-intent signer calls them."""

import json
from pathlib import Path
from typing import Protocol

import coincurve
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from chassis.chain.errors import KeyRefused

LOCAL_CHAIN_ID = 31337

# Accounts of the mnemonics and secrets that development tools publish: anyone can sign for them.
_WELL_KNOWN = frozenset(
    """
    f39fd6e51aad88f6f4ce6ab8827279cfffb92266 70997970c51812dc3a010c7d01b50e0d17dc79c8
    3c44cdddb6a900fa2b585dd299e03d12fa4293bc 90f79bf6eb2c4f870365e785982e1f101e93b906
    15d34aaf54267db7d7c367839aaf71a00a2c6a65 9965507d1a55bcc2695c58ba16fb37d819b0a4dc
    976ea74026e726554db657fa54763abd0c3a0aa9 14dc79964da2c08b23698b3d3cc7ca32193d9955
    23618e81e3f5cdf7f54c3d65f7fbc0abf5b21e8f a0ee7a142d267c1f36714e4a8f75612f20a79720
    bcd4042de499d14e55001ccbb24a551f3b954096 71be63f3384f5fb98995898a86b02fb2426c5788
    fabb0ac9d68b0b445fb7357272ff202c5651694a 1cbd3b2770909d4e10f157cabc84c7264073c9ec
    df3e18d64bc6a983f673ab319ccae4f1a57c7097 cd3b766ccdd6ae721141f452c550ca635964ce71
    2546bcd3c84621e976d8185a91a922ae77ecec30 bda5747bfd65f08deb54cb465eb87d40e51b197e
    dd2fd4581271e230360230f9337d5c0430bf44c0 8626f6940e2eb28930efb4cef49b2d1f2c9c1199
    90f8bf6a479f320ead074411a4b0e7944ea8c9c1 ffcf8fdee72ac11b5c542428b35eef5769c409f0
    22d491bde2303f2f43325b2108d26f1eaba1e32b e11ba2b4d45eaed5996cd0823791e0c93114882d
    d03ea8624c8c5987235048901fb614fdca89b117 95ced938f7991cd0dfcb48f0a06a40fa1af46ebc
    3e5e9111ae8eb78fe1cc3bb8915d5d461f3ef9a9 28a8746e75304c0780e011bed21c72cd78cd535e
    aca94ef8bd5ffee41947b4585a84bda5a3d3da6e 1df62f291b2e969fb0849d99d9ce41e2f137006e
    627306090abab3a6e1400e9345bc60c78a8bef57 f17f52151ebef6c7334fad080c5704d77216b732
    c5fdf4076b8f3a5357c5e395ab970b5b54098fef 821aea9a577a9b44299b9c15c88cf3087f3b5544
    0d1d4e623d10f9fba5db95830f7d3839406c6af2 2932b7a2355d6fecc4b5c0b6bd44cc31df247a2e
    2191ef87e392377ec08e7c08eb105ef5448eced5 0f4f2ac550a1b4e2280d04c21cea7ebd822934b5
    6330a553fc93768f612722bb8c2ec78ac90b3bbc 5aeda56215b167893e80b4fe645ba6d5bab767de
    7e5f4552091a69125d5dfcb7b8c2659029395bdf 2b5ad5c4795c026514f8317c7a215e218dccd6cf
    6813eb9362372eef6200f3b1dbc3f819671cba69 1eff47bc3a10a45d4b230b5d10e37751fe6aa718
    """.split()  # noqa: SIM905
)


class Key(Protocol):
    """Something that signs for one address: a key in memory, a cloud key service, another signer."""

    @property
    def address(self) -> str:
        """The EIP-55 address the signatures recover to."""
        ...

    async def sign_digest(self, digest: bytes) -> bytes:
        """The 65 bytes r ‖ s ‖ y parity (0 or 1) over 32 bytes, with s in the lower half of the order."""
        ...


class MemoryKey:
    """A secp256k1 key held by this process; its repr shows the address only."""

    def __init__(self, secret: bytes) -> None:
        try:
            self._key = coincurve.PrivateKey(secret)
        except ValueError as problem:
            raise KeyRefused("not a secp256k1 secret") from problem
        public = self._key.public_key.format(compressed=False)
        self._address: str = to_checksum_address(keccak(public[1:])[-20:])

    @property
    def address(self) -> str:
        """The EIP-55 address of this key."""
        return self._address

    async def sign_digest(self, digest: bytes) -> bytes:
        """Sign 32 bytes. Source: SEC 1; low s by libsecp256k1 (EIP-2)."""
        if len(digest) != 32:
            raise KeyRefused("a digest has 32 bytes")
        return bytes(self._key.sign_recoverable(digest, hasher=None))

    def __repr__(self) -> str:
        return f"MemoryKey({self._address})"


def key_from_hex(secret: str) -> MemoryKey:
    """A key from 64 hexadecimal digits, for development.

    Raises: KeyRefused when the text is no such key (the text is never echoed).
    """
    try:
        raw = bytes.fromhex(secret.strip().removeprefix("0x"))
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise KeyRefused("a key is 64 hexadecimal digits")
    return MemoryKey(raw)


def key_from_file(path: Path, *, setting: str) -> MemoryKey:
    """The key in a file that holds nothing but 64 hexadecimal digits; `setting` is what named the file.

    Raises: KeyRefused when the file cannot be read or holds no key.
    """
    try:
        return key_from_hex(path.read_text("ascii"))
    except OSError as problem:
        raise KeyRefused(f"{setting} cannot be read: {path}: {problem.strerror}") from problem
    except (UnicodeDecodeError, KeyRefused) as problem:
        raise KeyRefused(f"{setting} holds no key: {path}: 64 hexadecimal digits are expected") from problem


def key_from_keystore(path: Path, password: str) -> MemoryKey:
    """A key from an encrypted keystore file (Web3 Secret Storage, version 3).

    Raises: KeyRefused when the file cannot be read or the password does not open it.
    """
    from eth_keyfile.keyfile import decode_keyfile_json  # slow to import, and most processes hold no keystore

    try:
        content = json.loads(path.read_text("utf-8"))
        secret = decode_keyfile_json(content, password.encode())
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise KeyRefused(f"keystore {path.name} cannot be opened: {type(problem).__name__}") from problem
    return MemoryKey(bytes(secret))


def refuse_development_key(address: str, chain_id: int) -> None:
    """Let published keys sign on the local chain only.

    Raises: KeyRefused for a well-known development key on any chain but 31337.
    """
    if chain_id != LOCAL_CHAIN_ID and address.lower().removeprefix("0x") in _WELL_KNOWN:
        raise KeyRefused(f"{address} is a published development key: it never signs on chain {chain_id}")

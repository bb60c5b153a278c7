"""The parts below the manager: fees, keys, the signer, ABI encoding and the RPC client."""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from eth_account import Account
from eth_account.typed_transactions import TypedTransaction
from hexbytes import HexBytes
from hypothesis import given
from hypothesis import strategies as st

from chassis.chain.abi import Contract, encode_deployment
from chassis.chain.artifacts import load_artifact
from chassis.chain.errors import IntentRefused, KeyRefused, RpcError, RpcUnavailable
from chassis.chain.fees import Ceilings, Fees, market_fees, replacement_fees
from chassis.chain.keys import MemoryKey, key_from_hex, key_from_keystore
from chassis.chain.rpc import JsonRpc
from chassis.chain.signer import IntentSigner, allow
from chassis.chain.values import Log, hex_text
from chassis.localchain import free_port
from tests.chassis.chain.chain_world import GWEI, PROBE_ABI, World

ADDRESS = "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"
CEILINGS = Ceilings(max_fee_per_gas_wei=100 * GWEI, max_priority_fee_per_gas_wei=5 * GWEI, market_multiple=4)


@pytest.mark.unit
class TestFees:
    def test_a_bump_is_an_eighth_rounded_up(self) -> None:
        assert Fees(1_000_000_000, 8).bumped() == Fees(1_125_000_000, 9)
        assert Fees(1, 0).bumped() == Fees(2, 0)
        assert Fees(1_125_000_000, 1_000_001).bumped() == Fees(1_265_625_000, 1_125_002)

    @given(st.integers(1, 10**15), st.integers(0, 10**15))
    def test_a_bump_is_at_least_an_eighth_and_never_a_wei_more_than_needed(self, whole: int, tip: int) -> None:
        bumped = Fees(whole, tip).bumped()
        for before, after in ((whole, bumped.max_fee_per_gas_wei), (tip, bumped.max_priority_fee_per_gas_wei)):
            assert after * 8 >= before * 9
            assert (after - 1) * 8 < before * 9

    def test_the_market_bid_is_twice_the_base_fee_and_the_tip(self) -> None:
        assert market_fees(10 * GWEI, GWEI, CEILINGS) == Fees(21 * GWEI, GWEI)
        assert market_fees(10 * GWEI, 9 * GWEI, CEILINGS) == Fees(25 * GWEI, 5 * GWEI)
        assert market_fees(90 * GWEI, GWEI, CEILINGS) == Fees(100 * GWEI, GWEI)
        assert market_fees(0, 0, CEILINGS) == Fees(1, 1)

    def test_a_replacement_is_the_bump_or_the_market(self) -> None:
        last = Fees(8 * GWEI, 8)
        assert replacement_fees(last, Fees(3 * GWEI, 1), CEILINGS) == Fees(9 * GWEI, 9)
        assert replacement_fees(last, Fees(20 * GWEI, 20), CEILINGS) == Fees(20 * GWEI, 20)

    def test_no_replacement_above_the_ceilings(self) -> None:
        assert replacement_fees(Fees(89 * GWEI, 1), Fees(99 * GWEI, 1), CEILINGS) is None
        assert replacement_fees(Fees(88 * GWEI, 1), Fees(99 * GWEI, 1), CEILINGS) == Fees(99 * GWEI, 2)
        assert replacement_fees(Fees(8 * GWEI, 1), Fees(2 * GWEI, 1), CEILINGS) is None


@pytest.mark.unit
class TestKeys:
    def test_a_key_from_text_is_the_same_account_everywhere(self) -> None:
        account = Account.create()
        key = key_from_hex(account.key.hex())
        assert key.address == account.address
        assert account.key.hex() not in repr(key)

    @pytest.mark.parametrize("secret", ["", "0x", "00" * 32, "ff" * 32, "12" * 31, "12" * 33, "zz" * 32])
    def test_what_is_no_key_is_refused_without_an_echo(self, secret: str) -> None:
        with pytest.raises(KeyRefused) as refusal:
            key_from_hex(secret)
        assert not secret or secret not in str(refusal.value)

    def test_an_encrypted_keystore(self, tmp_path: Path) -> None:
        account = Account.create()
        file = tmp_path / "key.json"
        file.write_text(json.dumps(Account.encrypt(account.key, "right", kdf="pbkdf2", iterations=2)))
        assert key_from_keystore(file, "right").address == account.address
        with pytest.raises(KeyRefused, match="cannot be opened"):
            key_from_keystore(file, "wrong")
        with pytest.raises(KeyRefused, match="cannot be opened"):
            key_from_keystore(tmp_path / "none.json", "right")
        file.write_text("{}")
        with pytest.raises(KeyRefused, match="cannot be opened"):
            key_from_keystore(file, "right")

    async def test_only_whole_digests_are_signed(self) -> None:
        with pytest.raises(KeyRefused):
            await MemoryKey(b"\x05" * 32).sign_digest(b"\x00" * 31)


@pytest.mark.unit
class TestSigner:
    probe = Contract(ADDRESS, PROBE_ABI)
    key = MemoryKey(b"\x05" * 32)

    def signer(self) -> IntentSigner:
        return IntentSigner(
            self.key, chain_id=31337, allowed=allow(self.probe, "probe"), max_fee_per_gas_wei=100 * GWEI
        )

    @given(st.integers(0, 2**64 - 2), st.integers(0, 2**256 - 1), st.integers(21_000, 2**24), st.integers(0, 50))
    def test_transactions_agree_with_an_independent_implementation(
        self, nonce: int, mode: int, gas: int, tip: int
    ) -> None:
        calldata = self.probe.encode("probe", mode)
        fees = Fees(90 * GWEI, tip)
        signed = asyncio.run(self.signer().sign(to=ADDRESS, calldata=calldata, nonce=nonce, gas_limit=gas, fees=fees))
        expected = Account.from_key(b"\x05" * 32).sign_transaction(
            {
                "type": 2,
                "chainId": 31337,
                "nonce": nonce,
                "maxPriorityFeePerGas": tip,
                "maxFeePerGas": 90 * GWEI,
                "gas": gas,
                "to": ADDRESS,
                "value": 0,
                "data": hex_text(calldata),
            }
        )
        assert signed.raw == bytes(expected.raw_transaction)
        assert signed.hash == hex_text(expected.hash)
        assert Account.recover_transaction(signed.raw) == self.key.address
        assert TypedTransaction.from_bytes(HexBytes(signed.raw)).as_dict()["chainId"] == 31337

    @pytest.mark.parametrize(
        "change",
        [
            {"to": "0x" + "11" * 20},
            {"calldata": b"\x00\x00\x00\x00"},
            {"calldata": b""},
            {"gas_limit": 20_999},
            {"gas_limit": 2**24 + 1},
            {"fees": Fees(100 * GWEI + 1, 1)},
            {"fees": Fees(GWEI, GWEI + 1)},
            {"fees": Fees(GWEI, -1)},
        ],
    )
    async def test_anything_else_is_refused(self, change: dict[str, Any]) -> None:
        good = {
            "to": ADDRESS.lower(),
            "calldata": self.probe.encode("probe", 0),
            "nonce": 0,
            "gas_limit": 100_000,
            "fees": Fees(GWEI, 1),
        }
        assert (await self.signer().sign(**good)).raw[0] == 2
        with pytest.raises(IntentRefused):
            await self.signer().sign(**(good | change))


@pytest.mark.unit
class TestAbi:
    abi: ClassVar[list[dict[str, Any]]] = [
        {
            "type": "function",
            "name": "put",
            "inputs": [
                {"name": "who", "type": "address"},
                {
                    "name": "lines",
                    "type": "tuple[]",
                    "components": [{"name": "to", "type": "address"}, {"name": "n", "type": "uint96"}],
                },
            ],
            "outputs": [{"name": "", "type": "uint256"}],
        },
        {"type": "function", "name": "put", "inputs": [{"name": "n", "type": "uint8"}], "outputs": []},
        {
            "type": "event",
            "name": "Done",
            "inputs": [
                {"name": "firstId", "type": "uint64", "indexed": True},
                {"name": "by", "type": "address", "indexed": True},
                {"name": "note", "type": "string", "indexed": True},
                {"name": "sum", "type": "uint256", "indexed": False},
            ],
        },
        {"type": "error", "name": "Bad", "inputs": [{"name": "code", "type": "uint16"}]},
        {"type": "constructor", "inputs": [{"name": "a", "type": "uint256"}]},
    ]
    contract = Contract(ADDRESS.lower(), abi)

    def test_calls_go_there_and_back(self) -> None:
        args = (ADDRESS, [(ADDRESS, 7), ("0x" + "11" * 20, 2**96 - 1)])
        calldata = self.contract.encode("put", *args)
        name, values = self.contract.decode_call(calldata)
        assert name == "put"
        assert values == {"who": ADDRESS, "lines": ((ADDRESS, 7), ("0x" + "11" * 20, 2**96 - 1))}
        assert self.contract.selector("put(uint8)") == self.contract.encode("put", 1)[:4]
        assert self.contract.selector("put(address,(address,uint96)[])") == calldata[:4]
        with pytest.raises(LookupError, match="full signature"):
            self.contract.selector("put")
        with pytest.raises(LookupError):
            self.contract.decode_call(b"\x00\x00\x00\x00")

    def test_logs(self) -> None:
        word = (64).to_bytes(32, "big")
        log = Log(
            address=ADDRESS,
            topics=(
                self.contract.topic("Done"),
                hex_text((9).to_bytes(32, "big")),
                "0x" + "00" * 12 + ADDRESS[2:].lower(),
                "0x" + "ab" * 32,
            ),
            data=word,
            block_number=1,
            block_hash="0x",
            transaction_hash="0x",
            log_index=0,
        )
        event = self.contract.decode_log(log)
        assert event is not None
        assert (event.name, event.args) == (
            "Done",
            {"firstId": 9, "by": ADDRESS, "note": b"\xab" * 32, "sum": 64},
        )
        assert Contract("0x" + "22" * 20, self.abi).decode_log(log) is None

    def test_errors(self) -> None:
        from eth_abi.abi import encode
        from eth_utils.crypto import keccak

        bad = keccak(text="Bad(uint16)")[:4] + encode(["uint16"], [3])
        assert self.contract.decode_error(bad) == ("Bad", {"code": 3})
        text = keccak(text="Error(string)")[:4] + encode(["string"], ["no"])
        assert self.contract.decode_error(text) == ("Error", {"message": "no"})
        assert self.contract.decode_error(b"") is None

    def test_artifacts(self, tmp_path: Path) -> None:
        (tmp_path / "Thing.json").write_text(json.dumps({"abi": self.abi, "bytecode": "0x6001"}))
        artifact = load_artifact("Thing", tmp_path)
        assert encode_deployment(artifact, 5) == b"\x60\x01" + (5).to_bytes(32, "big")
        with pytest.raises(FileNotFoundError):
            load_artifact("Nothing", tmp_path)
        minter = load_artifact("RewardsMinter")
        assert Contract(ADDRESS, minter.abi).topic("Settled").startswith("0x")
        assert len(minter.bytecode) > 100


class Node:
    """A JSON-RPC server that answers with what it is told to."""

    def __init__(self, answer: Any, status: int = 200) -> None:
        self.answer = answer
        self.status = status
        self.requests: list[Any] = []

    async def __aenter__(self) -> "Node":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        request = json.loads(await reader.readexactly(length))
        self.requests.append(request)
        answer = self.answer(request) if callable(self.answer) else self.answer
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        head = f"HTTP/1.1 {self.status} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def ok(result: Any) -> Any:
    def answer(request: Any) -> Any:
        if isinstance(request, list):
            return [{"jsonrpc": "2.0", "id": each["id"], "result": result} for each in reversed(request)]
        return {"jsonrpc": "2.0", "id": request["id"], "result": result}

    return answer


@pytest.mark.unit
class TestRpc:
    async def test_reads_go_on_to_the_next_node_and_stay_there(self) -> None:
        gone = f"http://127.0.0.1:{free_port()}"
        async with Node(ok("0x7")) as second:
            rpc = JsonRpc([gone, second.url], timeout_seconds=2)
            assert await rpc.call("eth_blockNumber") == "0x7"
            assert await rpc.batch([("a", ()), ("b", (1,))]) == ["0x7", "0x7"]
            assert rpc._current == 1
            await rpc.close()

    async def test_a_send_is_tried_on_one_node_only(self) -> None:
        gone = f"http://127.0.0.1:{free_port()}"
        async with Node(ok("0x7")) as second:
            rpc = JsonRpc([gone, second.url], timeout_seconds=2)
            with pytest.raises(RpcUnavailable):
                await rpc.call("eth_sendRawTransaction", "0x", once=True)
            assert second.requests == []
            assert await rpc.call("eth_sendRawTransaction", "0x", once=True) == "0x7"
            await rpc.close()

    @pytest.mark.parametrize(
        ("answer", "status"),
        [
            (b"<html>bad gateway</html>", 502),
            (b"not json", 200),
            ({"message": "slow down"}, 429),
            ({"jsonrpc": "2.0", "id": 1, "error": {"code": -32005, "message": "limit exceeded"}}, 200),
            ([1, 2], 200),
        ],
    )
    async def test_no_usable_answer(self, answer: Any, status: int) -> None:
        async with Node(answer, status) as node:
            rpc = JsonRpc([node.url + "/v1/secret-key"], timeout_seconds=2)
            with pytest.raises(RpcUnavailable) as refusal:
                await rpc.call("eth_chainId")
            assert "secret-key" not in str(refusal.value)
            await rpc.close()

    async def test_an_error_of_the_node_is_not_its_absence(self) -> None:
        error = {"code": 3, "message": "execution reverted", "data": "0x1234"}
        async with Node({"jsonrpc": "2.0", "id": 1, "error": error}) as node:
            rpc = JsonRpc([node.url], timeout_seconds=2)
            with pytest.raises(RpcError) as refusal:
                await rpc.call("eth_call")
            assert (refusal.value.code, refusal.value.data) == (3, "0x1234")
            assert len(node.requests) == 1
            await rpc.close()

    async def test_a_batch_with_a_call_unanswered(self) -> None:
        async with Node(lambda request: [{"id": request[0]["id"], "result": 1}]) as node:
            rpc = JsonRpc([node.url], timeout_seconds=2)
            with pytest.raises(RpcUnavailable, match="unanswered: b"):
                await rpc.batch([("a", ()), ("b", ())])
            await rpc.close()

    async def test_a_node_that_never_answers_times_out(self) -> None:
        done = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            done.set()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        rpc = JsonRpc([f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"], timeout_seconds=0.2)
        with pytest.raises(RpcUnavailable):
            await rpc.call("eth_chainId")
        await rpc.close()
        server.close()
        await done.wait()
        await server.wait_closed()


@pytest.mark.chain
async def test_reads_against_a_real_node(world: World) -> None:
    assert await world.client.chain_id() == 31337
    assert await world.client.balance(world.key.address) == 10**21
    assert await world.client.code("0x" + "12" * 20) == b""
    assert await world.client.block(10**6) is None
    assert await world.client.receipt("0x" + "00" * 32) is None
    assert await world.client.transaction("0x" + "00" * 32) is None
    with pytest.raises(RpcError) as refusal:
        await world.client.read(world.probe, "probe", 1)
    assert world.probe.decode_error(bytes.fromhex(refusal.value.data[2:])) == ("Refused", {})

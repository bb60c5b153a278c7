"""`python -m gateway`, as it is run: uvloop, settings from the environment, a signal to stop."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from tests.chassis.http_servers import OK, Script, Scripted, scripted
from tests.gateway.servers import DOCUMENT, Client, Upstream, served

PROGRAM = """
import sys
from pathlib import Path
import gateway.app
gateway.app.DOCUMENT = Path(sys.argv[1])
import runpy
runpy.run_module("gateway", run_name="__main__")
"""


async def test_the_process_serves_streams_and_stops(tmp_path: Path) -> None:
    async with scripted(_none) as placeholder:
        port = placeholder.port
    (tmp_path / "openapi.json").write_bytes(DOCUMENT)
    upstream = Upstream()
    async with served(upstream, lifespan="off", proxy_headers=False) as service:
        url = f"http://127.0.0.1:{service}"
        names = ("IDENTITY_URL", "JOBS_URL", "REWARDS_URL", "GOVERNANCE_URL")
        environment = {
            **os.environ,
            **dict.fromkeys(names, url),
            "GATEWAY_PORT": str(port),
            "INTERNAL_SECRET": "s" * 32,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            PROGRAM,
            str(tmp_path / "openapi.json"),
            env=environment,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            await _exercise(Client(port), upstream)
        finally:
            process.send_signal(signal.SIGTERM)
            _, errors = await asyncio.wait_for(process.communicate(), 15)
    lines = [json.loads(line) for line in errors.decode().splitlines() if line.startswith("{")]
    requests = [line for line in lines if line.get("event") == "request" and line["route"] == "/v1/things"]
    assert [(line["method"], line["status"]) for line in requests][:2] == [("POST", 200), ("GET", 200)]
    assert "Traceback" not in errors.decode()


async def _exercise(client: Client, upstream: Upstream) -> None:
    for _ in range(600):  # a machine under load starts it slowly
        try:
            async with client.connection() as wire:
                assert (await wire.call("GET", "/healthz")).status == 200
                break
        except ConnectionError:
            await asyncio.sleep(0.1)
    async with client.connection() as wire:
        body = b"x" * 200_000
        answer = await wire.call("POST", "/v1/things", body=body)
        assert json.loads(answer.body) == {"length": len(body)}
        assert answer.header("server") is None
        for _ in range(50):
            assert (await wire.call("GET", "/v1/things")).status == 200
        wire.writer.write(b"POST /v1/things HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            wire.writer.write(b"3e8\r\n" + b"y" * 1_000 + b"\r\n")
            await wire.writer.drain()
        wire.writer.write(b"0\r\n\r\n")
        assert json.loads((await wire.answer()).body) == {"length": 20_000}
    (await client.send(b"GET /v1/things HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")).problem(400, "repeated_header")
    (await client.send(b"rubbish\r\n\r\n")).problem(400, "malformed_request")
    assert upstream.values("host")


def _none(server: Scripted) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        writer.write(OK)

    return script

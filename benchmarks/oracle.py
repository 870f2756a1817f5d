"""Throughput of `repair simplify` at a slow server, its own CPU per row, and the replay of a warm journal.

    python benchmarks/oracle.py [--rows 1000] [--latency 0.2] [--concurrency 64] [--replay 50000]

A server in a process of its own answers every call after `latency` seconds. Ideal is ceil(rows / concurrency)
rounds of that; the time is the whole verb's, imports aside, and so is the CPU. Beside it, the openai SDK alone with
as many workers, which reads rows from nowhere and keeps no reply. The replay asks nothing: a first run
with the shipped fake fills a journal, and a second one in a folder of its own reads every reply from it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import multiprocessing
import platform
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import openai

from tunescope.verbs import in_python

BODY = json.dumps(
    {
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "<short_response>Short.</short_response>"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 200, "completion_tokens": 12},
    }
).encode()
REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY


def serve(latency: float, told: Connection, reply: bytes = REPLY) -> None:
    """Answer every POST with `reply` after `latency` seconds; send the port first."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
                )
                await reader.readexactly(length)
                await asyncio.sleep(latency)
                writer.write(reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0, backlog=512)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def plain(url: str, rows: int, concurrency: int) -> tuple[float, float]:
    """Make as many calls with the SDK alone, keeping nothing; return the seconds on the clock and of CPU."""

    async def run() -> None:
        todo = iter(range(rows))
        async with openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=0) as sdk:

            async def worker() -> None:
                for i in todo:
                    asked = [{"role": "user", "content": f"Say something about {i}. " * 20}]
                    await sdk.chat.completions.with_raw_response.create(model="tiny", messages=asked)

            await asyncio.gather(*(worker() for _ in range(concurrency)))

    wall, cpu = time.perf_counter(), time.process_time()
    asyncio.run(run())
    return time.perf_counter() - wall, time.process_time() - cpu


def write(path: Path, rows: int) -> None:
    """Write rows that all differ, of some forty words each."""
    with path.open("w", encoding="utf-8") as file:
        for i in range(rows):
            record = {"instruction": f"Say something about {i}.", "output": f"It is a number, {i}. " * 8}
            file.write(json.dumps(record) + "\n")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--replay", type=int, default=50_000)
    given = parser.parse_args()
    simplify = in_python("repair simplify")
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(given.latency, theirs), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ours.recv()}/v1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asked = {"oracle": url, "oracle_model": "tiny", "concurrency": given.concurrency}
        write(folder / "warm.jsonl", 8)
        simplify(rows=str(folder / "warm.jsonl"), out=str(folder / "warm"), **asked)
        write(folder / "rows.jsonl", given.rows)
        wall, cpu = time.perf_counter(), time.process_time()
        run = simplify(rows=str(folder / "rows.jsonl"), out=str(folder / "run"), **asked)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        bare_wall, bare_cpu = plain(url, given.rows, given.concurrency)
        server.terminate()
        assert run.result["changed"] == given.rows
        ideal = math.ceil(given.rows / given.concurrency) * given.latency
        print(f"{given.rows} rows, {given.concurrency} at a time, {given.latency:g} s each: {wall:.2f} s")
        print(f"  ideal {ideal:.2f} s: {100 * ideal / wall:.1f} % of it; CPU {1000 * cpu / given.rows:.2f} ms per row")
        share, each = 100 * ideal / bare_wall, 1000 * bare_cpu / given.rows
        print(f"  the SDK alone: {bare_wall:.2f} s, {share:.1f} %; CPU {each:.2f} ms per row")
        write(folder / "many.jsonl", given.replay)
        reply = {"pattern": "", "reply": "<short_response>Short.</short_response>"}
        (folder / "fake.jsonl").write_text(json.dumps(reply) + "\n")
        many = {"rows": str(folder / "many.jsonl"), "oracle": f"fake:{folder / 'fake.jsonl'}"}
        first = time.perf_counter()
        simplify(out=str(folder / "first"), **many)
        first = time.perf_counter() - first
        again = time.perf_counter()
        simplify(out=str(folder / "again"), journal=str(folder / "first" / "journal.sqlite"), **many)
        again = time.perf_counter() - again
        print(f"{given.replay} rows with the fake: {first:.1f} s; again from its journal: {again:.1f} s")
    print(f"Python {platform.python_version()}, {platform.machine()}")


if __name__ == "__main__":
    main()

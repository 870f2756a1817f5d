"""What asking costs: `repair simplify` at a slow server, beside the SDK alone, other libraries, and its own journal.

    python benchmarks/oracle.py [--rounds 3] [--peers] [--save]

A server in a process of its own answers every call after `latency` seconds. Ideal is ceil(rows / concurrency) rounds
of that; a share of it is over the time from the first call's coming to the last reply's leaving, by the server's clock,
the same for all sides. Beside it the seconds and the CPU of the whole work, imports aside. All sides take turns, after
a warm-up; medians, with the lowest and the highest. The openai SDK alone reads rows from nowhere and keeps no reply,
over its two transports; bare sockets are the fewest lines that get an answer: what they reach is what can be reached.

--peers: distilabel and bespokelabs-curator, each in an environment of its own, run what is in benchmarks/peers on the
same rows. Then each whole process, and `tunescope repair simplify`, is killed with its children once the server has
answered 64 % of the calls, and begun again.

The replay asks nothing: a first run with the shipped fake fills a journal, and a second one in a folder of its own
reads every reply from it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx2
import openai
from sides import Comparison, peer_python
from slow_server import Server, serving

from tunescope.verbs import in_python

HERE = Path(__file__).parent
PEERS = {
    "distilabel": ("distilabel[openai]==1.5.3", "requests", "beautifulsoup4"),
    "curator": ("bespokelabs-curator==0.1.31",),
}
KILLED_AT = 0.64
PATIENCE = 90
"""Seconds that a peer may take."""
CODE = """
import json, sys
from tunescope.verbs import in_python
url, rows, out, concurrency = sys.argv[1:]
known = {"oracle": url, "served_model": "tiny", "concurrency": int(concurrency), "response_format": "tags"}
run = in_python("repair simplify")(rows=rows, out=out, **known)
print(json.dumps({"rows": run.result["changed"]}))
"""


class Taken(NamedTuple):
    """What one side took: seconds between the first call and the last reply, of the whole work, and of CPU."""

    asking: float
    whole: float
    cpu: float


def taken(server: Server, rows: int, work: Callable[[], object]) -> Taken:
    """Do the work in this process, and count."""
    server.clear()
    whole, cpu = time.perf_counter(), time.process_time()
    work()
    whole, cpu = time.perf_counter() - whole, time.process_time() - cpu
    assert server.answered == rows
    return Taken(server.seconds, whole, cpu)


def asked(rows: int, concurrency: int, ask: Callable[[int], Coroutine[Any, Any, Any]]) -> Coroutine[Any, Any, None]:
    """Ask about numbers, so many at a time."""

    async def run() -> None:
        todo = iter(range(rows))

        async def worker() -> None:
            for i in todo:
                await ask(i)

        await asyncio.gather(*(worker() for _ in range(concurrency)))

    return run()


def body(i: int) -> dict[str, Any]:
    """Return what is asked about a number."""
    messages = [{"role": "user", "content": f"Say something about {i}. " * 20}]
    return {"model": "tiny", "messages": messages, "temperature": 0.0, "max_tokens": 1024}


def sdk(server: Server, rows: int, concurrency: int, transport: Callable[[], Any] = lambda: None) -> None:
    """Ask with the SDK alone, keeping nothing."""

    async def run() -> None:
        options = {"api_key": "none", "base_url": server.url, "max_retries": 0, "http_client": transport()}
        async with openai.AsyncOpenAI(**options) as client:
            await asked(
                rows, concurrency, lambda i: client.post("/chat/completions", cast_to=httpx2.Response, body=body(i))
            )

    asyncio.run(run())


def sockets(server: Server, rows: int, concurrency: int) -> None:
    """Ask with nothing but asyncio's streams."""
    where = urlsplit(server.url)
    free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(i: int) -> None:
        reader, writer = free.pop() if free else await asyncio.open_connection(where.hostname, where.port)
        sent = json.dumps(body(i)).encode()
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(sent) + sent)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        json.loads(await reader.readexactly(length))
        free.append((reader, writer))

    async def run() -> None:
        await asked(rows, concurrency, ask)
        for _, writer in free:
            writer.close()

    asyncio.run(run())


def write(path: Path, rows: int) -> None:
    """Write rows that all differ, of some forty words each."""
    with path.open("w", encoding="utf-8") as file:
        for i in range(rows):
            record = {"instruction": f"Say something about {i}.", "output": f"It is a number, {i}. " * 8}
            file.write(json.dumps(record) + "\n")


def command_of(name: str, python: str, server: Server, rows: Path, folder: Path, concurrency: int) -> list[str]:
    """Return what a peer, or tunescope as a whole process, is started with; its cache or run is in `folder`."""
    given = [server.url, str(rows), str(folder), str(concurrency)]
    return (
        [python, "-c", CODE, *given]
        if name == "tunescope"
        else [python, str(HERE / "peers" / f"{name}_rows.py"), *given]
    )


def started(name: str, command: list[str]) -> subprocess.Popen[str]:
    """Start it in a process group of its own; peers don't get our PYTHONPATH."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH" or name == "tunescope"}
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for the end; return what the last line of stdout says."""
    out, talk = process.communicate(timeout=PATIENCE)
    if process.returncode != 0:
        sys.exit(f"{process.args}: status {process.returncode}\n{talk[-2000:]}")
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def peer(name: str, python: str, server: Server, rows: Path, count: int, concurrency: int) -> Taken:
    """Let a peer ask about all rows, with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        server.clear()
        came = said(started(name, command_of(name, python, server, rows, Path(cache), concurrency)))
    assert came["rows"] == server.answered == count
    return Taken(server.seconds, came["seconds"], came["cpu"])


def killed(name: str, python: str, server: Server, rows: Path, count: int, concurrency: int) -> str:
    """Kill it at 64 %, with calls under way, and begin again; say what that cost."""
    with tempfile.TemporaryDirectory() as cache:
        command = command_of(name, python, server, rows, Path(cache) / "here", concurrency)
        server.clear()
        process = started(name, command)
        while (server.answered < KILLED_AT * count or server.calls == server.answered) and process.poll() is None:
            time.sleep(0.001)
        under_way = server.calls - server.answered
        end(process)
        process = started(name, command)
        try:
            came = f"{said(process)['rows']} rows returned"
        except subprocess.TimeoutExpired:
            came = f"no end within {PATIENCE} s, no rows returned"
        finally:
            end(process)
    return f"{server.calls} calls for {count} rows ({under_way} were under way), {came}"


def end(process: subprocess.Popen[str]) -> None:
    """Kill it with its children."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def told(name: str, every: list[Taken], rows: int, ideal: float) -> None:
    """Print a side's medians."""
    shares = [100 * ideal / each.asking for each in every]
    asking, whole, cpu = (statistics.median(values) for values in zip(*every, strict=True))
    spread = f"{min(shares):.1f} to {max(shares):.1f}"
    print(
        f"{name:<32} {asking:6.2f} s  {statistics.median(shares):5.1f} % ({spread})  whole {whole:6.2f} s  "
        f"CPU {1000 * cpu / rows:.2f} ms a row"
    )


def replay(rows: int, folder: Path) -> None:
    """Fill a journal from the fake, read it again, and print the seconds."""
    simplify = in_python("repair simplify")
    write(folder / "many.jsonl", rows)
    reply = {"pattern": "", "reply": "<short_response>Short.</short_response>"}
    (folder / "fake.jsonl").write_text(json.dumps(reply) + "\n")
    many = {"rows": str(folder / "many.jsonl"), "oracle": f"fake:{folder / 'fake.jsonl'}"}
    first = time.perf_counter()
    simplify(out=str(folder / "first"), **many)
    first = time.perf_counter() - first
    again = time.perf_counter()
    simplify(out=str(folder / "again"), journal=str(folder / "first" / "journal.sqlite"), **many)
    again = time.perf_counter() - again
    print(f"{rows:,} rows with the fake: {first:.1f} s; again from its journal: {again:.1f} s")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--replay", type=int, default=50_000)
    parser.add_argument("--peers", action="store_true", help="beside distilabel and bespokelabs-curator")
    parser.add_argument("--save", action="store_true", help="keep the comparisons for RESULTS.md")
    given = parser.parse_args()
    peers = {name: peer_python(name, *packages) for name, packages in PEERS.items()} if given.peers else {}
    simplify = in_python("repair simplify")
    ideal = math.ceil(given.rows / given.concurrency) * given.latency
    with serving(given.latency) as server, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        here = {
            "oracle": server.url,
            "served_model": "tiny",
            "concurrency": given.concurrency,
            "response_format": "tags",
        }
        write(folder / "warm.jsonl", given.concurrency)
        write(folder / "rows.jsonl", given.rows)
        sides: dict[str, Callable[[Path, int, str], object]] = {
            "repair simplify": lambda rows, count, out: simplify(rows=str(rows), out=str(folder / out), **here),
            "the SDK alone, aiohttp under it": lambda rows, count, out: sdk(
                server, count, given.concurrency, openai.DefaultAioHttpClient
            ),
            "the SDK alone, as it comes": lambda rows, count, out: sdk(server, count, given.concurrency),
            "bare sockets": lambda rows, count, out: sockets(server, count, given.concurrency),
        }
        measured: dict[str, list[Taken]] = {side: [] for side in (*sides, *peers)}
        for side in sides.values():
            side(folder / "warm.jsonl", given.concurrency, "warm")
        for number in range(given.rounds):
            for side, work in sides.items():
                measured[side].append(
                    taken(server, given.rows, lambda: work(folder / "rows.jsonl", given.rows, f"run-{number}"))  # noqa: B023
                )
            for side, python in peers.items():
                measured[side].append(peer(side, python, server, folder / "rows.jsonl", given.rows, given.concurrency))
        print(
            f"{given.rows} rows, {given.concurrency} at a time, {given.latency:g} s each: ideal {ideal:.2f} s; "
            f"medians of {given.rounds}"
        )
        for side, every in measured.items():
            told(side, every, given.rows, ideal)
        ours, theirs = (measured[side] for side in list(sides)[:2])
        own = statistics.median(each.cpu - other.cpu for each, other in zip(ours, theirs, strict=True))
        print(f"our own CPU, over the SDK's: {1000 * own / given.rows:.2f} ms a row")
        if peers:
            again = {}
            for side, python in {"tunescope": sys.executable, **peers}.items():
                again[side] = killed(side, python, server, folder / "rows.jsonl", given.rows, given.concurrency)
                print(f"{side}, killed at {KILLED_AT:.0%} and begun again: {again[side]}")
            for side in peers if given.save else ():
                Comparison(
                    name=f"oracle-{side}",
                    what=f"`repair simplify`: {given.rows:,} calls of {given.latency:g} s, {given.concurrency} at once",
                    peer=PEERS[side][0].replace("==", " "),
                    ours=[each.whole for each in ours],
                    theirs=[each.whole for each in measured[side]],
                    same=f"killed at {KILLED_AT:.0%} and begun again: ours {again['tunescope']}; theirs {again[side]}",
                    packages=("openai", "aiohttp"),
                ).save()
        replay(given.replay, folder)
    versions = ", ".join(f"{name} {version(name)}" for name in ("openai", "aiohttp", "httpx2"))
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores; {versions}")


if __name__ == "__main__":
    main()

"""Throughput of `judge pairwise` at a slow server: systems × items × both orders, and the replay of its journal.

    python benchmarks/judge_live.py [--systems 5] [--items 805] [--latency 0.2] [--concurrency 64] [--draws 10000]

The server of `slow_server.py`, in its own process, answers every call after `latency` seconds; what it says holds no
verdict's mark, so it ends in plain scores. Ideal is ceil(calls / concurrency) rounds of that; the time is the whole
verb's, imports aside: answers read, prompts filled in, replies kept and read, tables with their bootstrap intervals
written. The last line is the same judgements from the journal alone.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import tempfile
import time
from pathlib import Path

from slow_server import serving

from tunescope.verbs import in_python


def write(folder: Path, systems: int, items: int) -> list[str]:
    """Write answers of some 150 words each that all differ; return the files, the reference's last."""
    names = [f"system{i}" for i in range(systems)] + ["reference"]
    for number, name in enumerate(names):
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for i in range(items):
                text = f"{name} says of {i} that it is a number. " * (14 + (i + number) % 5)
                record = {"instruction": f"Say something about {i}.", "output": text, "generator": name}
                file.write(json.dumps(record) + "\n")
    return [str(folder / f"{name}.jsonl") for name in names]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--systems", type=int, default=5)
    parser.add_argument("--items", type=int, default=805)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--draws", type=int, default=10_000)
    given = parser.parse_args()
    pairwise = in_python("judge pairwise")
    said = "The first is more exact, the second longer.\n8 7"
    with serving(given.latency, said) as server, tempfile.TemporaryDirectory() as name:
        asked = {
            "oracle": server.url,
            "served_model": "tiny",
            "concurrency": given.concurrency,
            "response_format": "tags",
        }
        folder = Path(name)
        warm = folder / "few"
        warm.mkdir()
        pairwise(answers=write(warm, 1, 8), out=str(warm / "run"), draws=100, **asked)
        files = write(folder, given.systems, given.items)
        server.clear()
        wall, cpu = time.perf_counter(), time.process_time()
        run = pairwise(answers=files, out=str(folder / "run"), draws=given.draws, **asked)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        calls = run.result["calls"]
        assert calls == run.result["replies"]["ok"] == 2 * given.systems * given.items
        ideal = math.ceil(calls / given.concurrency) * given.latency
        print(
            f"{given.systems} systems x {given.items} items, both orders: {calls} calls, {given.concurrency} at a time"
        )
        print(
            f"  {wall:.2f} s, ideal {ideal:.2f} s: {100 * ideal / wall:.1f} % of it; "
            f"CPU {1000 * cpu / calls:.2f} ms a call"
        )
        asking = server.seconds
        print(
            f"  from the first call's coming to the last reply's leaving {asking:.2f} s: {100 * ideal / asking:.1f} %"
        )
        again = time.perf_counter()
        journal = str(folder / "run" / "journal.sqlite")
        pairwise(answers=files, out=str(folder / "again"), draws=given.draws, journal=journal, **asked)
        print(f"  again from its journal: {time.perf_counter() - again:.2f} s")
    print(f"Python {platform.python_version()}, {platform.machine()}")


if __name__ == "__main__":
    main()

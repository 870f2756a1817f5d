"""Rates of `measure` and of the words-only index against rows, and a model of the cost, checked on them.

    python benchmarks/scale.py [--rows 1000 10000 30000] [--large smollm2-135m --large-rows 24]
    python benchmarks/scale.py --engine ray --workers 2    also the wall time of local and Ray workers
    python benchmarks/scale.py --paper                     what ten million rows and 70B parameters would need

Each command is a fresh process with one thread; its CPU time has that of its children, but not of Ray's workers. The
model of the cost, in CPU seconds:

    start + rows · handling + 2 · parameters · tokens / F

The start and the handling of a row are fitted on the two smallest runs of the microworld's model, whose products cost
next to nothing. From 1,000 rows on the start has the comparison of the two IFDs' ranks, whose draws then cost the same
for any number. F is the rate of plain matrix products of the large model's shapes. So the larger runs, and the large
model, are predicted from what wasn't measured on them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
import synthetic_rows

from tunescope.microworld.model import save_random_model
from tunescope.microworld.world import make_world, open_questions

TINY = ["--model", "tiny", "--without", "coherence"]
PACK = 512
"""Tokens at a time when products are timed."""


class Ran(NamedTuple):
    """A command's seconds, its CPU seconds and its peak of memory in MiB; where its table is."""

    rows: int
    wall: float
    cpu: float
    peak: float
    turns: Path


def run(rows: int, arguments: list[str], folder: Path) -> Ran:
    """Run a command in a run folder of its own."""
    start = time.perf_counter()
    out = tempfile.mkdtemp(dir=folder) + "/run"
    command = [sys.executable, "-m", "tunescope", *arguments, "--out", out]
    talk = folder / "talk"
    with talk.open("w") as file:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=file, stderr=file
        )
        _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(talk.read_text("utf-8"))
    wall, cpu = time.perf_counter() - start, used.ru_utime + used.ru_stime
    return Ran(rows, wall, cpu, used.ru_maxrss / 1024, Path(out) / "turns.parquet")


def tiny_rows(path: Path, count: int) -> Path:
    """Write rows in the microworld's words."""
    questions, rng = open_questions(make_world(0)), random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(count):
            asked = rng.choice(questions)
            file.write(json.dumps({"instruction": asked.prompt, "output": asked.answer}) + "\n")
    return path


def tokens_read(turns: Path) -> int:
    """Return how many tokens three passes over each turn read: instruction, response, and both together."""
    import pyarrow.parquet as pq

    table = pq.read_table(turns, columns=["instruction_tokens", "response_tokens"]).to_pydict()
    return sum(2 * (i + r) for i, r in zip(*table.values(), strict=True) if i is not None and r is not None)


def products(model: str) -> tuple[int, float]:
    """Return a model's parameters that multiply, and the FLOP per CPU second of plain products of their shapes."""
    import torch
    from products import Product, time_products

    from tunescope.models import load
    from tunescope.verbs.measure import MeasureSettings

    loaded = load(MeasureSettings(rows=("none",), model=model))
    weights = [w for name, w in loaded.model.named_parameters() if w.ndim == 2 and "embed" not in name]
    weights.append(loaded.model.get_output_embeddings().weight)
    n = sum(w.numel() for w in weights)
    layer = max(weights[:-1], key=torch.Tensor.numel)
    time_products([Product(PACK, layer)])
    took = time_products([Product(PACK, layer)] * 50)
    return n, took.flop / took.cpu


class Cost(NamedTuple):
    """CPU seconds that a command takes before its first row, and for each row, where products cost next to nothing."""

    start: float
    handling: float

    @classmethod
    def fit(cls, small: Ran, larger: Ran) -> Cost:
        """Take both from two runs."""
        handling = (larger.cpu - small.cpu) / (larger.rows - small.rows)
        return cls(small.cpu - small.rows * handling, handling)


def table(*columns: str) -> None:
    """Print a table's first lines."""
    line(*columns)
    print("|" + len(columns) * "---|")


def line(*cells: str) -> None:
    """Print a line of a table."""
    print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Print the tables of docs/proofs/scale.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 30_000])
    parser.add_argument("--large", default=None)
    parser.add_argument("--large-rows", type=int, default=24)
    parser.add_argument("--engine", default=None)
    parser.add_argument("--workers", default="2")
    parser.add_argument("--paper", action="store_true", help="only print what 10 million rows and 70B parameters need")
    chosen = parser.parse_args()
    if chosen.paper:
        on_paper()
        return
    print(f"{time.strftime('%Y-%m-%d')}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_random_model(folder / "tiny", seed=0)
        cost = time_measure(chosen.rows, folder)
        if chosen.engine:
            time_engines(chosen.rows[0], chosen.engine, chosen.workers, folder)
        time_words(chosen.rows, folder)
        if chosen.large:
            predict_large(chosen.large, chosen.large_rows, cost.handling, folder)


def time_measure(counts: list[int], folder: Path) -> Cost:
    """Print what `measure` takes with a tiny model; return the cost that its two smallest runs give."""
    table("`measure`, rows", "wall s", "CPU s", "peak MiB", "predicted CPU s", "off by", "load")
    ran: list[Ran] = []
    for count in counts:
        path = tiny_rows(folder / f"tiny{count}.jsonl", count)
        each = run(count, ["measure", path.name, *TINY], folder)
        ran.append(each)
        guess = ["fitted", ""]
        if len(ran) > 2:
            cost = Cost.fit(*ran[:2])
            seconds = cost.start + count * cost.handling
            guess = [f"{seconds:.1f}", f"{100 * (seconds / each.cpu - 1):+.0f} %"]
        line(f"{count:,}", f"{each.wall:.1f}", f"{each.cpu:.1f}", f"{each.peak:.0f}", *guess, load())
    cost = Cost.fit(*ran[:2])
    rate = f"{1000 * cost.handling:.2f} CPU ms a row: {1 / cost.handling:,.0f} rows a CPU second"
    print(f"start {cost.start:.1f} CPU s; {rate}")
    return cost


def time_engines(count: int, engine: str, workers: str, folder: Path) -> None:
    """Print the wall time of local workers and of a cluster's, on the same rows."""
    for how in (["--workers", workers], ["--engine", engine, "--workers", workers]):
        each = run(count, ["measure", f"tiny{count}.jsonl", *TINY, *how], folder)
        print(f"measure {' '.join(how)}, {count:,} rows: {each.wall:.1f} s, load {load()}", flush=True)


def time_words(counts: list[int], folder: Path) -> None:
    """Print what the words-only index takes."""
    table("`attribute index` (words), rows", "MB", "wall s", "CPU s", "peak MiB", "rows a CPU second", "load")
    for count in counts:
        path = folder / f"alpaca{count}.jsonl"
        synthetic_rows.write(path, count)
        each = run(count, ["attribute", "index", path.name, "--embedder", "none"], folder)
        size, rate = path.stat().st_size / 1e6, count / each.cpu
        took = (f"{number:.1f}" for number in (size, each.wall, each.cpu))
        line(f"{count:,}", *took, f"{each.peak:.0f}", f"{rate:,.0f}", load())


def on_paper() -> None:
    """Print what 10 million rows and a model of 70 billion parameters need, as docs/proofs/scale.md assumes."""
    rows, parameters, tokens = 10e6, 70e9, 150
    rate, bandwidth, price = 0.4 * 989e12, 0.6 * 3.35e12, 3.0
    once = 2 * parameters * tokens
    gpu_seconds = {
        "`measure`: three passes, 2 · 150 tokens": 2 * once / rate,
        "`shift`: two models": 2 * once / rate,
        "`attribute`: forward, and backward through a third": (1 + 2 / 3) * once / rate,
        "`answer`: 100 tokens, 16 at a time": once / rate
        + 100 * max(2 * parameters / bandwidth / 16, once / tokens / rate),
        "`answer`: 100 tokens, 128 at a time": once / rate
        + 100 * max(2 * parameters / bandwidth / 128, once / tokens / rate),
    }
    table("10 million rows, 70B", "GPU s a row", "GPU hours", "US$", "days on 64 GPUs")
    for what, seconds in gpu_seconds.items():
        hours = rows * seconds / 3600
        line(what, f"{seconds:.3f}", f"{hours:,.0f}", f"{price * hours:,.0f}", f"{hours / 64 / 24:.1f}")


def load() -> str:
    """Return how many processes want a core."""
    return f"{os.getloadavg()[0]:.0f}"


def predict_large(model: str, rows: int, handling: float, folder: Path) -> None:
    """Print what rows more than one take with a large model, beside what the model of the cost says of them."""
    parameters, rate = products(model)
    path, one = folder / "large.jsonl", folder / "one.jsonl"
    synthetic_rows.write(path, rows)
    one.write_text(path.read_text("utf-8").splitlines()[0] + "\n", "utf-8")
    command = ["--model", model, "--without", "coherence"]
    first, all_ = (run(n, ["measure", each.name, *command], folder) for n, each in ((1, one), (rows, path)))
    tokens = tokens_read(all_.turns) - tokens_read(first.turns)
    flop = 2 * parameters * tokens
    guess, took = (rows - 1) * handling + flop / rate, all_.cpu - first.cpu
    print(
        f"\n{model}: {parameters / 1e6:.1f} M parameters multiply; plain products {rate / 1e9:.1f} GFLOP a CPU second"
    )
    print(
        f"{rows - 1} rows, {tokens:,} tokens, {flop / 1e9:,.0f} GFLOP: {took:.1f} CPU s, predicted {guess:.1f} "
        f"({100 * (guess / took - 1):+.0f} %); {flop / took / rate:.0%} of the rate of plain products"
    )


if __name__ == "__main__":
    main()

"""Rates of `measure` and of the words-only index against rows, and a model of the cost, checked on them.

    python benchmarks/scale.py [--rows 1000 10000] [--large smollm2-135m --large-rows 24] [--engine ray --workers 2]

Each command is a fresh process with one thread. Its wall time and CPU time are those of the whole process tree (Ray's
workers aren't in that tree; their runs have wall time alone). The model of the cost, in CPU seconds:

    start + rows · handling + 2 · parameters · tokens / F

The start and the handling of a row are fitted on the two smallest runs of the microworld's model, whose products cost
next to nothing. F is the rate of plain matrix products of the large model's shapes. So the larger runs, and the large
model, are predicted from what wasn't measured on them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
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

SMALL = 64
"""Rows of the smallest run: one shard."""
PACK = 512
"""Tokens at a time when products are timed."""


class Ran(NamedTuple):
    """A command's seconds, and what it took of them in CPU."""

    rows: int
    wall: float
    cpu: float
    turns: Path


def run(rows: int, arguments: list[str], folder: Path, environment: dict[str, str]) -> Ran:
    """Run a command in a run folder of its own."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    out = tempfile.mkdtemp(dir=folder) + "/run"
    command = [sys.executable, "-m", "tunescope", *arguments, "--out", out]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Ran(rows, wall, cpu, Path(out) / "turns.parquet")


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

    from tunescope.models import load
    from tunescope.verbs.measure import MeasureSettings

    loaded = load(MeasureSettings(rows=("none",), model=model))
    weights = [w for name, w in loaded.model.named_parameters() if w.ndim == 2 and "embed" not in name]
    weights.append(loaded.model.get_output_embeddings().weight)
    n = sum(w.numel() for w in weights)
    layer = max(weights[:-1], key=torch.Tensor.numel)
    texts = torch.randn(PACK, layer.shape[1])
    with torch.inference_mode():
        texts @ layer.T
        start, times = time.process_time(), 50
        for _ in range(times):
            texts @ layer.T
    return n, times * 2 * PACK * layer.numel() / (time.process_time() - start)


def main() -> None:
    """Print the tables of docs/scale.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--large", default=None)
    parser.add_argument("--large-rows", type=int, default=24)
    parser.add_argument("--engine", default=None)
    parser.add_argument("--workers", default="2")
    chosen = parser.parse_args()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    cores = len(os.sched_getaffinity(0))
    print(
        f"{time.strftime('%Y-%m-%d')}, {cores} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.0f}"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_random_model(folder / "tiny", seed=0)
        measure = ["--model", "tiny", "--without", "coherence"]
        found: list[Ran] = []
        print(
            "\n| measure, rows | wall s | CPU s | rows a CPU second | predicted CPU s | off by |" + "\n|" + 6 * "---|"
        )
        for count in (SMALL, *chosen.rows):
            path = tiny_rows(folder / f"tiny{count}.jsonl", count)
            found.append(run(count, ["measure", path.name, *measure], folder, environment))
            row = found[1].cpu - found[0].cpu if len(found) > 1 else 0.0
            handling = row / (found[1].rows - SMALL) if len(found) > 1 else 0.0
            start = found[0].cpu - SMALL * handling
            each = found[-1]
            guess = start + each.rows * handling
            told = f"{guess:.1f} | {100 * (guess / each.cpu - 1):+.0f} %" if len(found) > 2 else "fitted |"
            rate = f"{each.rows / (each.cpu - start):,.0f}" if len(found) > 1 else ""
            print(f"| {each.rows:,} | {each.wall:.1f} | {each.cpu:.1f} | {rate} | {told} |", flush=True)
        print(f"\nstart {start:.1f} CPU s, {1000 * handling:.2f} CPU ms a row; load {os.getloadavg()[0]:.0f}")
        if chosen.engine:
            path, ray = f"tiny{chosen.rows[0]}.jsonl", ["--engine", chosen.engine, "--workers", chosen.workers]
            for label, how in (("local", ["--workers", chosen.workers]), (chosen.engine, ray)):
                again = run(chosen.rows[0], ["measure", path, *measure, *how], folder, environment)
                print(f"measure, {again.rows:,} rows, {label}, {chosen.workers} workers: {again.wall:.1f} s")
        print("\n| attribute index (words), rows | MB | wall s | CPU s | rows a CPU second |\n|---|---|---|---|---|")
        for count in chosen.rows:
            path = folder / f"alpaca{count}.jsonl"
            synthetic_rows.write(path, count)
            each = run(count, ["attribute", "index", path.name, "--embedder", "none"], folder, environment)
            size = path.stat().st_size / 1e6
            print(
                f"| {count:,} | {size:.1f} | {each.wall:.1f} | {each.cpu:.1f} | {count / each.cpu:,.0f} |", flush=True
            )
        if chosen.large:
            predict_large(chosen.large, chosen.large_rows, handling, folder, environment)


def predict_large(model: str, rows: int, handling: float, folder: Path, environment: dict[str, str]) -> None:
    """Print what rows more than one take with a large model, beside what the model of the cost says of them."""
    parameters, rate = products(model)
    path, one = folder / "large.jsonl", folder / "one.jsonl"
    synthetic_rows.write(path, rows)
    one.write_text(path.read_text("utf-8").splitlines()[0] + "\n", "utf-8")
    command = ["--model", model, "--without", "coherence"]
    first, all_ = (
        run(n, ["measure", each.name, *command], folder, environment) for n, each in ((1, one), (rows, path))
    )
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

"""How fast `attribute` answers over 52,000 rows with a warm index: whole processes, start-up included.

    python benchmarks/attribute.py [--rows 52000] [--rounds 5] [--embed 512]

Rows: `real_rows.py` where the real data are at hand, else `synthetic_rows.py`. Asked are answers of alpaca-7b to
AlpacaEval, a new one each time (the same command isn't run twice). The rows' vectors are drawn at random: how long a
query takes doesn't depend on what they hold, and embedding 52,000 rows takes the better part of an hour. What a row
takes is timed on `--embed` rows.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import real_rows
import synthetic_rows

from tunescope import runs
from tunescope.models.embedded import EMBEDDER
from tunescope.rows import open_rows
from tunescope.runs import Outcome, RunFolder
from tunescope.verbs.attribute.evidence import meaning
from tunescope.verbs.attribute.settings import AttributeSettings
from tunescope.views import View

QUESTION = "What is the fastest land animal, and how fast can it run?"
SENTENCE = "The fastest land animal is the lion, which can run up to 75 mph."


class Taken(NamedTuple):
    """What a command took: seconds by the clock, and of the processor."""

    clock: float
    processor: float


def command(folder: Path, *words: str) -> Taken:
    """Run tunescope as a process."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before, begun = _processor(), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "tunescope", *words],
        cwd=folder,
        env={**environment, "TUNESCOPE_RUNS": "runs"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return Taken(time.perf_counter() - begun, _processor() - before)


def _processor() -> float:
    """Return the processor's seconds of all commands so far; unlike the clock's they hardly grow with the load."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def report(name: str, values: list[Taken]) -> None:
    """Print a line of the result."""
    clock, processor = (sorted(each) for each in zip(*values, strict=True))
    print(
        f"{name}: median {median(clock):.3g} s ({clock[0]:.3g} to {clock[-1]:.3g}), of the processor "
        f"{median(processor):.3g} s ({processor[0]:.3g} to {processor[-1]:.3g})",
        flush=True,
    )


def draw_vectors(count: int, folder: RunFolder) -> Outcome:
    """Write random unit vectors where the rows' own would be."""
    vectors = np.random.default_rng(0).standard_normal((count, 384), np.float32)
    folder.array("vectors", vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return Outcome({"rows": count, "rows_cut": 0, "embedder": EMBEDDER}, View(("Random vectors.",)))


def questions(count: int) -> list[tuple[str, str]]:
    """Return prompts with answers, each once."""
    path = real_rows.DATA / "alpaca_eval/outputs/alpaca-7b.json"
    if not path.is_file():
        return [(f"{QUESTION} {number}", SENTENCE) for number in range(count)]
    records = json.loads(path.read_text("utf-8"))[:count]
    return [(record["instruction"], record["output"]) for record in records]


def ask(folder: Path, asked: list[tuple[str, str]], *options: str) -> list[Taken]:
    """Time one command per question."""
    return [
        command(folder, "attribute", "rows.json", f"--text={text}", f"--prompt={prompt}", *options)
        for prompt, text in asked
    ]


def main() -> None:
    """Run all of it and print what came out."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=52_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--embed", type=int, default=512)
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}, numpy {np.__version__}, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if (real_rows.DATA / "instructions").is_dir():
            (folder / "rows.json").write_text(json.dumps(real_rows.rows(arguments.rows)))
        else:
            synthetic_rows.write(folder / "rows.json", arguments.rows)
        words = ["--embedder", "none"]
        taken = command(folder, "attribute", "index", "rows.json", *words)
        (index,) = folder.glob("runs/attribute-index-*")
        size = sum(path.stat().st_size for path in index.iterdir())
        print(
            f"attribute index of {arguments.rows:,} rows, words: {taken.clock:.3g} s "
            f"(processor {taken.processor:.3g} s), {size / 1e6:.1f} MB"
        )
        asked = questions(2 * arguments.rounds + 2)
        ask(folder, asked[:1], *words)
        report("words, whole process, warm index", ask(folder, asked[1 : arguments.rounds + 1], *words))
        os.chdir(folder)
        os.environ["TUNESCOPE_RUNS"] = "runs"
        rows = open_rows(["rows.json"])
        of_meaning = meaning.settings_of(AttributeSettings(rows=("rows.json",)), EMBEDDER, 1)
        inputs = {**rows.inputs, "embedder": meaning.EMBEDDERS[EMBEDDER].sha256}
        work = partial(draw_vectors, arguments.rows)
        runs.execute("attribute meaning", meaning.VERSION, of_meaning, inputs, work)
        ask(folder, asked[arguments.rounds + 1 : arguments.rounds + 2])
        report("words and meaning, whole process, warm index", ask(folder, asked[arguments.rounds + 2 :]))
        some = real_rows.rows(arguments.embed) if (real_rows.DATA / "instructions").is_dir() else []
        if some:
            (folder / "some.json").write_text(json.dumps(some))
            taken = command(folder, "attribute", "index", "some.json", "--embedder", EMBEDDER)
            a_row = taken.processor / len(some)
            print(f"attribute index of {len(some):,} rows, words and meaning: {a_row:.3g} s of the processor a row")


if __name__ == "__main__":
    main()

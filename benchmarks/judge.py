"""How long `judge recompute` takes over 805 annotations with 10,000 bootstrap draws, start-up included.

    OMP_NUM_THREADS=1 python benchmarks/judge.py [ANNOTATIONS] --runs 9

Without a file, 805 made-up annotations of AlpacaEval's size are written. Each run is a process of its own with an empty
run folder; beside it the same bootstrap of the length control with one statsmodels fit per draw, timed over 100 draws
and multiplied (`--peer`).
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ITEMS = 805
DRAWS = 10_000
PEER_DRAWS = 100


def made_up(path: Path) -> Path:
    """Write 805 annotations with answers of some 500 and 1,500 characters."""
    draws = random.Random(0)
    records = [
        {
            "instruction": f"Question {number}? " + "word " * 20,
            "output_1": "word " * draws.randint(1, 200),
            "generator_1": "base",
            "output_2": "word " * draws.randint(50, 500),
            "generator_2": "tuned",
            "annotator": "judge",
            "dataset": draws.choice(["a", "b", "c"]),
            "preference": draws.choice([1, 2, 2, 2, 1.5]),
        }
        for number in range(ITEMS)
    ]
    path.write_text(json.dumps(records))
    return path


def peer(path: Path) -> float:
    """Return the seconds that one fit of statsmodels per draw would take for all draws."""
    import numpy as np
    import statsmodels.api as sm

    records = [record for record in json.loads(path.read_text()) if record["preference"] is not None]
    y = np.array([(record["preference"] or 1.5) - 1 for record in records])
    gaps = np.array([len(record["output_2"]) - len(record["output_1"]) for record in records], float)
    picks = np.random.default_rng(0).integers(0, y.size, (PEER_DRAWS, y.size))
    begun = time.perf_counter()
    for pick in picks:
        d = gaps[pick]
        design = sm.add_constant(np.tanh(d / d.std(ddof=1)))
        sm.GLM(y[pick], design, family=sm.families.Binomial()).fit()
    return (time.perf_counter() - begun) * DRAWS / PEER_DRAWS


def cpu() -> float:
    """Return the CPU seconds of all processes that have ended, in the system too."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--peer", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = Path(options.file).resolve() if options.file else made_up(folder / "annotations.json")
        command = [sys.executable, "-m", "tunescope", "judge", "recompute", str(path), "--draws", str(DRAWS)]
        seconds, before = [], 0.0
        for _ in range(options.runs + 1):
            shutil.rmtree(folder / "runs", ignore_errors=True)
            begun = time.perf_counter()
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
            seconds.append(time.perf_counter() - begun)
            if not before:
                before = cpu()
        seconds = seconds[1:]  # the first warms the disk
        spent = (cpu() - before) / options.runs
        median = statistics.median(seconds)
        print(f"{min(seconds):.2f} to {max(seconds):.2f} s, median {median:.2f} s; CPU {spent:.2f} s a run")
        if options.peer:
            print(f"statsmodels, one fit per draw: {peer(path):.0f} s for {DRAWS:,} draws (from {PEER_DRAWS})")


if __name__ == "__main__":
    main()

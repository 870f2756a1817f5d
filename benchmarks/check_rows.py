"""`check` on a million Alpaca-sized rows: seconds and memory of the whole process tree.

    python benchmarks/check_rows.py [--rows 1000000] [--runs 3]

Each run starts from an empty run folder in a fresh process; memory is the largest sum of the
tree's proportional set sizes (PSS), sampled every 50 ms. Near-duplicates beside peers: `near_duplicates.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import synthetic_rows


def tree(pid: int) -> list[int]:
    """Return a process and all it has started."""
    found = [pid]
    for item in found:
        try:
            for task in Path(f"/proc/{item}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def proportional_set_size(pid: int) -> int:
    """Return a process's PSS in bytes; 0 where it has just ended."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().split("\n"):
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0


def measured(command: list[str], environment: dict[str, str]) -> tuple[float, int]:
    """Run a command; return its seconds and the largest memory of its tree in bytes."""
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.05):
            peak = max(peak, sum(map(proportional_set_size, tree(process.pid))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    if code:
        raise SystemExit(f"{' '.join(command)} exited with {code}")
    return seconds, peak


def check(rows: Path) -> tuple[float, int]:
    """Check a file from scratch."""
    runs = tempfile.mkdtemp()
    try:
        command = [sys.executable, "-m", "tunescope", "check", str(rows), "--json"]
        return measured(command, {**os.environ, "TUNESCOPE_RUNS": runs})
    finally:
        shutil.rmtree(runs)


def main() -> None:
    """Run and print one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    path = Path(tempfile.gettempdir()) / f"tunescope-{options.rows}-rows.jsonl"
    if not path.exists():
        synthetic_rows.write(path, options.rows)
    runs = [check(path) for _ in range(options.runs)]
    result = {
        "rows": options.rows,
        "megabytes": round(path.stat().st_size / 1e6),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "seconds": [round(seconds, 1) for seconds, _ in runs],
        "median_seconds": round(statistics.median(seconds for seconds, _ in runs), 1),
        "peak_megabytes": [round(peak / 1e6) for _, peak in runs],
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

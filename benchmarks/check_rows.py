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
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import synthetic_rows
from process_tree import measure_command


def check(rows: Path) -> tuple[float, int]:
    """Check a file from scratch."""
    runs = tempfile.mkdtemp()
    try:
        command = [sys.executable, "-m", "tunescope", "check", str(rows), "--json"]
        peak = measure_command(command, {**os.environ, "TUNESCOPE_RUNS": runs})
        return peak.seconds, peak.pss
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

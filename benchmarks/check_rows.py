"""`check` on a million Alpaca-sized rows: seconds and memory of the whole process tree.

    python benchmarks/check_rows.py [--rows 1000000] [--runs 3] [--peer]

Each run starts from an empty run folder in a fresh process; memory is the largest sum of the
tree's proportional set sizes (PSS), sampled every 50 ms. With --peer, the near-duplicate part is
set beside datasketch's MinHash + LSH (same shingles, 120 permutations, 20 bands of 6) on the
first 20,000 rows, interleaved, after a warm-up, as medians.
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


def ours_near_duplicates(texts: list[list[str]]) -> int:
    """Find near-duplicates our way."""
    from tunescope.text.near_duplicates import repeats, sketch
    from tunescope.text.words import hash_words

    return len(repeats(sketch(*hash_words([" ".join(text) for text in texts])), 0.8))


def datasketch_near_duplicates(texts: list[list[str]]) -> int:
    """Find near-duplicates with datasketch: candidates from LSH, decided by exact Jaccard."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=120, params=(20, 6))
    sets, found = [], 0
    for number, words in enumerate(texts):
        shingles = {" ".join(words[i : i + 3]) for i in range(len(words) - 2)}
        sketch = MinHash(num_perm=120)
        sketch.update_batch([shingle.encode() for shingle in shingles])
        for other in index.query(sketch):
            both = len(shingles & sets[int(other)])
            if shingles and both / (len(shingles) + len(sets[int(other)]) - both) >= 0.8:
                found += 1
                break
        index.insert(str(number), sketch)
        sets.append(shingles)
    return found


def peer(rows: Path, runs: int) -> dict[str, object]:
    """Time both ways in turn on the same 20,000 texts."""
    from tunescope.text.words import words

    texts = []
    with rows.open() as lines:
        for line, _ in zip(lines, range(20_000), strict=False):
            row = json.loads(line)
            texts.append(words(f"{row['instruction']}\n\n{row['input']}\n{row['output']}"))
    texts = list({tuple(text): list(text) for text in texts}.values())
    seconds: dict[str, list[float]] = {"tunescope": [], "datasketch": []}
    counts = {}
    for _ in range(runs + 1):
        for name, function in (("tunescope", ours_near_duplicates), ("datasketch", datasketch_near_duplicates)):
            start = time.perf_counter()
            counts[name] = function(texts)
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    ratio = statistics.median(b / a for a, b in zip(seconds["tunescope"][1:], seconds["datasketch"][1:], strict=True))
    return {"texts": len(texts), "near_duplicates": counts, "median_seconds": medians, "ratio": round(ratio, 1)}


def main() -> None:
    """Run and print one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peer", action="store_true")
    options = parser.parse_args()
    path = Path(tempfile.gettempdir()) / f"tunescope-{options.rows}-rows.jsonl"
    if not path.exists():
        synthetic_rows.write(path, options.rows)
    runs = [check(path) for _ in range(options.runs)]
    result: dict[str, object] = {
        "rows": options.rows,
        "megabytes": round(path.stat().st_size / 1e6),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "seconds": [round(seconds, 1) for seconds, _ in runs],
        "median_seconds": round(statistics.median(seconds for seconds, _ in runs), 1),
        "peak_megabytes": [round(peak / 1e6) for _, peak in runs],
    }
    if options.peer:
        result["peer"] = peer(path, options.runs)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

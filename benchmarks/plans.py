"""What `--plan` says, beside what the work then took: minutes, memory and disk of five verbs.

    python benchmarks/plans.py [--rows 200] [--prompts 24] [--model smollm2-135m] [--verbs attribute tune]

Each plan and each run is a process of its own, one after the other, with an empty run folder. Minutes are the
`wall_seconds` of the run and of those that it made on the way, without Python's start. Memory is the most that the
process had, disk these runs' folders.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def ran(folder: Path, *command: str) -> tuple[dict[str, Any], int]:
    """Run a command; return its run.json, with the run folder as `run`, and the most bytes that it had."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tunescope", *command, "--json"], cwd=folder, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    printed = json.loads(process.stdout.read())
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(command)}: status {status}")
    run = folder / printed["run"]
    return {**json.loads((run / "run.json").read_text("utf-8")), "run": run}, 1024 * usage.ru_maxrss


def compared(folder: Path, *command: str) -> Path:
    """Plan and run a command, print a line with both, and return the run's folder."""
    plan = ran(folder, *command, "--plan")[0]
    before = set(folder.glob("runs/*"))
    run, memory = ran(folder, *command)
    made = set(folder.glob("runs/*")) - before
    said, size = plan["result"], sum(path.stat().st_size for each in made for path in each.rglob("*") if path.is_file())
    took = sum(json.loads((each / "run.json").read_text("utf-8"))["wall_seconds"] for each in made) / 60
    low, high = (said.get(f"minutes_{end}") for end in ("low", "high"))
    between = "no interval" if low is None else f"{low:.2f} to {high:.2f}"
    items = f"{said['n']} {said['unit']}s" if "n" in said else f"{said['rows']} rows"
    print(
        f"{command[0]:<9} {items:>10} (planned in {plan['wall_seconds']:.0f} s)  "
        f"minutes {said['minutes']:.2f} ({between}), took {took:.2f}, ratio {said['minutes'] / took:.2f}  "
        f"memory {said['memory_bytes'] / 1e9:.2f}, took {memory / 1e9:.2f} GB  "
        f"disk {said['disk_bytes'] / 1e6:.1f}, took {size / 1e6:.1f} MB",
        flush=True,
    )
    return Path(run["run"])


def main() -> None:
    """Compare the five verbs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--prompts", type=int, default=24)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--verbs", nargs="+", default=["measure", "answer", "shift", "attribute", "tune"])
    options = parser.parse_args()
    parts = ("torch", "transformers", "trl", "tunescope")
    print(platform.platform(), f"{os.cpu_count()} cores", *(f"{name} {version(name)}" for name in parts))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        rows = json.loads((DATA / "instructions" / "dolly_3k.json").read_text("utf-8"))[: options.rows]
        (folder / "rows.json").write_text(json.dumps(rows), "utf-8")
        questions = str(DATA / "questions" / "vicuna_bench_question.jsonl")
        model = ("--model", options.model)
        asked = ("answer", questions, "--limit", str(options.prompts), *model)
        if "measure" in options.verbs:
            compared(folder, "measure", "rows.json", "--without", "coherence", *model)
        answers = str(compared(folder, *asked) if "answer" in options.verbs else ran(folder, *asked)[0]["run"])
        if "shift" in options.verbs:
            compared(folder, "shift", "--tuned", options.model, "--base", options.model, "--answers", answers)
        if "attribute" in options.verbs:
            by = ("--answers", answers, "--base", options.model, "--embedder", "none")
            compared(folder, "attribute", "rows.json", *by)
        if "tune" in options.verbs:
            for method in ("lora", "full"):
                compared(folder, "tune", "rows.json", "--method", method, "--epochs", "1", *model)


if __name__ == "__main__":
    main()

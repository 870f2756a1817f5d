"""What the side-by-side benchmarks share: environments of peers, the record of a comparison, and the page of all.

    python benchmarks/sides.py

writes `RESULTS.md` from the records in `results/`, one file per comparison, each written by a benchmark with `--save`.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE / ".peers"
RESULTS = HERE / "results"
PAGE = HERE / "RESULTS.md"
HEAD = """# Side by side with others

`make bench` builds an environment of its own for each peer, lets both sides take turns after a warm-up, and writes
this page. A ratio is the median of those of turns that followed each other, with the smallest and the largest: how many
times longer the peer took. "Asked" is the ratio that we set ourselves beforehand. What the sides do, and where their
results may differ, is in [README.md](README.md) and at the head of each script. "Load" is how many processes wanted a
core: far above the number of cores the side that computes more waits longer, and its ratio is larger than on an idle
machine.
"""


def peer_python(name: str, *packages: str) -> str:
    """Return the Python of a peer's environment, which is made on first use; its packages are no part of ours."""
    folder = ENVIRONMENTS / name
    python = folder / "bin" / "python"
    done = folder / "installed.json"
    if not done.is_file() or json.loads(done.read_text()) != list(packages):
        print(f"installing {', '.join(packages)} in {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        done.write_text(json.dumps(packages))
    return str(python)


def peer_packages(name: str, *packages: str) -> str:
    """Return a folder with packages and nothing that they need: for a peer that runs beside our own torch."""
    folder = ENVIRONMENTS / name
    done = folder / "installed.json"
    if not done.is_file() or json.loads(done.read_text()) != list(packages):
        print(f"installing {', '.join(packages)} in {folder}", file=sys.stderr)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target", str(folder)]
        subprocess.run([*pip, *packages], check=True)
        done.write_text(json.dumps(packages))
    return str(folder)


def machine() -> str:
    """Name the processor and the cores that this process may use."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {len(os.sched_getaffinity(0))} cores"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two sides that did the same work in turn.

    Attributes:
        name: of the record's file.
        what: what was done, with its sizes.
        peer: who did it beside us, with a version.
        ours: seconds of each turn, warm-up left out.
        theirs: the same of the peer, turn by turn.
        same: how far the two results agree, in words.
        asked: the ratio that was asked for beforehand, if any.
        memory_mb: peak memory of ours and of the peer, where it was measured.
        packages: ours, whose versions count.
    """

    name: str
    what: str
    peer: str
    ours: Sequence[float]
    theirs: Sequence[float]
    same: str
    asked: float | None = None
    memory_mb: tuple[float, float] | None = None
    packages: Sequence[str] = ()
    settings: str = field(default_factory=lambda: shlex.join(["python", *sys.argv]))

    def save(self) -> None:
        """Write it to `results/`, and the page anew."""
        record = asdict(self) | {
            "date": str(date.today()),
            "machine": machine(),
            "load": round(os.getloadavg()[2], 1),
            "threads": os.environ.get("OMP_NUM_THREADS"),
            "python": platform.python_version(),
            "versions": {name: version(name) for name in self.packages},
        }
        RESULTS.mkdir(exist_ok=True)
        text = json.dumps(record, indent=1, ensure_ascii=False)
        (RESULTS / f"{self.name}.json").write_text(text + "\n", "utf-8")
        PAGE.write_text(page(), "utf-8")


def ratios(record: dict) -> list[float]:
    """Return how many times longer the peer took in each pair of turns."""
    return [theirs / ours for ours, theirs in zip(record["ours"], record["theirs"], strict=False)]


def page() -> str:
    """Return the page of all records."""
    records = [json.loads(path.read_text("utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    lines = [
        HEAD,
        "| what | beside | ours | theirs | ratio | asked | memory, MB | results |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in records:
        every = ratios(each)
        spread = f" ({min(every):.2f} to {max(every):.2f})" if len(every) > 1 else ""
        memory = "–" if each["memory_mb"] is None else "{:,.0f}, {:,.0f}".format(*each["memory_mb"])
        lines.append(
            f"| {each['what']} | {each['peer']} | {_seconds(each['ours'])} | {_seconds(each['theirs'])} "
            f"| **{median(every):.2f}**{spread} | {each['asked'] or '–'} | {memory} | {each['same']} |"
        )
    lines += ["", "| what | turns | date | machine | load | threads | versions | command |", "|---|" + "---|" * 7]
    for each in records:
        versions = ", ".join([f"Python {each['python']}", *(f"{k} {v}" for k, v in each["versions"].items())])
        turns = f"{len(each['ours'])} and {len(each['theirs'])}"
        lines.append(
            f"| {each['what']} | {turns} | {each['date']} | {each['machine']} | {each['load']} "
            f"| {each['threads'] or 'all'} | {versions} | `{each['settings']}` |"
        )
    return "\n".join([*lines, ""])


def _seconds(values: Sequence[float]) -> str:
    middle = median(values)
    return f"{1e3 * middle:.3g} ms" if middle < 1 else f"{middle:.3g} s"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")

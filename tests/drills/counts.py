"""What drills count: a file per test in the folder that TUNESCOPE_DRILLS names; `tools/drills.py` reads them."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path

FOLDER = "TUNESCOPE_DRILLS"
"""The variable that names the folder; without it nothing is written."""
_counted: list[Count] = []
"""Of the test that runs."""


@dataclass(frozen=True)
class Count:
    """What a drill did to a verb, how often, and what held then.

    Attributes:
        verb: a command, or what else was drilled, such as a reader.
        trouble: what was done to it, such as `SIGKILL`.
        times: how often.
        runs: how many runs, or inputs, it was done to.
        compared: what was compared, or asserted.
        note: what else there is to say.
    """

    verb: str
    trouble: str
    times: int
    runs: int
    compared: str
    note: str = ""


def count(verb: str, trouble: str, times: int, runs: int, compared: str, note: str = "") -> None:
    """Count what a drill did, once it holds; it is in the file if the test passes."""
    _counted.append(Count(verb, trouble, times, runs, compared, note))
    print(f"{verb}: {trouble}, {times} times over {runs} runs; {compared} {note}")


def begin() -> None:
    """Forget what another test counted."""
    _counted.clear()


def write(test: str, outcome: str, seconds: float, is_full: bool) -> None:
    """Write the file of a test, in place of an earlier one."""
    if not os.environ.get(FOLDER):
        return
    folder = Path(os.environ[FOLDER])
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"\W+", "-", test.rpartition("/")[2]).strip("-")[:80]
    text = {
        "test": test,
        "outcome": outcome,
        "seconds": round(seconds, 1),
        "is_full": is_full,
        "is_cold": bool(os.environ.get("TUNESCOPE_COLD")),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "counts": [asdict(each) for each in _counted],
    }
    digest = blake2b(test.encode(), digest_size=3).hexdigest()
    (folder / f"{name}-{digest}.json").write_text(json.dumps(text, indent=1) + "\n", "utf-8")

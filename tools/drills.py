"""Write the table of docs/proofs/drills.md from what drills counted (`make drill`).

python tools/drills.py FOLDER            # print the table
python tools/drills.py FOLDER --write    # write it into the page, too
python tools/drills.py FOLDER --write --add    # and keep the page's lines of other verbs and troubles
"""

from __future__ import annotations

import json
import platform
import re
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

PAGE = Path(__file__).resolve().parents[1] / "docs" / "proofs" / "drills.md"
TABLE = re.compile(r"(<!-- drills -->\n).*?(<!-- /drills -->)", re.DOTALL)
PACKAGES = ("tunescope", "numpy", "pyarrow", "torch", "transformers", "trl", "openai", "pytest")
HEADER = ("verb", "trouble", "times", "runs", "what was compared", "result", "seconds", "begun", "")
ROW = re.compile(r"^\| `.*\|$", re.MULTILINE)
CELL_END = re.compile(r" (?<!\\)\| ?")


class Line(NamedTuple):
    """A row of the table: a verb and a kind of trouble."""

    verb: str
    trouble: str
    times: int
    runs: int
    compared: str
    result: str
    seconds: float
    begun: str
    note: str

    def cells(self) -> list[str]:
        """Return its cells as text."""
        numbers = [f"{self.times:,}", f"{self.runs:,}", self.compared, self.result, f"{self.seconds:,.0f}"]
        return [f"`{self.verb}`", self.trouble, *numbers, self.begun, self.note]


def read(folder: Path) -> list[dict[str, Any]]:
    """Return what the tests of a folder wrote."""
    return [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]


def lines(tests: Iterable[Mapping[str, Any]]) -> list[Line]:
    """Join the counts of all tests by verb and trouble; a test's time is shared out among its counts."""
    joined: dict[tuple[str, str], list[tuple[Mapping[str, Any], Mapping[str, Any]]]] = defaultdict(list)
    for test in tests:
        for count in test["counts"]:
            joined[count["trouble"], count["verb"]].append((count, test))
    return [_join(verb, trouble, found) for (trouble, verb), found in sorted(joined.items())]


def _join(verb: str, trouble: str, found: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Line:
    held = all(test["outcome"] == "passed" for _, test in found)
    notes = dict.fromkeys(count["note"] for count, _ in found if count["note"])
    return Line(
        verb,
        trouble,
        sum(count["times"] for count, _ in found),
        sum(count["runs"] for count, _ in found),
        "; ".join(dict.fromkeys(count["compared"] for count, _ in found)),
        "held" if held else "FAILED",
        sum(test["seconds"] / len(test["counts"]) for _, test in found),
        min(test["at"] for _, test in found)[:16].replace("T", " "),
        "; ".join(notes),
    )


def kept_rows(page: str) -> list[list[str]]:
    """Return the cells of the rows that the page's table has."""
    table = TABLE.search(page)
    return [CELL_END.split(row[2:])[:-1] for row in ROW.findall(table[0])] if table else []


def render(tests: Sequence[Mapping[str, Any]], kept: Sequence[Sequence[str]] = ()) -> str:
    """Return when and with what the drills ran, the table, and the tests that failed or were skipped.

    Of the rows of an earlier table, `kept`, those of other verbs or troubles stay.
    """
    rows = {(cells[1], cells[0]): list(cells) for cells in kept}
    rows |= {(line.trouble, f"`{line.verb}`"): [c.replace("|", "\\|") for c in line.cells()] for line in lines(tests)}
    dates = sorted(test["at"] for test in tests)
    cold = sum(test["is_cold"] for test in tests)
    minutes = sum(test["seconds"] for test in tests) / 60
    text = [
        f"From {dates[0]} to {dates[-1]}: {len(tests)} drills, {minutes:,.0f} minutes, {cold} of them "
        f"with processes that start from nothing. {_versions()}",
        "",
        "| " + " | ".join(HEADER) + " |",
        "|---" * len(HEADER) + "|",
        *("| " + " | ".join(rows[key]) + " |" for key in sorted(rows)),
    ]
    for outcome, words in (("failed", "Failed"), ("skipped", "Not run here")):
        names = [f"`{test['test']}`" for test in tests if test["outcome"] == outcome]
        if names:
            text += ["", f"{words}: {', '.join(names)}."]
    return "\n".join(text) + "\n"


def _versions() -> str:
    found = {"Python": platform.python_version(), "SQLite": sqlite3.sqlite_version, "Linux": platform.release()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(f"{name} {version}" for name, version in found.items()) + "."


def main(arguments: Sequence[str]) -> int:
    """Print the table; write it where that is asked for; return 1 where a drill failed."""
    tests = read(Path(arguments[0]))
    if not tests:
        print(f"{arguments[0]}: found no counts; type make drill")
        return 1
    page = PAGE.read_text("utf-8")
    text = render(tests, kept_rows(page) if "--add" in arguments else ())
    print(text)
    if "--write" in arguments:
        PAGE.write_text(TABLE.sub(lambda match: match[1] + text + match[2], page), "utf-8")
    return int(any(test["outcome"] == "failed" for test in tests))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Write the table of tasks in docs/reference/bench-tasks.md, from the tasks' files and a copy of their data.

python tools/bench_tasks.py --data ../shared/data/benchmarks           # exit 1 where the page says something else
python tools/bench_tasks.py --data ../shared/data/benchmarks --write
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from tunescope.verbs.bench.tasks.build import build
from tunescope.verbs.bench.tasks.catalogue import TaskUse, all_tasks, find_suite

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "bench-tasks.md"
_TABLE = re.compile(r"(<!-- tasks -->\n).*?(<!-- /tasks -->)", re.DOTALL)
_COLUMNS = ("task", "lm-eval's name", "metric", "shots", "category", "n here", "chance", "source")


def render(data: Path) -> str:
    """Return the page with the table as it should be."""
    rows = [_COLUMNS, ("---",) * len(_COLUMNS), *(_row(find_suite([name]).uses[0], data) for name in all_tasks())]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return _TABLE.sub(lambda match: match[1] + table + match[2], PAGE.read_text("utf-8"))


def _row(use: TaskUse, data: Path) -> tuple[str, ...]:
    task = use.task
    assert task is not None
    tasks = build(use, data).tasks
    counts = [len(each.eval_docs) for each in tasks]
    chances = [(each.chance(), n) for each, n in zip(tasks, counts, strict=True)]
    known = [(chance * n) for chance, n in chances if chance is not None]
    chance = f"{sum(known) / sum(counts):.3f}" if known else "–"
    name, theirs = f"`{task.name}`", f"`{task.lm_eval}`" if task.lm_eval else "–"
    return name, theirs, task.metric, str(task.shots), str(task.category), f"{sum(counts):,}", chance, task.source


def main() -> int:
    """Compare or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    page = render(given.data)
    if given.write:
        PAGE.write_text(page, "utf-8")
    return int(page != PAGE.read_text("utf-8"))


if __name__ == "__main__":
    sys.exit(main())

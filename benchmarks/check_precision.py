"""How many of the rows that `check` flags are really wrong: two readings of hits, as a table in docs/proofs/check.md.

    python benchmarks/check_precision.py [--write]

`check_readings.csv` holds the verdicts: for each hit the two readings' `wrong` or `fine`, and a few words of the row.
A row is wrong where a careful maker of the data would drop or repair it. Of a fault with more than 100 hits in a file,
100 were drawn (Python's `random.Random(13)`); hits that a later rule no longer flags are left out.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from tunescope.stats import proportion_from_counts

READINGS = Path(__file__).with_name("check_readings.csv")
PAGE = Path(__file__).parents[1] / "docs" / "proofs" / "check.md"
TABLE = re.compile(r"(<!-- precision -->\n).*?(<!-- /precision -->)", re.DOTALL)


def kappa(pairs: Sequence[tuple[str, str]]) -> float:
    """Return Cohen's kappa (1960) of two readings; 1 where both give everything the same verdict."""
    agreed = sum(first == second for first, second in pairs) / len(pairs)
    verdicts = {verdict for pair in pairs for verdict in pair}
    shares = [[sum(pair[k] == verdict for pair in pairs) / len(pairs) for k in (0, 1)] for verdict in verdicts]
    chance = sum(first * second for first, second in shares)
    return 1.0 if chance == 1 else (agreed - chance) / (1 - chance)


def table(readings: Sequence[dict[str, str]]) -> str:
    """Return the precision of each fault and grade in each file, and how far the readings agree."""
    groups: dict[tuple[str, str, str], list[dict[str, str]]] = defaultdict(list)
    for reading in readings:
        groups[reading["fault"], reading["grade"], reading["data"]].append(reading)
    return "\n".join([*_rows(groups), "", _agreement(readings)]) + "\n"


def _rows(groups: dict[tuple[str, str, str], list[dict[str, str]]]) -> Iterator[str]:
    yield "| fault | grade | file | read | wrong | precision (95 % interval) |"
    yield "|---|---|---|---|---|---|"
    for (fault, grade, data), group in sorted(groups.items()):
        wrong = sum(reading["reading_1"] == reading["reading_2"] == "wrong" for reading in group)
        share = proportion_from_counts(wrong, len(group))
        assert share.value is not None
        assert share.low is not None
        assert share.high is not None
        interval = f"{100 * share.value:.0f} % ({100 * share.low:.0f} to {100 * share.high:.0f})"
        yield f"| `{fault}` | {grade} | {data} | {len(group)} | {wrong} | {interval} |"


def _agreement(readings: Sequence[dict[str, str]]) -> str:
    pairs = [(reading["reading_1"], reading["reading_2"]) for reading in readings]
    same = sum(first == second for first, second in pairs)
    return f"The two readings agree on {same} of {len(pairs)} hits (Cohen's kappa {kappa(pairs):.2f})."


def main() -> None:
    """Print the table, or write it into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the table into docs/proofs/check.md")
    arguments = parser.parse_args()
    with READINGS.open(encoding="utf-8", newline="") as file:
        text = table(list(csv.DictReader(file)))
    if arguments.write:
        page = PAGE.read_text("utf-8")
        PAGE.write_text(TABLE.sub(lambda match: f"{match[1]}{text}{match[2]}", page), "utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()

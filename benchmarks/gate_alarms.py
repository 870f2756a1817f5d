"""How often the gate raises a false alarm, and how much growth of a planted fault it catches, on real rows.

    python benchmarks/gate_alarms.py DATA [--draws 1000] [--whole 300] [--out benchmarks/gate_alarms.json]

Clean data are drawn from one file twice, as "before" and "after", in three ways: two halves with nothing in common; a
pull request that adds a tenth; and one that takes 5 % out and puts as many others in. Nothing grew, so each alarm is
false. Faults of single rows are looked up in one check of the file. Those that come from the whole set (duplicates,
conflicting answers) depend on which rows are there: they are looked for anew in each draw.

For the power, so many points of the rows of "after" get a truncated answer that hadn't one.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from tunescope import __version__, stats
from tunescope.progress import progress
from tunescope.results.estimates import ALPHA
from tunescope.rows import open_rows
from tunescope.stats import Share, growth_test, holm, proportion_from_counts
from tunescope.text.near_duplicates import Sketches
from tunescope.verbs.check import CheckSettings, _check_chunks, check
from tunescope.verbs.check.joined import JoinedRows, count_repeats, join_chunks
from tunescope.verbs.check.whole_set import conflicting_answers, exact_duplicates, near_duplicates

PAGE = Path(__file__).parents[1] / "docs" / "proofs" / "gates.md"
FILES = ("random_9k.json", "dolly_3k.json", "rasbt_1100.json")
WHOLE = ("exact_duplicate", "near_duplicate", "conflicting_answers")
"""Faults that depend on the other rows."""
POINTS = (1, 2, 5)
WAYS = ("halves", "adds a tenth", "swaps 5 %")


def draw(rng: np.random.Generator, n: int, way: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows that are kept, removed and added, by number."""
    order = rng.permutation(n)
    if way == "halves":
        return order[:0], order[: n // 2], order[n // 2 :]
    if way == "adds a tenth":
        return order[: n // 2], order[:0], order[n // 2 : n // 2 + n // 20]
    part = n // 40  # of the half that is there before
    return order[: n // 2 - part], order[n // 2 - part : n // 2], order[n // 2 : n // 2 + part]


def shares(flags: np.ndarray, parts: tuple[np.ndarray, ...]) -> tuple[Share, ...]:
    """Count a fault among the kept, the removed and the added."""
    return tuple(Share(int(flags[part].sum()), len(part)) for part in parts)


def estimate(count: int, n: int) -> dict[str, float | int]:
    """Return a share with its Wilson interval."""
    found = proportion_from_counts(count, n)
    return {"count": count, "n": n, "share": found.value, "low": found.low, "high": found.high}


def alarms_of_rows(flags: dict[str, np.ndarray], n: int, way: str, draws: int) -> dict:
    """Count false alarms of the faults of single rows: each fault alone, and any of them with Holm."""
    rng = np.random.default_rng([WAYS.index(way), n])
    alone, family, misses = Counter(), 0, Counter()
    for _ in range(draws):
        parts = draw(rng, n, way)
        counted = {name: shares(column, parts) for name, column in flags.items()}
        p = {name: growth_test(*each).p for name, each in counted.items()}
        alone.update(name for name, value in p.items() if value < ALPHA)
        family += any(value < ALPHA for value in holm([*p.values()]))
        for name, each in counted.items():
            interval = stats.difference_of_shares(*each)
            misses[name] += not interval.low <= 0 <= interval.high
    return {
        "alone": {name: estimate(alone[name], draws) for name in flags},
        "any_with_holm": estimate(family, draws),
        "interval_without_0": {name: estimate(misses[name], draws) for name in flags},
    }


def power(flags: np.ndarray, n: int, draws: int) -> dict:
    """Return how often a growth of a fault is caught, by way and points."""
    caught = {}
    for way in WAYS:
        for points in POINTS:
            rng = np.random.default_rng([WAYS.index(way), points, n])
            alarms, beside = 0, 0
            for _ in range(draws):
                parts = draw(rng, n, way)
                kept, removed, added = shares(flags, parts)
                after = len(parts[0]) + len(parts[2])
                more = min(round(points / 100 * after), added.n - added.successes)
                grown = added._replace(successes=added.successes + more)
                p = growth_test(kept, removed, grown).p
                alarms += p < ALPHA
                beside += p * 10 < ALPHA
            caught[f"{way}, +{points}"] = {
                "rows": after,
                "planted": more,
                "stated": estimate(alarms, draws),
                "among_ten": estimate(beside, draws),
            }
    return caught


def read_joined(path: Path) -> JoinedRows:
    """Return what check knows of all rows of a file before it looks at the whole set."""
    rows = open_rows([str(path)], None, ())
    with tempfile.TemporaryDirectory() as folder:
        scratch = SimpleNamespace(scratch=Path(folder))
        return join_chunks(*_check_chunks(CheckSettings(rows=(str(path),), workers=1), rows, None, scratch), rows)


def faults_of_set(joined: JoinedRows, order: np.ndarray) -> tuple[list[str], dict[str, set[str]]]:
    """Return the ids of the rows of a set, in that order, and by fault of the whole set the ids that have it."""
    plain = [joined.ids[i].partition(".")[0] for i in order]
    repeats = count_repeats(np.array([int(each, 16) for each in plain], np.uint64))
    ids = [each if count == 1 else f"{each}.{count}" for each, count in zip(plain, repeats.tolist(), strict=True)]
    offsets = joined.sketches.offsets
    shingles = [joined.sketches.shingles[offsets[i] : offsets[i + 1]] for i in order]
    ends = np.cumsum([0, *map(len, shingles)])
    sketches = Sketches(joined.sketches.bands[:, order], np.concatenate(shingles), ends)
    exchanges = (joined.questions[order], joined.answers[order])
    found = {
        "exact_duplicate": exact_duplicates(repeats, ids),
        "near_duplicate": near_duplicates(sketches, 0.8, repeats == 1, exchanges, ids),
        "conflicting_answers": conflicting_answers(*exchanges, ids),
    }
    return ids, {fault: {ids[place] for place, _ in places} for fault, places in found.items()}


def alarms_of_sets(joined: JoinedRows, name: str, way: str, draws: int) -> dict:
    """Count false alarms of the faults that come from the whole set, which are looked for in each draw."""
    n = len(joined.ids)
    rng = np.random.default_rng([7, WAYS.index(way), n])
    alone, family = Counter(), 0
    with progress(f"{name}, {way}", draws) as update:
        for number in range(draws):
            kept, removed, added = draw(rng, n, way)
            sides = [faults_of_set(joined, np.concatenate(parts)) for parts in ((kept, removed), (kept, added))]
            p = {fault: growth_test(*split(sides, fault)).p for fault in WHOLE}
            alone.update(fault for fault, value in p.items() if value < ALPHA)
            family += any(value < ALPHA for value in holm([*p.values()]))
            update(number + 1)
    counts = {fault: estimate(alone[fault], draws) for fault in WHOLE}
    return {"alone": counts, "any_with_holm": estimate(family, draws)}


def split(sides: list[tuple[list[str], dict[str, set[str]]]], fault: str) -> tuple[Share, Share, Share]:
    """Count a fault among the kept, removed and added, as compare does: kept is what says the same on both sides."""
    (ids_a, of_a), (ids_b, of_b) = ((set(ids), faults[fault]) for ids, faults in sides)
    n_kept = len(ids_a & ids_b) - len((of_a ^ of_b) & ids_a & ids_b)
    both = len(of_a & of_b)
    kept = Share(both, n_kept)
    return kept, Share(len(of_a) - both, len(ids_a) - n_kept), Share(len(of_b) - both, len(ids_b) - n_kept)


def main() -> None:
    """Draw, count, and write the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="the folder of the row files")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--whole", type=int, default=300)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--page", action="store_true", help="write --out's into docs/proofs/gates.md, and draw nothing")
    options = parser.parse_args()
    if options.page:
        write_page(json.loads(options.out.read_text("utf-8")))
        return
    result: dict = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "tunescope": __version__, "files": {}}
    for name in FILES:
        result["files"][name] = of_single_rows(options.data / name, options.draws)
        options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
        joined = read_joined(options.data / name)
        sets = result["files"][name]["whole_set"] = {}
        for way in WAYS:
            sets[way] = alarms_of_sets(joined, name, way, options.whole)
            options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


def tables(result: dict) -> dict[str, str]:
    """Return the tables of docs/proofs/gates.md."""
    alarms = ["| file | draws | the fault with most alarms, alone | any fault, with Holm |", "|---|---|---|---|"]
    sets = [f"| file | draws | {' | '.join(WHOLE)} | any of them, with Holm |", "|---|---|" + "---|" * (len(WHOLE) + 1)]
    caught = ["| file | draws | rows after | planted | tested alone | one of ten |", "|---|---|---|---|---|---|"]
    for name, about in result["files"].items():
        for way, found in about["rows_alone"].items():
            worst = max(found["alone"], key=lambda fault: found["alone"][fault]["count"])
            cells = (f"{worst}: {_percent(found['alone'][worst])}", _percent(found["any_with_holm"]))
            alarms.append(f"| {name} ({about['rows']:,} rows) | {way} | {' | '.join(cells)} |")
        for way, found in about.get("whole_set", {}).items():
            cells = [*(_percent(found["alone"][fault]) for fault in WHOLE), _percent(found["any_with_holm"])]
            sets.append(f"| {name} | {way} | {' | '.join(cells)} |")
        for way, found in about["power"].items():
            cells = (f"{found['rows']:,}", found["planted"], _percent(found["stated"]), _percent(found["among_ten"]))
            caught.append(f"| {name} | {way} points | {' | '.join(map(str, cells))} |")
    return {"alarms": "\n".join(alarms), "sets": "\n".join(sets), "power": "\n".join(caught)}


def _percent(share: dict) -> str:
    return f"{100 * share['share']:.1f} % ({100 * share['low']:.1f} to {100 * share['high']:.1f})"


def write_page(result: dict) -> None:
    """Write the tables into docs/proofs/gates.md, between their marks."""
    text = PAGE.read_text("utf-8")
    for name, table in tables(result).items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = pattern.sub(lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text)
    PAGE.write_text(text, "utf-8")


def of_single_rows(path: Path, draws: int) -> dict:
    """Check a file once; return false alarms and power of the faults of single rows."""
    with tempfile.TemporaryDirectory() as folder:
        run = check(CheckSettings(rows=(str(path),), out=f"{folder}/run"))
        table = run.tables["rows"]
        names = [fault for fault in run.result["faults"] if fault not in WHOLE]
        flags = {fault: table[fault].to_numpy() for fault in names}
    flags = {fault: column for fault, column in flags.items() if column.any()}
    n = len(table)
    return {
        "rows": n,
        "faulty": {fault: int(column.sum()) for fault, column in flags.items()},
        "rows_alone": {way: alarms_of_rows(flags, n, way, draws) for way in WAYS},
        "power": power(flags["truncated_answer"], n, draws) if "truncated_answer" in flags else {},
    }


if __name__ == "__main__":
    main()

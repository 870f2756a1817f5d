"""`compare`: what differs between two row sets, sets of answers, runs of `measure` or of a judge, pair by pair.

Of two runs of `check`: which faults grew. Of a run of `trace` and other answers: which of its spans are gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tunescope import runs
from tunescope.errors import SettingsError
from tunescope.judgements.comparable import setup_differences
from tunescope.locations import Location
from tunescope.pairing import Pairing
from tunescope.results.compare import CompareResult
from tunescope.results.lm_eval import find_results
from tunescope.runs import Outcome, Run, RunFolder
from tunescope.settings import as_cli_args
from tunescope.verbs.compare.items import PAIRING_KEYS, ComparedItem, ComparedSet, open_set, pair_items
from tunescope.verbs.compare.settings import CompareSettings

VERSION = 5
_NOWHERE = Location("")


def compare(settings: CompareSettings) -> Run:
    """Pair the items of A and B; return the run with the table `pairs`.

    Rows are paired by origin, else by `key`, else by identical instruction; answers by prompt id,
    else by identical prompt; judgements by system and item, else, where both runs judge one system,
    by item. `pairs` has a_id, b_id, paired_by, state (same, changed, added or removed), of rows the
    file and line on both sides, and every shared number as NAME_a, NAME_b.

    Raises:
        InputError, RunError: what can't be read.
        SettingsError: two different kinds of thing.
    """
    scored = [find_results(name) for name in (settings.a, settings.b)]
    if scored[0] is not None and scored[1] is not None:
        from tunescope.verbs.compare.scores import compare_scores

        return compare_scores(settings, scored[0], scored[1])
    run_a, run_b = (_find_run(name) for name in (settings.a, settings.b))
    if run_a is not None and run_b is not None and run_a.verb == run_b.verb == "check":
        from tunescope.verbs.compare.faults import compare_faults

        return compare_faults(settings, run_a, run_b)
    a, b = (open_set(settings, name) for name in (settings.a, settings.b))
    if run_a is not None and run_a.verb == "trace" and b.kind == "answers":
        from tunescope.verbs.compare.spans import compare_spans

        return compare_spans(settings, run_a, Path(b.path), b.hash)
    if a.kind != b.kind:
        raise SettingsError(
            f"A ({settings.a}) holds {a.kind} and B ({settings.b}) holds {b.kind}; compare like with like"
        )
    inputs = {f"a {settings.a}": a.hash, f"b {settings.b}": b.hash}
    return runs.execute("compare", VERSION, settings, inputs, partial(_work, settings, a, b))


def _find_run(name: str) -> Run | None:
    return Run(Path(name)) if (Path(name) / "run.json").is_file() else None


def _work(settings: CompareSettings, a: ComparedSet, b: ComparedSet, folder: RunFolder) -> Outcome:
    from tunescope.verbs.compare.numbers import compare_number, medians, shared_numbers, word_overlap
    from tunescope.verbs.compare.view import compare_view

    items_a, items_b = list(a.items()), list(b.items())
    paired = pair_items(items_a, items_b, a.kind)
    names = shared_numbers(items_a, items_b)
    _write(folder, paired, names, with_places=a.kind == "rows")
    n_same = sum(x.content == y.content for x, y, _ in paired.pairs)
    scorers = {"a": a.scorer, "b": b.scorer}
    judge_runs = None if a.run is None or b.run is None else {"A": a.run, "B": b.run}
    result = CompareResult(
        kind=a.kind,
        a=len(items_a),
        b=len(items_b),
        same=n_same,
        changed=len(paired.pairs) - n_same,
        removed=len(paired.only_a),
        added=len(paired.only_b),
        paired_by={key: sum(by == key for *_, by in paired.pairs) for key in PAIRING_KEYS[a.kind]},
        summary={name: compare_number(name, paired, _is_heavy_tailed(a.kind, name), settings.seed) for name in names},
        word_overlap=word_overlap(paired.pairs) if a.kind == "answers" else None,
        models=scorers if a.kind == "turns" else None,
        medians={name: medians(name, items_a, items_b) for name in names} if a.kind == "turns" else None,
        judges=scorers if judge_runs else None,
        setup_differences=tuple(setup_differences(judge_runs)) if judge_runs else None,
    )
    next_steps = [*_next_steps(settings, b, paired, folder)]
    return Outcome(result.as_json(), compare_view(result, paired, next_steps))


def _is_heavy_tailed(kind: str, name: str) -> bool:
    """Tell whether a few items may decide a number's mean: all but verdicts and scores, which have a scale."""
    return kind != "judgements" or name.startswith("length")


def _write(folder: RunFolder, paired: Pairing[ComparedItem], measures: Sequence[str], with_places: bool) -> None:
    import pyarrow as pa

    rows: list[tuple[ComparedItem | None, ComparedItem | None, str | None, str]] = [
        *((x, y, way, "same" if x.content == y.content else "changed") for x, y, way in paired.pairs),
        *((x, None, None, "removed") for x in paired.only_a),
        *((None, y, None, "added") for y in paired.only_b),
    ]
    columns: dict[str, Any] = {
        "a_id": pa.array([x.id if x else None for x, _, _, _ in rows], pa.string()),
        "b_id": pa.array([y.id if y else None for _, y, _, _ in rows], pa.string()),
        "paired_by": pa.array([way for _, _, way, _ in rows], pa.string()),
        "state": pa.array([state for *_, state in rows], pa.string()),
    }
    for side, items in (("a", [x for x, *_ in rows]), ("b", [y for _, y, *_ in rows])) if with_places else ():
        locations = [item.location if item and item.location else _NOWHERE for item in items]
        columns[f"{side}_file"] = pa.array([place.file or None for place in locations], pa.string())
        columns[f"{side}_line"] = pa.array([place.line for place in locations], pa.int64())
        columns[f"{side}_record"] = pa.array([place.record for place in locations], pa.int64())
    for name in measures:
        columns[f"{name}_a"] = pa.array([x.numbers.get(name) if x else None for x, *_ in rows], pa.float64())
        columns[f"{name}_b"] = pa.array([y.numbers.get(name) if y else None for _, y, *_ in rows], pa.float64())
    folder.table("pairs", pa.table(columns))


def _next_steps(
    settings: CompareSettings, b: ComparedSet, paired: Pairing[ComparedItem], folder: RunFolder
) -> Iterator[str]:
    changed_or_removed = paired.only_a[:1] or [x for x, y, _ in paired.pairs if x.content != y.content][:1]
    if b.kind == "rows" and changed_or_removed and folder.is_under_runs_root:
        yield f"tunescope why {changed_or_removed[0].id}"
    if b.kind == "rows" and paired.only_b:
        yield f"tunescope check {as_cli_args([b.path], settings.format, settings.columns)}"

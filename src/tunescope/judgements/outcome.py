"""A summary of judgements as a run: its tables, its result and its view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunescope.judgements.summary import Summary
from tunescope.judgements.tables import table_of
from tunescope.judgements.view import pairs_view, scores_view
from tunescope.results.judge import PAIRS
from tunescope.runs import Outcome, RunFolder


def write_summary(
    summary: Summary,
    folder: RunFolder,
    leading: Mapping[str, Any],
    sentences: Sequence[str],
    closing: Sequence[str] = (),
) -> Outcome:
    """Write the tables of a summary into a run folder; return its result and the view.

    Of two answers: tables `comparisons` (a row per system, reference, judge and part) and `items` (a row per item).
    Of single answers: tables `aspects` and `scores`. `rereadings.jsonl` has the replies that we read otherwise than
    the file does.

    `leading` are result keys that stand before the numbers. `sentences` say how the judgements were made or read; the
    rule stands behind the first of them, and `closing` sentences behind those about the judgements.
    """
    for name, records in summary.tables.items():
        folder.table(name, table_of(records))
    if summary.rereading is not None and summary.rereading.differences:
        folder.records("rereadings", summary.rereading.differences)
    first = f"{sentences[0]} {summary.rule_sentence}".strip()
    about = [first, *sentences[1:], *summary.judgements.notes, *closing]
    result = summary.result(leading)
    if summary.kind == PAIRS:
        return Outcome(result, pairs_view(summary, about, folder.path))
    test_set = result.get("test_set", summary.file_format.name)
    return Outcome(result, scores_view(summary, about, folder.path, test_set))

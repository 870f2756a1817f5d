"""Borrowed spans that other answers to the same prompts still hold, or don't: the causal check of `trace`.

A span counts as still there where the other answer has at least half of its words in one run, in `trace`'s words; as
gone where it has less.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescope import runs
from tunescope.answers import ANSWERS_FILE, Answer, Place, read_answers
from tunescope.errors import RunError
from tunescope.results.compare import SpansResult
from tunescope.results.estimates import MeanEstimate
from tunescope.runs import Outcome, Run, RunFolder
from tunescope.views import Table, View, interval

if TYPE_CHECKING:
    from tunescope.verbs.compare.settings import CompareSettings

VERSION = 2
_GONE = 0.5
"""Share of a span's words in one run below which it is gone."""
_SHOWN = 5


def compare_spans(settings: CompareSettings, traced: Run, answers: Path, hashed: str) -> Run:
    """Look for a trace run's spans in other answers; return the run with the table `spans`.

    `spans` has answer_id, prompt_id, text, words, longest (its words in one run in the other answer), gone and reason.

    Raises:
        RunError: no prompt in common.
    """
    inputs = {f"a {settings.a}": traced.key, f"b {settings.b}": hashed}
    return runs.execute("compare", VERSION, settings, inputs, partial(_work, traced, answers))


def longest_run(span: Sequence[str], words: Sequence[str]) -> int:
    """Return the length in words of the longest run of a span that a text has (dynamic programming)."""
    best, before = 0, [0] * (len(words) + 1)
    for word in span:
        row = [0] * (len(words) + 1)
        for place, other in enumerate(words, 1):
            if word == other:
                row[place] = before[place - 1] + 1
                best = max(best, row[place])
        before = row
    return best


def _work(traced: Run, path: Path, folder: RunFolder) -> Outcome:
    from tunescope.stats import share_pooled

    own = {answer.answer_id: answer for answer in read_answers(traced.path / ANSWERS_FILE)}
    others = {answer.place: answer for answer in read_answers(path)}
    lines = [_line(span, own[span["answer_id"]], others) for span in traced.records("spans")]
    if lines and all(line["gone"] is None for line in lines):
        raise RunError(f"{path} answers none of the prompts whose answers hold spans; answer the same prompts")
    _write(folder, lines)
    prompts: dict[str, list[float]] = defaultdict(list)
    for line in lines:
        if line["gone"] is not None:
            prompts[line["prompt_id"]].append(line["gone"])
    gone = share_pooled([sum(part) for part in prompts.values()], [len(part) for part in prompts.values()])
    missing = sum(line["gone"] is None for line in lines)
    result = SpansResult(
        kind="spans",
        spans=len(lines),
        gone=MeanEstimate.of(gone),
        n=len(lines) - missing,
        n_missing=missing,
        prompts=len(prompts),
    )
    count, there = int(sum(map(sum, prompts.values()))), len(lines) - missing
    sentence = f"{count} of {there} borrowed spans are gone from the other answers to the same prompts."
    if not lines:
        sentence = "The traced answers hold no borrowed span, so there is nothing to look for."
    cells = ((gone.value, interval(gone.low, gone.high), there, missing, len(prompts)),)
    note = (
        "Gone: less than half of a span's words in one run. Interval: over prompts. Answers "
        "change for other reasons too: compare with leaving out as many other rows (control = 0 in trace's rows)."
    )
    tables = [Table("Spans that are gone", ("share", "95 % interval", "n", "n_missing", "prompts"), cells, note)]
    shown = tuple((line["prompt_id"], line["words"], line["longest"], line["text"]) for line in lines[:_SHOWN])
    if shown:
        tables.append(Table("The first", ("prompt", "words", "in one run now", "span"), shown))
    report = shlex.join(["tunescope", "report", str(traced.path), str(folder.path)])
    return Outcome(result.as_json(), View((sentence,), tuple(tables), (report,)))


def _line(span: Mapping[str, Any], answer: Answer, others: Mapping[Place, Answer]) -> dict[str, Any]:
    from tunescope.matching.word_ids import folded_words

    other = others.get(answer.place)
    words = folded_words(span["text"])
    longest = None if other is None else longest_run(words, folded_words(other.text))
    return {
        "answer_id": span["answer_id"],
        "prompt_id": answer.prompt_id,
        "text": span["text"],
        "words": len(words),
        "longest": longest,
        "gone": None if longest is None else float(longest < _GONE * len(words)),
        "reason": "no answer to this prompt" if other is None else None,
    }


def _write(folder: RunFolder, lines: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow as pa

    kinds = {
        "answer_id": pa.string(),
        "prompt_id": pa.string(),
        "text": pa.string(),
        "words": pa.int32(),
        "longest": pa.int32(),
        "gone": pa.float64(),
        "reason": pa.string(),
    }
    folder.table("spans", pa.table({n: pa.array([line[n] for line in lines], kind) for n, kind in kinds.items()}))

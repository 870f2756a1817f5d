"""What a run of `annotate export` says."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from tunescope.results.agreement import ExportResult, MarkedShare, RewordedTries
from tunescope.results.estimates import MeanEstimate
from tunescope.views import Cell, Table, View, counted, interval, percent, percent_interval

_SHARES_NOTE = (
    "In rows: the whole phrase occurs in one row word for word, as trace found it. Shifted or marginal: of the "
    "phrases' tokens. By chance: the same of all stretches of as many words in the same answers. Intervals: over "
    "answers. The paper: the Limitations paper's section 5, on other models and rows."
)
_CAUSES_NOTE = (
    "Question and answer beside the rows that were named as a cause, and beside a random other row of the item. The "
    "paper has .418 and 61.6 %."
)
_REWORDED_NOTE = (
    "Lost: the phrase isn't in the answer any more; by the words: its words don't occur there in sequence. "
    "Intervals: over phrases. Missing: left undecided."
)


def export_view(result: ExportResult, run: Path) -> View:
    """Show what was written, what became of the marked phrases, and what the rows named as causes share."""
    people = counted(result.annotators, "annotator")
    marks = f"{counted(result.marks, 'mark')} of {counted(result.items, 'item')} by {people}"
    sentences = [f"Wrote {marks} into {', '.join(result.files)}."]
    shares = {"in rows": result.in_rows, "shifted or marginal": result.shifted, "with a cause": result.with_cause}
    known = {name: share for name, share in shares.items() if share is not None}
    sentences += [_share_sentence(name, share, result.phrases) for name, share in known.items()]
    if result.reworded is not None:
        tries = result.reworded
        sentences.append(
            f"{counted(tries.kept + tries.lost + tries.undecided, 'reworded prompt')}: the phrase is kept in "
            f"{tries.kept:,} answers and lost in {tries.lost:,}; {tries.undecided:,} are undecided."
        )
    if result.reviewers_own or result.comments:
        own = counted(result.reviewers_own, "mark")
        sentences.append(f"A reviewer left {counted(result.comments, 'comment')} and {own} of their own, not counted.")
    tables = [_shares_table(known)] if known else []
    if result.cause_rows is not None:
        tables.append(_causes_table(result))
    if result.reworded is not None:
        tables.append(_reworded_table(result.reworded))
    return View(tuple(sentences), tuple(tables), tuple(_next(result, run)))


def _share_sentence(name: str, share: MarkedShare, phrases: int) -> str:
    what = {
        "in rows": "occur whole in one row",
        "with a cause": "have a row that people named as their cause",
    }
    of_what = f"{phrases:,} marked phrases"
    if share.n_missing:
        of_what = f"{share.phrases:,} of {of_what}"
    if name == "shifted or marginal":
        sentence = f"Of the tokens of {of_what}, {percent(share.share.mean, 1)} are shifted or marginal"
    else:
        sentence = f"Of {of_what}, {percent(share.share.mean, 1)} {what[name]}"
    if share.null.mean is None:
        return f"{sentence}; what chance gives isn't known ({share.null.reason})."
    gap = share.difference
    if gap.low is not None and gap.high is not None:
        told = "more than" if gap.low > 0 else "less than" if gap.high < 0 else "not significantly different from"
        return f"{sentence}: {told} random stretches of the same answers ({percent(share.null.mean, 1)})."
    return f"{sentence}; of random stretches {percent(share.null.mean, 1)}, without an interval ({gap.reason})."


def _shares_table(shares: dict[str, MarkedShare]) -> Table:
    lines: list[tuple[Cell, ...]] = []
    for name, share in shares.items():
        cells = [c for each in (share.share, share.null, share.difference) for c in _cells(each)]
        lines.append((name, *cells, share.share.n, share.n_missing, share.paper))
    columns = ("share", "marked", "95 %", "by chance", "95 %", "difference", "95 %", "n", "missing", "the paper")
    return Table("Marked phrases", columns, tuple(lines), _SHARES_NOTE)


def _cells(estimate: MeanEstimate) -> tuple[str, str]:
    return percent(estimate.mean, 1), percent_interval(estimate.low, estimate.high, 1)


def _causes_table(result: ExportResult) -> Table:
    assert result.cause_rows is not None
    rows, lines = result.cause_rows, list[tuple[Cell, ...]]()
    for name, named, other in (
        ("keyword overlap", rows.keyword_overlap, rows.keyword_overlap_random),
        ("cosine", rows.cosine, rows.cosine_random),
    ):
        values = [None if each.mean is None else round(each.mean, 3) for each in (named, other)]
        ends = [interval(each.low, each.high, 3) for each in (named, other)]
        reason = named.reason or ""
        lines.append((name, values[0], ends[0], values[1], ends[1], named.n, named.n_missing, reason))
    columns = ("measure", "named rows", "95 %", "random row", "95 %", "n", "missing", "why none")
    return Table("Rows named as a cause", columns, tuple(lines), _CAUSES_NOTE)


def _reworded_table(tries: RewordedTries) -> Table:
    lines = [
        (name, *_cells(each), each.n, each.n_missing, each.reason or "")
        for name, each in (
            ("lost, as people marked", tries.lost_share),
            ("lost, by the words", tries.lost_by_words),
            ("people and words say the same", tries.same),
        )
    ]
    columns = ("of the answers to reworded prompts", "share", "95 %", "n", "missing", "why none")
    return Table("Reworded prompts", columns, tuple(lines), _REWORDED_NOTE)


def _next(result: ExportResult, path: Path) -> Iterator[str]:
    run = shlex.quote(str(path))
    yield f"tunescope annotate agreement {run}"
    if "judgements.jsonl" in result.files:
        yield f"tunescope judge recompute {run}"
    if "spans.jsonl" in result.files:
        yield f"tunescope attribute ROWS --answers {run} --spans {run}"
        yield f"tunescope trace ROWS --answers {run}"

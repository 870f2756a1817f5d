"""What `trace --answers` shows: never a share of borrowed words without what chance alone gives."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from tunescope.results.estimates import ALPHA
from tunescope.runs import Run
from tunescope.settings import as_cli_args
from tunescope.stats import Estimate, PValue
from tunescope.stats.minimal_n import RARE
from tunescope.verbs.trace.copies_view import copies_table, describe_answers_copies
from tunescope.verbs.trace.index import Index
from tunescope.verbs.trace.settings import TraceSettings
from tunescope.verbs.trace.sources import Sources
from tunescope.verbs.trace.summary import AnswersSummary, SourceRows, TracedAnswers
from tunescope.views import Table, View, counted, interval, percent

_MEASURES = {
    "string_found": "spans found in their rows by string search",
    "keyword_overlap": "keyword overlap with the top source row",
    "keyword_overlap_random": "… with a random row",
    "cosine": "cosine with the top source row",
    "cosine_random": "… with a random row",
}


def show_answers(
    settings: TraceSettings, sources: Sources, index: Index, traced: TracedAnswers, summary: AnswersSummary, run: Path
) -> View:
    """Show how many words answers borrow, beside what chance gives, and the rows borrowed from most."""
    n_rows = index.about["rows"]
    sentence = (
        f"{percent(summary.flagged.value)} of the words of {counted(summary.n, 'answer')} are flagged as borrowed from "
        f"{counted(n_rows, 'row')}. Chance alone flags {percent(summary.expected.value)}. "
        f"{_describe_excess(summary)}"
    )
    tables = [_shares_table(sources, traced, summary), *copies_table(traced.copies)]
    if traced.rows.top_source:
        tables.append(_rows_table(index, traced.rows))
    if summary.limitations:
        tables.append(_limitations_table(summary.limitations))
    return View(
        (*describe_answers_copies(traced.copies, summary.n), sentence),
        tuple(tables),
        _next_commands(settings, sources, index, traced, run),
    )


def _describe_excess(summary: AnswersSummary) -> str:
    """Say whether the flagged words are more, or fewer, than chance gives, by the permutation test."""
    excess, p = summary.excess, summary.test.p
    if excess.value is None or summary.expected.value is None or p is None:
        return "There are too few texts to estimate the excess."
    if p >= ALPHA:
        by_chance = summary.expected.value * summary.words
        flagged = f"{by_chance:.0f} of {counted(summary.words, 'word')}"
        return f"{counted(summary.n, 'answer')} can't tell these apart (p = {p:.2g}): chance flags about {flagged}."
    points = "" if excess.low is None or excess.high is None else f", 95 % interval {_points(excess.low, excess.high)}"
    way = "excess" if excess.value > 0 else "difference"
    return f"The {way} is {100 * excess.value:.2f} points (p = {p:.2g}{points})."


def _points(low: float, high: float) -> str:
    return f"{100 * low:.2f} to {100 * high:.2f}"


def _describe_test(test: PValue) -> str:
    return "" if test.p is None else f"p of the excess: {test.p:.3g} ({test.method}). "


def _shares_table(sources: Sources, traced: TracedAnswers, summary: AnswersSummary) -> Table:
    cells = tuple(
        (label, percent(part.value), interval(_in_percent(part.low), _in_percent(part.high)), part.n, part.n_missing)
        for label, part in (
            ("flagged words of the answers", summary.flagged),
            ("flagged words of the null texts", summary.expected),
            ("excess", summary.excess),
            ("answers with p up to 0.05 (5 % by chance)", summary.answers_p_05),
        )
    )
    against = f"against {sources.reference_name}" if sources.reference else "without a reference"
    above = " above the reference's" if sources.reference else ""
    return Table(
        f"Words that answers share with rows, {against}",
        ("", "share", "95 % interval", "n", "n_missing"),
        cells,
        f"A word is flagged where it lies in a stretch of at least {traced.threshold:.0f} bits{above}. At this "
        f"threshold {percent(summary.expected.value)} of the null texts' words are flagged. Null texts: "
        f"{traced.distribution.sample.source}. {_describe_test(summary.test)}Flagged words come "
        f"in runs, so a share below {percent(RARE, 0)} has no interval. Shared words alone don't "
        "prove learning. An excess is evidence of it.",
    )


def _rows_table(index: Index, sources: SourceRows) -> Table:
    most_borrowed = dict(sources.most_borrowed())
    rows = {row.row_id: row for row in index.rows() if row.row_id in most_borrowed}
    cells = tuple(
        (
            row_id,
            str(rows[row_id].location),
            count,
            round(sources.borrowed_bits[row_id], 1),
            rows[row_id].text("instruction"),
            rows[row_id].text("response"),
        )
        for row_id, count in most_borrowed.items()
    )
    n_sources = len(sources.top_source)
    top_sources = f"{counted(n_sources, 'row')} {'is' if n_sources == 1 else 'are'} the top source of at least one span"
    return Table(
        "Rows borrowed from most",
        ("row id", "place", "spans", "bits", "instruction", "response"),
        cells,
        f"{top_sources}. The table `rows` counts near-duplicates too.",
    )


def _limitations_table(measures: Mapping[str, Estimate]) -> Table:
    cells = tuple(
        (_MEASURES[name], part.value, interval(part.low, part.high), part.n, part.n_missing)
        for name, part in measures.items()
    )
    return Table(
        "The Limitations paper's measures, over answers with a span",
        ("", "mean", "95 % interval", "n", "n_missing"),
        cells,
        "Keywords: 1- to 3-grams that don't begin or end with a stop word (our list, without a tagger).",
    )


def _next_commands(
    settings: TraceSettings, sources: Sources, index: Index, traced: TracedAnswers, run: Path
) -> tuple[str, ...]:
    here = shlex.quote(str(run))
    commands = []
    if traced.rows.top_source:
        commands.append(f"tunescope select {_row_files(settings, index)} --from {here} --where 'borrowed = 0'")
        commands.append(f"tunescope why {traced.rows.most_borrowed()[0][0]}")
    if not sources.reference:
        answers = shlex.quote(settings.answers or "")
        source = as_cli_args(settings.rows, settings.format, settings.columns, settings.on_bad)
        commands.append(f"tunescope trace --answers {answers} --rows {source} --reference BASE_ANSWERS")
    return (*commands, f"tunescope report {here}")


def _row_files(settings: TraceSettings, index: Index) -> str:
    """Return the row files as they are typed; of an index's folder, the files that it was built from."""
    if Path(settings.rows[0]) != index.path:
        return as_cli_args(settings.rows, settings.format, settings.columns, settings.on_bad)
    of_index = Run(index.path).settings
    return as_cli_args(of_index["rows"], of_index["format"], of_index["columns"], of_index["on_bad"])


def _in_percent(value: float | None) -> float | None:
    return None if value is None else 100 * value

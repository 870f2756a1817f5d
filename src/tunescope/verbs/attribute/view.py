"""What `attribute` shows: the answer, and the rows that taught it with what speaks for each."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from tunescope.answers import Answer
from tunescope.results.attribute import (
    AttributedAnswer,
    AttributeIndexResult,
    AttributeResult,
    RowEvidence,
    RowValues,
    ValueResult,
)
from tunescope.runs import Run
from tunescope.settings import as_cli_args
from tunescope.verbs.attribute.row_index import RowIndex
from tunescope.verbs.attribute.settings import AttributeSettings, WordsSettings
from tunescope.views import Cell, Marked, Table, View, counted, rejected_sentence, shorten

_SHOWN = 600
"""Characters of a text that are shown."""
_ANSWERS = 20
"""Answers and rows that a table shows."""
KINDS = {
    "words": "words (BM25)",
    "meaning": "meaning (cosine)",
    "states": "states (gradients of the base)",
    "effect": "effect (gradients of base and tuned model)",
}
"""The kinds of evidence, as they are called."""
_VALUES = ("combined", "influence", "alignment", "own_loss")
"""Columns of `values` that are shown with a row."""
_WORTH = (
    "This is weak evidence, not a list of wrong rows. In a tiny world with 30 false rows among 300, 16 of the first 30 "
    "were false. Tuning again without the first 30 gained 6.1 points of accuracy over leaving out 30 at random on the "
    "held-out questions themselves and 1.6 on others (without all false rows: 10.4 and 9.3). Nothing was measured on "
    "real rows. Tune again without them, and without as many at random, and ask questions other than these."
)
"""What a rank among the values is worth (measured in docs/proofs/attribution-truth.md)."""


def show_index(settings: WordsSettings, result: AttributeIndexResult, n_rejected: int) -> View:
    """Show what was indexed."""
    sentences = [
        f"Indexed {counted(result.rows, 'row')}: {result.words:,} words, {result.vocabulary:,} of them distinct, "
        f"{result.bytes / 1e6:.1f} MB."
    ]
    if result.without_text:
        sentences.append(f"{counted(result.without_text, 'row')} without a word can only be found by other evidence.")
    if n_rejected:
        sentences.append(rejected_sentence(n_rejected))
    source = as_cli_args(settings.rows, settings.format, settings.columns, settings.on_bad)
    following = (
        f'tunescope attribute --text "the wrong sentence" --prompt "the question" --rows {source}',
        f"tunescope attribute --answers ANSWERS --rows {source}",
    )
    return View(tuple(sentences), (), following)


def show_parts(words: View, others: Sequence[Run]) -> View:
    """Add what else was indexed to the view of the words."""
    sentences = (*words.sentences, *(sentence for run in others for sentence in run.view.sentences))
    return replace(words, sentences=sentences)


def show_attributions(
    settings: AttributeSettings,
    answers: Sequence[Answer],
    index: RowIndex,
    result: AttributeResult,
    with_null: Collection[str],
    run: Path,
) -> View:
    """Show one answer with its rows, or several as a table of rows and answers; the cut is by the kinds `with_null`."""
    found = [answer for answer in result.answers if answer.rows]
    if not found:
        sentence = f"None of the {counted(result.rows_indexed, 'row')} shares a word with the prompt and the answer."
        return View((sentence, *_left_out(result)), (), _next_commands(settings, found, run))
    sentences = [_describe(result), *_left_out(result), _describe_cut(settings, result, with_null)]
    texts, tables = [], []
    if len(result.answers) == 1:
        texts.append(Marked("The answer", shorten(answers[0].text, _SHOWN)))
        texts += [_show_row(index, row) for row in result.answers[0].rows[: settings.top]]
    else:
        tables += [_answers_table(answers, result), *_rows_table(index, result, settings.top)]
    return View(
        tuple(sentence for sentence in sentences if sentence),
        tuple(tables),
        _next_commands(settings, found, run),
        tuple(texts),
    )


def _describe(result: AttributeResult) -> str:
    by = _joined([KINDS[name] for name in result.evidence])
    missing = f" {counted(result.n_missing, 'answer')} had no words." if result.n_missing else ""
    whose = "this answer" if result.n == 1 else f"{result.n:,} answers"
    return (
        f"Of {counted(result.rows_indexed, 'row')}, these are the likeliest to have taught {whose}, best first, by "
        f"{by}.{missing}"
    )


def _joined(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _left_out(result: AttributeResult) -> tuple[str, ...]:
    return tuple(f"Without {name}: {reason}." for name, reason in result.left_out.items())


def _describe_cut(settings: AttributeSettings, result: AttributeResult, with_null: Collection[str]) -> str:
    """Say how many rows matter, or why that isn't known."""
    counts = [answer.matters for answer in result.answers if answer.matters is not None]
    if not counts:
        reasons = Counter(answer.reason for answer in result.answers if answer.rows)
        return f"How many of them matter isn't known: {reasons.most_common(1)[0][0]}."
    which = {row.index for answer in result.answers for row in answer.rows if row.matters}
    by_chance = f"{settings.by_chance:g} row{' per answer passes' if settings.by_chance == 1 else 's per answer pass'}"
    used = [name for name in result.evidence if name in with_null]
    is_all = used == [*result.evidence] and bool({"states", "effect"} & {*used})
    by = "all evidence together" if is_all else _joined(used)
    threshold = f"a threshold that about {by_chance} by chance"
    if not which:
        return f"No row matters by {by}: none passes {threshold}, and none is a copy."
    one = len(which) == 1
    rows = f"{counted(len(which), 'row')} {'matters' if one else 'matter'}"
    if len(counts) > 1:
        rows += f" for at least one answer ({median(counts):g} for the median answer)"
    why = f"it passes {threshold}, or it is a copy" if one else f"they pass {threshold}, or they are copies"
    return f"{rows} by {by}: {why}."


def _show_row(index: RowIndex, row: RowEvidence) -> Marked:
    """Show a row's text under its place and what speaks for it."""
    stored = index.row(row.index)
    return Marked(f"{row.rank}. {row.location}, row {row.row_id}: {_evidence(row)}", shorten(stored.text, _SHOWN))


def _evidence(row: RowEvidence) -> str:
    """Name each kind of evidence with its score and rank."""
    parts = ["matters"] if row.matters else []
    parts += ["a copy, word for word"] if row.copied else []
    for name in KINDS:
        score, rank = getattr(row, name), getattr(row, f"{name}_rank")
        if score is not None:
            parts.append(f"{name} {score:.3g} (rank {rank:,})")
    return ", ".join(parts)


def _answers_table(answers: Sequence[Answer], result: AttributeResult) -> Table:
    """Show the first row of each answer."""
    cells: list[tuple[Cell, ...]] = []
    for answer, attributed in list(zip(answers, result.answers, strict=True))[:_ANSWERS]:
        first = attributed.rows[0] if attributed.rows else None
        cells.append(
            (
                attributed.prompt_id,
                answer.text,
                str(first.location) if first else None,
                first.row_id if first else None,
                _evidence(first) if first else attributed.reason,
                attributed.matters,
            )
        )
    more = f" The first {_ANSWERS} of {len(answers):,} answers." if len(answers) > _ANSWERS else ""
    note = f"The table `attributions` has every listed row of every answer.{more}"
    return Table("Answers", ("prompt", "answer", "first row", "row id", "evidence", "matter"), tuple(cells), note)


def _rows_table(index: RowIndex, result: AttributeResult, top: int) -> list[Table]:
    """Show the rows that are listed for most answers, with their rank for each answer."""
    ranks: dict[int, dict[int, int]] = {}
    for number, answer in enumerate(result.answers):
        for row in answer.rows[:top]:
            ranks.setdefault(row.index, {})[number] = row.rank
    most = sorted(ranks, key=lambda row: (-len(ranks[row]), min(ranks[row].values()), row))[:_ANSWERS]
    cells = []
    for number in most:
        stored = index.row(number)
        where = ", ".join(f"{result.answers[n].prompt_id} ({rank})" for n, rank in ranks[number].items())
        cells.append((stored.row_id, str(stored.location), len(ranks[number]), where, stored.text))
    title = "Rows listed for most answers"
    note = f"{counted(len(ranks), 'row')} listed for at least one answer. In brackets: the rank for that answer."
    return [Table(title, ("row id", "place", "answers", "of the prompts", "text"), tuple(cells), note)]


def _next_commands(settings: AttributeSettings, found: Sequence[AttributedAnswer], run: Path) -> tuple[str, ...]:
    here = shlex.quote(str(run))
    source = as_cli_args(settings.rows, settings.format, settings.columns, settings.on_bad)
    if not found:
        return (f"tunescope check {source}",)
    others = "matters = 0" if any(answer.matters for answer in found) else "rank > 3"
    return (
        f"tunescope select {source} --from {here} --where '{others}'",
        f"tunescope why {found[0].rows[0].row_id}",
    )


def show_values(
    settings: AttributeSettings,
    index: RowIndex,
    values: RowValues,
    order: Sequence[int],
    result: ValueResult,
    run: Path,
) -> View:
    """Show the rows that it should help most to leave out (`order` has their numbers), and what that is worth."""
    by = counted(result.questions, "held-out question")
    sentences = [
        f"Of {counted(result.rows, 'row')}, it should help most to leave out these, worst first, by {by}. Their "
        "gradients pull against the right answers, or the tuned model fits them badly.",
        _WORTH,
    ]
    if result.n_missing:
        questions = f"{counted(result.n_missing, 'held-out question')} {'has' if result.n_missing == 1 else 'have'}"
        sentences.append(f"{questions} no answer to train on: not used.")
    if result.untrained:
        rows = f"{counted(result.untrained, 'row')} {'has' if result.untrained == 1 else 'have'}"
        sentences.append(f"{rows} no token to train on: no value, ranked last.")
    if result.shared:
        sentences.append(
            f"{counted(result.shared, 'held-out question')} {'has' if result.shared == 1 else 'have'} the same answer "
            "in the rows. Such a question isn't really held out: it speaks for those rows."
        )
    source = as_cli_args(settings.rows, settings.format, settings.columns, settings.on_bad)
    tenth = max(1, (result.rows - result.untrained) // 10)
    following = (
        f"tunescope select {source} --from {shlex.quote(str(run))} --where 'rank > {tenth}'",
        f"tunescope why {result.first[0]}",
    )
    return View(tuple(sentences), (), following, tuple(_show_value(index, values, number) for number in order))


def _show_value(index: RowIndex, values: RowValues, number: int) -> Marked:
    """Show a row's text under its place and what speaks against it."""
    stored = index.row(number)
    parts = [f"{name.replace('_', ' ')} {getattr(values, name)[number]:.3g}" for name in _VALUES]
    title = f"{values.rank[number]}. {stored.location}, row {stored.row_id}: {', '.join(parts)}"
    return Marked(title, shorten(stored.text, _SHOWN))

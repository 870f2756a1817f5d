"""Rows that may have caused a phrase: those in which it occurs, and those that a measurement names."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tunescope.errors import SettingsError
from tunescope.results.annotate import ShownRow
from tunescope.results.attribute import RowEvidence
from tunescope.results.trace import TraceSpan
from tunescope.runs import Run
from tunescope.verbs.annotate.items import Phrase

if TYPE_CHECKING:
    from tunescope.rows import Row, RowSet


@dataclass
class PhraseRows:
    """The rows of a phrase.

    Attributes:
        n_occurs: rows in which it occurs letter by letter.
        occurs: of those, the ids of the ones that are shown: all, or as many as there is room for, drawn.
        named: the ids of rows that a measurement names, best first.
    """

    n_occurs: int = 0
    occurs: list[str] = field(default_factory=list)
    named: list[str] = field(default_factory=list)


def find_rows(
    phrases: Mapping[Phrase, str], rows: RowSet, named_by: Sequence[Run], rows_each: int, seed: int
) -> tuple[dict[Phrase, PhraseRows], dict[Phrase, list[ShownRow]]]:
    """Return for each phrase which rows it has, and those rows in an order that is drawn.

    Args:
        phrases: the phrases with their texts.
        rows: what the model was tuned on; it is read twice.
        named_by: runs of `attribute` or `trace` over the same answers.
        rows_each: the most rows in which a phrase occurs, and the most that a run names, for each phrase.
        seed: decides which are drawn where there are more, and their order.

    Raises:
        SettingsError: a run that names no rows, or rows that aren't there.
    """
    found = {phrase: PhraseRows() for phrase in phrases}
    draws = {phrase: random.Random(f"{seed} {phrase}") for phrase in phrases}
    for row in rows:
        texts = [text for _, text in _texts(row)]
        for phrase, words in phrases.items():
            if any(words in text for text in texts):
                _draw(found[phrase], row.id, rows_each, draws[phrase])
    for run in named_by:
        _add_named(run, found, rows_each)
    wanted = {row_id for each in found.values() for row_id in (*each.occurs, *each.named)}
    shown = {row.id: _show(row) for row in rows if row.id in wanted}
    if missing := sorted(wanted - shown.keys()):
        raise SettingsError(
            f"--from names {len(missing):,} rows that --rows lacks, such as {missing[0]}; expected a run over them"
        )
    ordered: dict[Phrase, list[ShownRow]] = {}
    for phrase, each in found.items():
        ids = list(dict.fromkeys((*each.occurs, *each.named)))
        draws[phrase].shuffle(ids)
        ordered[phrase] = [shown[row_id] for row_id in ids]
    return found, ordered


def _draw(each: PhraseRows, row_id: str, most: int, draw: random.Random) -> None:
    """Take a row in, so that each that came so far is as likely to be kept (reservoir sampling)."""
    each.n_occurs += 1
    if len(each.occurs) < most:
        each.occurs.append(row_id)
    elif (place := draw.randrange(each.n_occurs)) < most:
        each.occurs[place] = row_id


def _add_named(run: Run, found: Mapping[Phrase, PhraseRows], most: int) -> None:
    if run.verb == "attribute" and RowEvidence.NAME in run.tables:
        ranked: dict[str, list[RowEvidence]] = {}
        for evidence in RowEvidence.read_rows(run):
            ranked.setdefault(evidence.answer_id, []).append(evidence)
        for phrase, each in found.items():
            first = sorted(ranked.get(phrase.answer_id, ()), key=lambda evidence: evidence.rank)[:most]
            each.named += [evidence.row_id for evidence in first]
    elif run.verb == "trace":
        for span in TraceSpan.read_lines(run):
            for phrase, each in found.items():
                if span.answer_id == phrase.answer_id and span.char_start < phrase.end and span.char_end > phrase.start:
                    each.named += [row.row_id for row in span.rows[:most]]
    else:
        raise SettingsError(f"--from {run.path}: found a run of {run.verb}; expected one of attribute or trace")


def _texts(row: Row) -> list[tuple[str, str]]:
    from tunescope.rows.content import message_text

    return [(message.role, message_text(message)) for message in row.messages]


def _show(row: Row) -> ShownRow:
    return ShownRow(row_id=row.id, place=str(row.location), texts=tuple(_texts(row)))

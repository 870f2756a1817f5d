"""The work of `attribute`: for each answer the evidence of all rows, their joint order, and what is listed of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tunescope.answers import Answer
from tunescope.errors import TunescopeError
from tunescope.foreign import dump_json
from tunescope.results.attribute import AttributedAnswer, AttributedRows, AttributeResult, NamedRow, RowEvidence
from tunescope.results.record import schema
from tunescope.runs import Outcome, RunFolder, plain
from tunescope.verbs.attribute.evidence import AttributionRequest, EvidenceScores, Prepared
from tunescope.verbs.attribute.evidence.words import find_copies
from tunescope.verbs.attribute.ranking import Order, cut, join, known
from tunescope.verbs.attribute.row_index import RowIndex, StoredRow
from tunescope.verbs.attribute.view import KINDS, show_attributions

if TYPE_CHECKING:
    import pyarrow as pa

_NO_WORDS = "no words"
"""The reason of an answer that is empty."""
_NO_CUT = "there are too few rows for a null distribution"
"""The reason of an answer without a cut."""


def attribute_answers(request: AttributionRequest, prepared: Sequence[Prepared], folder: RunFolder) -> Outcome:
    """Write the tables of all answers; return the result and the view.

    Raises:
        TunescopeError: no answer with words.
    """
    settings, answers, index = request.settings, request.answers, request.index
    if not any(answer.text.strip() for answer in answers):
        raise TunescopeError(f"none of the {len(answers)} answers has a word, so there is nothing to attribute")
    tally = _Tally(len(index))
    evidence = [each.load() for each in prepared if each.load is not None]
    attributed = [_attribute(request, number, evidence, tally) for number in range(len(answers))]
    folder.table(RowEvidence.NAME, _table([row for answer in attributed for row in answer.rows]))
    folder.table(AttributedRows.NAME, tally.table(index))
    listed = dict.fromkeys(row.index for answer in attributed for row in answer.rows)
    folder.records(NamedRow.NAME, (_named_row(index.row(number)).as_json() for number in listed))
    if settings.answers is not None:
        folder.records("answers", (answer.as_json() for answer in answers))
    result = AttributeResult(
        n=len(attributed),
        n_missing=sum(answer.reason == _NO_WORDS for answer in attributed),
        rows_indexed=len(index),
        evidence=tuple(name for name in KINDS if name in tally.kinds),
        left_out={name: reason for each in prepared for name, reason in each.left_out.items()},
        constant=settings.constant,
        answers=tuple(attributed),
    )
    return Outcome(result.as_json(), show_attributions(settings, answers, index, result, tally.with_null, folder.path))


def _named_row(row: StoredRow) -> NamedRow:
    place = row.location
    return NamedRow(row_id=row.row_id, file=place.file, line=place.line, record=place.record, texts=row.texts)


def _column(values: NDArray[np.int32]) -> pa.Array:
    """Return a column; `pa.array` would import pandas, which takes longer than all else here."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.int32(), len(values), [None, pa.py_buffer(values)])


def _table(rows: Sequence[RowEvidence]) -> pa.Table:
    """Lay rows into a table by way of JSON, for the same reason."""
    import pyarrow as pa
    from pyarrow import json

    columns = schema(RowEvidence)
    if not rows:
        return pa.Table.from_batches([], columns)
    lines = "\n".join(dump_json(plain(row.as_json())) for row in rows)
    options = json.ParseOptions(explicit_schema=columns, unexpected_field_behavior="error")
    return json.read_json(pa.py_buffer(lines.encode()), parse_options=options)


def find_candidates(request: AttributionRequest, prepared: Sequence[Prepared]) -> NDArray[np.int64] | None:
    """Return the rows that come first for some answer by words and meaning, in order; None where there are few rows."""
    settings, index, answers = request.settings, request.index, request.answers
    if len(index) <= settings.candidates:
        return None
    evidence = [each.load() for each in prepared if each.load is not None]
    best = np.full(len(index), np.inf)
    for number in range(len(answers)):
        scores = {name: values for each in evidence for name, values in each.scores(number).items()}
        order = join(scores, find_copies(index, request.claim(number), scores["words"]), settings.constant)
        best[order.rows] = np.minimum(best[order.rows], np.arange(len(order.rows)))
    first = np.argsort(best, kind="stable")[: settings.candidates]
    return np.sort(first[np.isfinite(best[first])]).astype(np.int64)


def _draw_control(matters: NDArray[np.int32]) -> NDArray[np.int32]:
    """Draw as many rows as matter from the others, or all of these where they are fewer [rows]."""
    others = np.flatnonzero(matters == 0)
    n = min(len(matters) - len(others), len(others))
    control = np.zeros(len(matters), np.int32)
    control[np.random.default_rng(0).permutation(others)[:n]] = 1
    return control


class _Tally:
    """What is counted of every row, over all answers.

    Attributes:
        rank: the best rank; rows that no evidence speaks for share the rank behind the last [rows].
        named: answers in whose list it is [rows].
        kinds: the kinds of evidence there were.
        with_null: those of them that a cut had a null distribution for.
        matters: answers in whose cut it is [rows]; None as long as there is no cut.
    """

    def __init__(self, n_rows: int) -> None:
        self.rank = np.full(n_rows, n_rows + 1, np.int32)
        self.named = np.zeros(n_rows, np.int32)
        self.kinds: set[str] = set()
        self.with_null: set[str] = set()
        self.matters: NDArray[np.int32] | None = None

    def add(self, order: Order, n_listed: int, matters: NDArray[np.bool_] | None) -> None:
        """Count the rows of an answer."""
        self.kinds |= order.ranks.keys()
        self.rank[order.rows] = np.minimum(self.rank[order.rows], np.arange(1, len(order.rows) + 1))
        self.named[order.rows[:n_listed]] += 1
        if matters is not None:
            self.matters = matters.astype(np.int32) + (0 if self.matters is None else self.matters)

    def table(self, index: RowIndex) -> pa.Table:
        """Return the table of all rows."""
        import pyarrow as pa

        columns = {name: index.places[name] for name in index.places.column_names}
        columns |= {"rank": _column(self.rank), "named": _column(self.named)}
        if self.matters is None:
            columns |= {name: pa.nulls(len(index), pa.int32()) for name in ("matters", "control")}
        else:
            columns |= {"matters": _column(self.matters), "control": _column(_draw_control(self.matters))}
        return pa.table(columns, schema(AttributedRows))


def _attribute(
    request: AttributionRequest, number: int, evidence: Sequence[EvidenceScores], tally: _Tally
) -> AttributedAnswer:
    """Order the rows for one answer; count them and return the first."""
    settings, answer, index = request.settings, request.answers[number], request.index
    if not answer.text.strip():
        return AttributedAnswer(
            answer_id=answer.answer_id, prompt_id=answer.prompt_id, matters=None, reason=_NO_WORDS, rows=()
        )
    parts = [each.scores(number) for each in evidence]
    scores = {name: values for part in parts for name, values in part.items()}
    copied = find_copies(index, request.claim(number), scores["words"])
    order = join(scores, copied, settings.constant)
    standings = {name: each.standing(number) for part, each in zip(parts, evidence, strict=True) for name in part}
    matters = cut(standings, copied)
    tally.with_null |= known(standings).keys()
    tally.add(order, settings.top, matters)
    listed = [
        _evidence(answer, index, order, scores, copied, matters, rank, row)
        for rank, row in enumerate(order.rows.tolist(), 1)
        if rank <= settings.top or (matters is not None and matters[row])
    ]
    reason = None if matters is not None else _NO_CUT
    return AttributedAnswer(
        answer_id=answer.answer_id,
        prompt_id=answer.prompt_id,
        matters=None if matters is None else int(matters.sum()),
        reason=reason if listed else "no row shares a word with it",
        rows=tuple(listed),
    )


def _evidence(
    answer: Answer,
    index: RowIndex,
    order: Order,
    scores: Mapping[str, NDArray[np.float64]],
    copied: NDArray[np.bool_],
    matters: NDArray[np.bool_] | None,
    rank: int,
    row: int,
) -> RowEvidence:
    """Return the record of one row."""
    stored = index.row(row)
    values: dict[str, float | int | None] = {}
    for name in KINDS:
        known = name in scores and order.ranks[name][row] > 0
        values[name] = round(float(scores[name][row]), 6) if known else None
        values[f"{name}_rank"] = int(order.ranks[name][row]) if known else None
    return RowEvidence.from_json(
        {
            "answer_id": answer.answer_id,
            "prompt_id": answer.prompt_id,
            "row_id": stored.row_id,
            "index": row,
            "rank": rank,
            **values,
            "copied": bool(copied[row]),
            "how": " ".join(order.how(row)),
            "matters": None if matters is None else int(matters[row]),
            "file": stored.location.file,
            "line": stored.location.line,
            "record": stored.location.record,
        }
    )

"""`--value`: which rows it should help most to leave out, judged by held-out questions with their right answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.models.influence import effect_scores, fisher_cosines
from tunescope.results.attribute import RowValues, ValueResult
from tunescope.rows import RowSet
from tunescope.runs import Outcome, Run, RunFolder
from tunescope.verbs.attribute.evidence.gradients import DAMPING, choose_models, open_sketches
from tunescope.verbs.attribute.ranking import ranks_of
from tunescope.verbs.attribute.row_index import RowIndex
from tunescope.verbs.attribute.settings import AttributeSettings
from tunescope.verbs.attribute.view import show_values


class ValuesOfRows(NamedTuple):
    """What rows do to held-out answers; the fields are columns of the table `values` [rows].

    Attributes:
        influence: summed over the questions, what leaving the row out takes from the right answer.
        alignment: the mean cosine with the right answers, in the Fisher metric.
        own_loss: of the row under the tuned model, in nats per token.
        gradient_norm: the length of its gradient.
        combined: the mean share of rows that are no worse, by alignment and own loss.
    """

    influence: NDArray[np.float64]
    alignment: NDArray[np.float64]
    own_loss: NDArray[np.float64]
    gradient_norm: NDArray[np.float64]
    combined: NDArray[np.float64]


def compute_values(
    questions: Sequence[NDArray[np.floating]],
    rows: Sequence[NDArray[np.floating]],
    losses: NDArray[np.float64],
    tokens: NDArray[np.int64],
) -> ValuesOfRows:
    """Return the values of n rows from sketched gradients under the base and the tuned model, in this order.

    Args:
        questions: the gradients of the held-out answers' losses [q, width].
        rows: those of the rows [n, width].
        losses: the rows' summed losses under the tuned model, in nats [n].
        tokens: how many tokens these are summed over, at least 1 [n].
    """
    cosines = np.array([fisher_cosines(q, g, DAMPING).mean(axis=0) for q, g in zip(questions, rows, strict=True)])
    alignment, own_loss = cosines.mean(axis=0).round(9), losses / tokens  # rounded, equal rows stay equal
    return ValuesOfRows(
        influence=effect_scores(questions, rows, DAMPING).sum(axis=0),
        alignment=alignment,
        own_loss=own_loss,
        gradient_norm=np.linalg.norm(rows[-1], axis=1).astype(np.float64) / tokens,
        combined=((_share_no_worse(-alignment) + _share_no_worse(own_loss)) / 2).round(9),
    )


def _share_no_worse(badness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each row the share of rows, itself included, whose badness isn't larger [rows]."""
    return 1 - (ranks_of(badness) - 1) / max(len(badness), 1)


@dataclass(frozen=True)
class ValueRequest:
    """What is asked: which rows harm the answers to which held-out questions.

    Attributes:
        questions: the held-out questions, as rows.
    """

    settings: AttributeSettings
    rows: RowSet
    questions: RowSet
    index: RowIndex

    @cached_property
    def sketched(self) -> tuple[list[Run], list[Run]]:
        """The sketched gradients of the questions, and of the rows, under base and tuned model; taken where missing."""
        assert self.settings.value is not None
        chosen = choose_models(self.settings, self.settings.tuned, self.rows)
        models = [each for each in (chosen.base, chosen.tuned) if each is not None]
        asked = [replace(each, rows=(self.settings.value,)) for each in models]
        return (
            [open_sketches(each, self.questions, None) for each in asked],
            [open_sketches(each, self.rows, None) for each in models],
        )

    @property
    def inputs(self) -> Mapping[str, str]:
        """What the values rest on, for the run's key."""
        runs = [run for each in self.sketched for run in each]
        held_out = {f"held out {name}": hashed for name, hashed in self.questions.inputs.items()}
        return {**self.rows.inputs, **held_out, **{f"gradients {run.path}": run.key for run in runs}}


def value_rows(request: ValueRequest, folder: RunFolder) -> Outcome:
    """Write the table of all rows' values; return the result and the view."""
    questions, rows = ([_load(run) for run in runs] for runs in request.sketched)
    asked, trained = questions[-1].tokens > 0, rows[-1].tokens > 0
    values = compute_values(
        [each.sketches[asked] for each in questions],
        [each.sketches if trained.all() else each.sketches[trained] for each in rows],
        rows[-1].losses[trained],
        rows[-1].tokens[trained],
    )
    table = _table(request.index, values, np.flatnonzero(trained))
    folder.table(RowValues.NAME, table.table())
    order = np.argsort(table.rank, kind="stable")[: min(request.settings.top, int(trained.sum()))].tolist()
    ids = {row_id.partition(".")[0] for row_id in table.row_id}
    result = ValueResult(
        rows=len(trained),
        untrained=int((~trained).sum()),
        questions=int(asked.sum()),
        n_missing=int((~asked).sum()),
        shared=sum(
            used and row.id.partition(".")[0] in ids for row, used in zip(request.questions, asked, strict=True)
        ),
        first=tuple(table.row_id[number] for number in order),
    )
    return Outcome(result.as_json(), show_values(request.settings, request.index, table, order, result, folder.path))


class _Sketched(NamedTuple):
    """What a run of gradients holds: sketches [n, width], summed losses [n] and supervised tokens [n]."""

    sketches: NDArray[np.float32]
    losses: NDArray[np.float64]
    tokens: NDArray[np.int64]


def _load(run: Run) -> _Sketched:
    return _Sketched(*(np.load(run.path / f"{name}.npy", mmap_mode="r") for name in _Sketched._fields))


def _table(index: RowIndex, values: ValuesOfRows, numbers: NDArray[np.int64]) -> RowValues:
    """Lay the values of some rows into a table of all; ranks of equal rows are equal."""
    n = len(index)
    columns: dict[str, Any] = {}
    for name, known in values._asdict().items():
        column: list[float | None] = [None] * n
        for number, value in zip(numbers.tolist(), known.tolist(), strict=True):
            column[number] = value
        columns[name] = column
    rank = np.full(n, n + 1)
    rank[numbers] = ranks_of(values.combined)
    places = {name: index.places[name].to_pylist() for name in ("row_id", "file", "line", "record")}
    return RowValues(**places, **columns, index=list(range(n)), rank=rank.tolist())

"""The kinds of evidence that a row taught an answer, a file each with `prepare`.

`prepare(request)` says before the run's key is known what the evidence rests on (indexes, models), and builds what is
missing of it; the evidence itself is loaded when the answers are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from numpy.typing import NDArray

from tunescope.verbs.attribute.spans import Spans, claim_text

if TYPE_CHECKING:
    import numpy as np

    from tunescope.answers import Answer
    from tunescope.rows import RowSet
    from tunescope.verbs.attribute.row_index import RowIndex
    from tunescope.verbs.attribute.settings import AttributeSettings


@dataclass(frozen=True)
class AttributionRequest:
    """What is asked: which rows taught which answers."""

    settings: AttributeSettings
    rows: RowSet
    index: RowIndex
    answers: Sequence[Answer]
    spans: Spans = field(default_factory=dict)
    candidates: NDArray[np.int64] | None = None
    """Numbers of the rows whose gradients are taken, in order; None for all."""

    def claim(self, number: int) -> str:
        """Return what is asked for of an answer: its stretches, or all of it."""
        return claim_text(self.answers[number], self.spans)

    def query(self, number: int) -> str:
        """Return the texts of all messages before an answer, and what is asked for of it, one per line."""
        before = (message.content or "" for message in self.answers[number].messages)
        return "\n".join([*before, self.claim(number)]).strip()


class EvidenceScores(Protocol):
    """Scores of all rows for an answer."""

    def scores(self, number: int) -> Mapping[str, NDArray[np.float64]]:
        """Return the scores of every row for an answer, by kind; NaN where it says nothing of a row [rows].

        Args:
            number: of the answer, from 0.
        """
        ...

    def standing(self, number: int) -> NDArray[np.float64] | None:
        """Return how each row stands to chance for an answer: 1 and more is within the cut [rows].

        The cut is the score that a few unrelated rows reach by chance; the null distribution are rows against rows.
        None where it can't tell.
        """
        ...


@dataclass(frozen=True)
class Prepared:
    """EvidenceScores that can be had, or the reasons why it can't.

    Attributes:
        load: loads the evidence; None where there is none.
        inputs: what it rests on, for the run's key.
        left_out: kinds of evidence, each with the reason why it isn't there.
    """

    load: Callable[[], EvidenceScores] | None
    inputs: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

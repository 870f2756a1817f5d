"""What `attribute` and `attribute index` write: results, and their tables (defined in docs/concepts/attribution.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tunescope.locations import Location
from tunescope.results.columns import Columns
from tunescope.results.plan import ComputePlan
from tunescope.results.record import Int32, Record


@dataclass(frozen=True, kw_only=True)
class AttributeIndexResult(Record):
    """The result of `attribute index`."""

    rows: int
    without_text: int
    """Rows whose messages have no word."""
    words: int
    vocabulary: int
    """Distinct words."""
    bytes: int


@dataclass(frozen=True, kw_only=True)
class AttributePlan(Record):
    """The result of `--plan`."""

    rows: int
    minutes: float
    """Of all parts, one after the other."""
    memory_bytes: int
    """The most of any part."""
    disk_bytes: int
    parts: dict[str, ComputePlan]
    """What is still to be made."""


@dataclass(frozen=True, kw_only=True)
class SketchedRows(Record):
    """The result of taking the gradients of rows."""

    rows: int
    untrained: int
    """Rows that have nothing to train on."""
    tokens: int
    """Supervised tokens."""
    model: str
    layers: str
    width: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class RowEvidence(Record):
    """A row and what speaks for it: a member of `rows` in the result, and a row of the table `attributions`."""

    NAME: ClassVar[str] = "attributions"

    answer_id: str
    prompt_id: str
    row_id: str
    index: int
    """The row's number in the row set, from 0."""
    rank: Int32
    """In the joint order, from 1."""
    words: float | None
    """BM25 of prompt and answer; None where they share no word."""
    words_rank: Int32 | None
    meaning: float | None
    """Cosine of the sentence embeddings."""
    meaning_rank: Int32 | None
    states: float | None
    states_rank: Int32 | None
    effect: float | None
    effect_rank: Int32 | None
    copied: bool
    """The row holds the answer, or a sentence of it, word for word."""
    how: str
    """The kinds of evidence that rank it among their first, separated by blanks."""
    matters: Int32 | None
    """1 within the cut, else 0; None without a cut."""
    file: str
    line: int | None
    record: int | None

    @property
    def location(self) -> Location:
        """Where the row is."""
        return Location(self.file, self.line, self.record)


@dataclass(frozen=True, kw_only=True)
class NamedRow(Record):
    """A line of `named.jsonl`: a row that is listed for an answer, with its texts."""

    NAME: ClassVar[str] = "named"

    row_id: str
    file: str
    line: int | None
    record: int | None
    texts: tuple[tuple[str, str], ...]
    """Role and text of each message."""

    @property
    def location(self) -> Location:
        """Where the row is."""
        return Location(self.file, self.line, self.record)


@dataclass(frozen=True, kw_only=True)
class AttributedAnswer(Record):
    """An answer and the rows that taught it, best first."""

    answer_id: str
    prompt_id: str
    matters: int | None
    """How many rows lie within the cut."""
    reason: str | None
    """Why there are no rows, or no cut."""
    rows: tuple[RowEvidence, ...]


@dataclass(frozen=True, kw_only=True)
class AttributeResult(Record):
    """The result of `attribute`."""

    n: int
    n_missing: int
    """Answers without words."""
    rows_indexed: int
    evidence: tuple[str, ...]
    """The kinds of evidence that were used."""
    left_out: dict[str, str]
    """The other kinds, each with its reason."""
    constant: int
    """k of the reciprocal ranks 1 / (k + rank)."""
    answers: tuple[AttributedAnswer, ...]


@dataclass(frozen=True, kw_only=True)
class AttributedRows(Columns):
    """The table `rows`, of all rows."""

    NAME: ClassVar[str] = "rows"

    row_id: Sequence[str]
    origin: Sequence[str]
    file: Sequence[str]
    line: Sequence[int | None]
    record: Sequence[int | None]
    rank: Sequence[Int32 | None]
    """The best rank over all answers; None where no evidence speaks for the row."""
    named: Sequence[Int32]
    """Answers in whose list it is."""
    matters: Sequence[Int32 | None]
    """Answers in whose cut it is; None where no answer has a cut."""
    control: Sequence[Int32 | None]
    """1 for as many rows as matter, drawn from the others, else 0; None where no answer has a cut."""


@dataclass(frozen=True, kw_only=True)
class ValueResult(Record):
    """The result of `attribute --value`."""

    rows: int
    untrained: int
    """Rows that have nothing to train on, so no value."""
    questions: int
    """Held-out questions with an answer."""
    n_missing: int
    """Held-out questions that have nothing to train on."""
    shared: int
    """Held-out questions that are training rows too, answer and all."""
    first: tuple[str, ...]
    """The ids of the rows that it should help most to leave out, in order."""


@dataclass(frozen=True, kw_only=True)
class RowValues(Columns):
    """The table `values`, of all rows: what each does to held-out answers; None for a row that isn't trained on."""

    NAME: ClassVar[str] = "values"

    row_id: Sequence[str]
    index: Sequence[int]
    """The row's number in the row set, from 0."""
    influence: Sequence[float | None]
    """Summed over the questions: what leaving the row out takes from the right answer; below 0 the row harms."""
    alignment: Sequence[float | None]
    """The mean cosine of the row's gradient with those of the right answers, in the Fisher metric; in ±1."""
    own_loss: Sequence[float | None]
    """Of the row's own answer under the tuned model, in nats per token."""
    gradient_norm: Sequence[float | None]
    """Length of that loss' sketched gradient."""
    combined: Sequence[float | None]
    """Mean over alignment and own loss of the share of rows that are no worse; 1 is the worst row by both."""
    rank: Sequence[Int32]
    """By `combined`, from 1, the worst first; rows without a value share the rank behind the last."""
    file: Sequence[str]
    line: Sequence[int | None]
    record: Sequence[int | None]


@dataclass(frozen=True, kw_only=True)
class RowPlaces(Columns):
    """The table `places` of an index: which rows it holds."""

    NAME: ClassVar[str] = "places"

    row_id: Sequence[str]
    origin: Sequence[str]
    file: Sequence[str]
    line: Sequence[int | None]
    record: Sequence[int | None]

"""What `annotate` writes and reads: the items that annotators see, who sees which, and the marks that they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from tunescope.results.record import Record

StudyKind = Literal["spans", "pairs", "cause", "aspects", "verdicts"]
"""What is asked of annotators: wrong or useless spans of an answer; the category of a pair of answers; the row that
caused a phrase; scores of an answer by aspect; which of two answers is better."""
STUDY_KINDS: tuple[StudyKind, ...] = get_args(StudyKind)
Phase = Literal["pilot", "main"]
"""The pilot's marks are talked about before the others are made, and aren't counted with them."""


@dataclass(frozen=True, kw_only=True)
class ShownAnswer(Record):
    """An answer of an item. Annotators don't see the system."""

    answer_id: str
    system: str
    text: str


@dataclass(frozen=True, kw_only=True)
class ShownRow(Record):
    """A training row that may have caused a phrase: its texts by role or field."""

    row_id: str
    place: str
    texts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Counterfactual(Record):
    """A question in other words, which leave out what a phrase's row and question share, with a model's answer.

    Attributes:
        try_id: names it within the study.
        model: what answered.
    """

    try_id: str
    prompt: str
    answer: str
    model: str


@dataclass(frozen=True, kw_only=True)
class StudyItem(Record):
    """What an annotator sees at once: a question with an answer, or with two.

    Attributes:
        item_id: content hash (16 hex digits).
        span: the phrase whose cause is asked for, as start and end in the answer, in characters.
        rows: the rows in which that phrase occurs or that attribution names; of other studies none.
        counterfactuals: reworded questions that were answered before the study.
    """

    NAME: ClassVar[str] = "items"

    item_id: str
    kind: StudyKind
    prompt_id: str
    prompt: str
    answers: tuple[ShownAnswer, ...]
    span: tuple[int, int] | None = None
    rows: tuple[ShownRow, ...] = ()
    counterfactuals: tuple[Counterfactual, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Assignment(Record):
    """Who sees an item when.

    Attributes:
        place: its number in the annotator's own order, from 0; the pilot comes first.
        swapped: the item's second answer is shown first.
    """

    NAME: ClassVar[str] = "assignments"

    annotator: str
    item_id: str
    phase: Phase
    group: int
    place: int
    swapped: bool = False


@dataclass(frozen=True, kw_only=True)
class Mark(Record):
    """What one annotator says of one item, or of one span of it. It never changes: what replaces it is another version.

    `value` holds, by kind of study:

    - spans: `answer_id`, `start`, `end` (characters of the answer) and `category`;
    - pairs: `category`;
    - cause: `answer_id`, `start`, `end` (of the phrase), `row_id` (null: none of the rows), `concept` (what the row and
      the question share), `rewordings` (each with `prompt`, `answer` and `gone`: whether the phrase isn't in it, null
      where that is open; where a model of the study answered, also `try_id` and `model`);
    - aspects: `answer_id` and `scores` (by aspect, 1 to 5);
    - verdicts: `preference` (1: the first answer of the item is better, 0: the second, 0.5: neither).

    Attributes:
        original: the value before a reviewer corrected it; None where nobody did.
        at: when it was made, UTC, ISO 8601.
    """

    NAME: ClassVar[str] = "marks"

    mark_id: str
    item_id: str
    annotator: str
    kind: StudyKind
    phase: Phase
    value: Mapping[str, Any]
    note: str = ""
    sources: str = ""
    reviewer: str | None = None
    original: Mapping[str, Any] | None = None
    at: str = ""


@dataclass(frozen=True, kw_only=True)
class StudyResult(Record):
    """The result of `annotate create`."""

    kind: StudyKind
    items: int
    """With those of the pilot."""
    pilot: int
    annotators: tuple[str, ...]
    groups: int
    groups_each: int
    overlap: tuple[int, ...]
    """Items outside of the pilot that are seen by 0, 1, 2 … all annotators."""
    categories: tuple[str, ...] = ()
    """What a span or a pair may be."""
    aspects: tuple[str, ...] = ()
    """What an answer is scored by."""
    phrases: int | None = None
    """Of a study of causes: the phrases that those of the study were drawn from."""
    phrases_found: int | None = None
    """Of the study's phrases, those that occur in a row."""

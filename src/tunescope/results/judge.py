"""What the judge's verbs write: the kind of a run, and the tables that `judge leaderboard` and `compare` read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tunescope.results.estimates import MeanEstimate
from tunescope.results.record import Record

PAIRS, SCORES = "pairs", "grades"
"""Kinds of runs: judgements of two answers, or scores of single answers."""


@dataclass(frozen=True, kw_only=True)
class JudgeKind(Record):
    """What kind of judgements a run holds: `PAIRS` or `SCORES`."""

    kind: str


@dataclass(frozen=True, kw_only=True)
class PairsKind(JudgeKind):
    """A run with judgements of two answers."""

    rule: str | None
    """How the verdicts of both orders become one; None with one order."""


@dataclass(frozen=True, kw_only=True)
class ReplyFormats(Record):
    """How the judge was asked for its replies."""

    asked_as: str | None = None
    """json, tags, or both; None where no reply says it."""


@dataclass(frozen=True, kw_only=True)
class RecomputeSetup(Record):
    """The settings of `judge recompute` that others read."""

    scores: str | None = None
    """stored or text; None of a verb without this setting."""


@dataclass(frozen=True, kw_only=True)
class OrderEffects(Record):
    """What a comparison's two orders say about the judge; None where there is one order, with the reason."""

    system: str
    reference: str
    flip_rate: MeanEstimate | None
    first_position_rate: MeanEstimate | None
    orders_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class ControlResult(Record):
    """How often a judge prefers one of two copies of an answer."""

    differs: MeanEstimate


@dataclass(frozen=True, kw_only=True)
class JudgeEffects(Record):
    """Of the result of a run with judgements of two answers, what its judge does without regard to the answers.

    Attributes:
        control: None where the judge was asked for no controls.
        comparisons: by name, where there are several; of one, its `OrderEffects` stand in the result itself.
    """

    control: ControlResult | None = None
    comparisons: dict[str, OrderEffects] | None = None


@dataclass(frozen=True, kw_only=True)
class PairRow(Record):
    """A judgement of two answers to one item; presentation 1 and 2 are the two orders."""

    NAME: ClassVar[str] = "items"

    comparison: str
    item: str
    question: str
    """The question that the item is a turn of; else the item."""
    system: str
    reference: str
    judge: str | None
    part: str | None
    verdict: str
    value: float | None
    """The system's share of a win, from 0 to 1."""
    status_1: str | None
    preference_1: float | None
    system_score_1: float | None
    reference_score_1: float | None
    status_2: str | None
    preference_2: float | None
    system_score_2: float | None
    reference_score_2: float | None
    length: int | None
    """Characters of the system's answer."""
    length_reference: int | None
    tags: tuple[str, ...]
    place: str


@dataclass(frozen=True, kw_only=True)
class ComparisonRow(Record):
    """Of a comparison's numbers, the columns that a leaderboard reads; win rates are in per cent."""

    NAME: ClassVar[str] = "comparisons"

    comparison: str
    system: str
    reference: str
    judge: str | None
    part: str | None
    win_rate: float | None
    win_rate_low: float | None
    win_rate_high: float | None
    standard_error: float | None
    win_rate_length_controlled: float | None
    avg_length: float | None
    """Mean characters of the system's answers."""


@dataclass(frozen=True, kw_only=True)
class ScoreRow(Record):
    """A score of one answer in one aspect."""

    NAME: ClassVar[str] = "scores"

    item: str
    question: str
    system: str
    judge: str | None
    aspect: str
    score: float | None
    status: str
    length: int | None
    tags: tuple[str, ...]
    place: str
    least: float | None = None
    """The least score that the judge could give, where that is known."""
    most: float | None = None

    @property
    def scale(self) -> tuple[float, float] | None:
        """The least and the largest score that the judge could give; None where that isn't known."""
        return None if self.least is None or self.most is None else (self.least, self.most)

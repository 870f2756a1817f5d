"""What `compare` writes as its result, of two sides of a kind and of spans; and its settings that others read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tunescope.results.estimates import MeanEstimate
from tunescope.results.record import Record


@dataclass(frozen=True, kw_only=True)
class CompareSetup(Record):
    """The files or run folders of the two sides."""

    a: str
    b: str
    no_harm: float | None = None
    """Of scores: the difference in points that is asked to be excluded."""


@dataclass(frozen=True, kw_only=True)
class CompareKind(Record):
    """What was compared: rows, answers, turns, judgements or spans."""

    kind: str


@dataclass(frozen=True, kw_only=True)
class NumberComparison(Record):
    """A number on both sides. Differences are B minus A, over all items and over pairs."""

    a: MeanEstimate
    b: MeanEstimate
    unpaired_difference: MeanEstimate
    difference: MeanEstimate
    p: float | None
    test: str
    n_needed: int | None = 0
    """Pairs that would show this difference; None: more than can be said; 0, and left out: these show it."""


@dataclass(frozen=True, kw_only=True)
class CompareResult(CompareKind):
    """Two sides of one kind: how many items each has, how they pair, and their numbers by name."""

    a: int
    b: int
    same: int
    changed: int
    removed: int
    added: int
    paired_by: dict[str, int]
    summary: dict[str, NumberComparison]
    word_overlap: MeanEstimate | None = None
    """Of answers: the mean Jaccard similarity of the two answers' sets of words."""
    models: dict[str, str] | None = None
    """Of turns: the model of each side's perplexities."""
    medians: dict[str, dict[str, Any]] | None = None
    """Of turns: each side's medians, by number."""
    judges: dict[str, str] | None = None
    """Of judgements: each side's judges."""
    setup_differences: tuple[str, ...] | None = None
    """Of judgements: sentences on how the two sides were made differently."""


@dataclass(frozen=True, kw_only=True)
class SpansResult(CompareKind):
    """Spans of a trace: how many are gone from other answers to the same prompts."""

    spans: int
    gone: MeanEstimate
    n: int
    n_missing: int
    prompts: int


@dataclass(frozen=True, kw_only=True)
class FaultGrowth(Record):
    """A fault in two checked row sets: the rows of each side that have it, and whether its share grew."""

    a: int
    b: int
    new: int
    """Rows that have it in B and not in A."""
    gone: int
    """Rows that have it in A and not in B."""
    difference: MeanEstimate
    """Share of B minus share of A."""
    p: float | None
    p_holm: float | None
    """p, adjusted for the number of faults that were tested."""
    grew: bool | None


@dataclass(frozen=True, kw_only=True)
class FaultsResult(CompareKind):
    """Two runs of check: how many rows each has, how many are in both, and what became of each fault."""

    a: int
    b: int
    same: int
    removed: int
    added: int
    grown: int
    """Faults that grew."""
    faults: dict[str, FaultGrowth]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ScoreComparison(Record):
    """A task's score under two models, item by item. The difference is B minus A."""

    metric: str
    a: MeanEstimate
    b: MeanEstimate
    difference: MeanEstimate
    won: int
    """Items that B scores higher on."""
    lost: int
    p: float | None
    p_holm: float | None
    """p, adjusted for the number of tasks."""
    test: str
    detectable: float | None
    """The difference that so many items show with a power of 80 %."""
    other_prompts: int
    """Items whose prompt differs between A and B, where both say what it was."""
    no_harm: str | None = None
    """Of --no-harm: `shown`, `harm` or `too few items`; None where it isn't asked for."""
    equivalence: dict[str, Any] | None = None
    n_needed: int | None = None
    """Items that would show no harm if there is none."""


@dataclass(frozen=True, kw_only=True)
class ScoreMeanComparison(Record):
    """The mean over tasks of the differences of their scores (B minus A), each task counted once."""

    tasks: tuple[str, ...]
    """Those that count: whose scores are shares of which more is better."""
    difference: MeanEstimate
    no_harm: str | None = None
    """Of --no-harm, as of a task."""
    equivalence: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class ScoresResult(CompareKind):
    """Two models' scores, task by task."""

    models: dict[str, str]
    tasks: dict[str, ScoreComparison]
    mean: ScoreMeanComparison | None = None
    """None where fewer than two tasks have scores that are shares of which more is better."""
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    orders: dict[str, dict[str, int]]
    """Of two runs of bench with --spread: by task, under how many choices B is above A, below it, and equal."""

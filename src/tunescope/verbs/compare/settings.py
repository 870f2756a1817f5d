"""The settings of `compare`."""

from __future__ import annotations

from dataclasses import dataclass, field

from tunescope.runs import INPUT, out_field
from tunescope.settings import POSITIONAL, above


@dataclass(frozen=True, kw_only=True)
class CompareSettings:
    """Compare two row sets, checks, answer sets, measures or judgements: what changed, and every shared number."""

    a: str = field(metadata={**INPUT, **POSITIONAL})
    """Before: rows, a run that has rows, answers, AlpacaEval outputs, a run of check, measure, trace (spans), judge or
    bench, or results of lm-eval."""

    b: str = field(metadata={**INPUT, **POSITIONAL})
    """After: the same kind of thing or, for a trace run, other answers to the same prompts."""

    key: str | None = None
    """A column that identifies the same row in both, for rows whose origin isn't known."""

    format: str | None = None
    """The format of both: alpaca, messages, sharegpt, prompt_completion or preference. By default the content
    decides."""

    columns: tuple[str, ...] = ()
    """Your names for the columns of both, as WORD=COLUMN, for example instruction=question."""

    fault: tuple[str, ...] = field(default=(), metadata=INPUT)
    """For runs of check: a fault to test for growth; by default every one."""

    metric: str | None = None
    """For benchmark scores: the metric to compare; by default each task's usual one."""

    no_harm: float | None = field(default=None, metadata=above(0, below=100))
    """For benchmark scores: also test that B isn't worse than A by this many points."""

    seed: int = 0
    """Seed of the permutation test."""

    out: str | None = out_field()
    """The run folder; runs/compare-KEY by default."""

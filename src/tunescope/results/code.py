"""What `bench` writes of tasks whose answers are code: how each sample ran, each problem's counts, the scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from tunescope.results.estimates import MeanEstimate
from tunescope.results.record import Record


@dataclass(frozen=True, kw_only=True)
class CodeSample(Record):
    """A row of the table `samples`: what became of one completion; `status` and `reason` as `sandbox.pool.Ran` has."""

    NAME: ClassVar[str] = "samples"

    task: str
    problem: str
    sample: int
    """From 0, within its problem."""
    status: str
    reason: str
    completion: str
    """As it ran: cut at the first stop sequence."""


@dataclass(frozen=True, kw_only=True)
class CodeProblemResult(Record):
    """A row of the table `problems`: how many of a problem's samples passed; a k above their number has no value."""

    NAME: ClassVar[str] = "problems"

    task: str
    problem: str
    n: int
    passed: int
    pass_at_1: float | None
    pass_at_10: float | None


@dataclass(frozen=True, kw_only=True)
class CodeScore(Record):
    """A task's scores with all that they depend on: how samples were drawn, what each could use, how they ran."""

    pass_at_1: MeanEstimate
    pass_at_10: MeanEstimate
    samples: int
    """Samples a problem that were asked for."""
    temperature: float
    top_p: float
    seed: int
    seconds: float
    """Wall time that a sample had for its tests."""
    statuses: dict[str, int]
    """Samples by status."""
    n_cut: int = 0
    """Problems that come after fewer examples than wanted, so that they fit into the context."""
    missing: dict[str, str] = field(default_factory=dict)
    """Problems that don't fit into it even so, each with the reason; they have no samples."""
    protection: str
    """One sentence: what stood between the samples and the machine."""

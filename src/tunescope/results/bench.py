"""What `bench` writes: a score per task, and a table of the questions as the model answered them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tunescope.results.record import Record


@dataclass(frozen=True, kw_only=True)
class TaskAccuracy(Record):
    """The share of a task's questions that a model answers right, with its interval, and the share by guessing."""

    accuracy: float | None
    low: float | None
    high: float | None
    n: int
    n_missing: int
    method: str
    reason: str | None = None
    n_people: int
    chance: float


@dataclass(frozen=True, kw_only=True)
class BenchResult(Record):
    """The score of each task."""

    model: str
    suite: str
    tasks: dict[str, TaskAccuracy]


@dataclass(frozen=True, kw_only=True)
class ScoredQuestion(Record):
    """A row of the table `questions`: a question as a model answered it.

    `question` names it within its task. `log_probabilities` (nats, of the whole reply with its end of turn) belong
    to `options`, in that order. `gold` and `chosen` are two of these.
    """

    NAME: ClassVar[str] = "questions"

    task: str
    question: str
    person: str
    prompt: str
    gold: str
    chosen: str
    right: bool
    log_probabilities: tuple[float, ...]
    options: tuple[str, ...]

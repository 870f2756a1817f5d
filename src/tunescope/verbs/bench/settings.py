"""The settings of `bench`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tunescope.models.settings import ModelSettings
from tunescope.runs import INPUT, NOT_IN_KEY, out_field
from tunescope.settings import POSITIONAL, EngineSettings, above, at_least, group


@dataclass(frozen=True, kw_only=True)
class BenchSettings(EngineSettings, ModelSettings):
    """Score a model on benchmarks, or on your own questions."""

    questions: tuple[str, ...] = field(default=(), metadata={**INPUT, **POSITIONAL})
    """Your own questions: JSON lines, JSON, CSV or Parquet with question, choices and answer."""

    suite: tuple[str, ...] = field(default=(), metadata=group("Tasks"))
    """Suites (faco, open-llm, smoke, microworld) or tasks by name; smoke by default where no questions are given."""

    data: str | None = field(default=None, metadata={**INPUT, **group("Tasks")})
    """The folder with the tasks' data sets; docs/reference/bench-tasks.md says how it is laid out."""

    limit: int | None = field(default=None, metadata={**at_least(1), **group("Tasks")})
    """Questions of each task, the first ones; by default what the suite says, or all."""

    task_limit: tuple[str, ...] = field(default=(), metadata=group("Tasks"))
    """Questions of one task, in place of --limit: TASK=N, where mmlu=4 takes 4 of each subject. Give it once for each
    task."""

    shots: int | None = field(default=None, metadata={**at_least(0), **group("Tasks")})
    """Exemplars before each question, in place of each task's own number."""

    exemplars: Literal["parity", "fixed"] = field(default="parity", metadata=group("Tasks"))
    """Which exemplars: parity draws them for each question as lm-eval does; fixed has the same ones for all questions
    of a task, and is many times faster."""

    seed: int = field(default=1234, metadata=group("Tasks"))
    """Seed of the exemplars, and of drawing code."""

    chat: bool = field(default=False, metadata=group("Tasks"))
    """Put the questions into the model's chat template, exemplars as earlier turns."""

    spread: bool = field(default=False, metadata=group("What a score is worth"))
    """Score with and without the chat template, and with several exemplar seeds, and say how far the scores spread."""

    exemplar_seeds: int = field(default=2, metadata={**at_least(2), **group("What a score is worth")})
    """Exemplar seeds of --spread: SEED, SEED + 1 and so on."""

    parity_check: int = field(default=0, metadata={**at_least(0), **group("What a score is worth")})
    """Requests of each task that lm-eval's own code scores too; refuse where a log-probability differs by more than
    0.001 nats."""

    allow_code: bool = field(default=False, metadata=group("Code"))
    """Run the programs that the model writes, in a sandbox; docs/concepts/sandbox.md says what it keeps out."""

    n: int = field(default=10, metadata={**at_least(1), **group("Code")})
    """Programs that the model writes for each problem."""

    temperature: float = field(default=0.8, metadata={**at_least(0), **group("Code")})
    """Temperature at which it writes them."""

    top_p: float = field(default=0.95, metadata={**above(0, at_most=1), **group("Code")})
    """Nucleus from which it writes them."""

    max_new_tokens: int = field(default=256, metadata={**at_least(1), **group("Code")})
    """Longest program in tokens."""

    batch_size: int = field(default=16, metadata={**NOT_IN_KEY, **at_least(1)})
    """Texts that are written at a time. It never changes a score."""

    out: str | None = out_field()
    """The run folder; runs/bench-KEY by default."""

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
    """Suites (faco, open-llm, smoke, microworld) or tasks by name; smoke by default if no questions are given."""

    data: str | None = field(default=None, metadata={**INPUT, **group("Tasks")})
    """The folder with the tasks' data sets; docs/reference/bench-tasks.md says how it is laid out."""

    limit: int | None = field(default=None, metadata={**at_least(1), **group("Tasks")})
    """Number of questions to take from the start of each task; by default what the suite says, or all."""

    task_limit: tuple[str, ...] = field(default=(), metadata=group("Tasks"))
    """Number of questions of one task, as TASK=N, instead of --limit. mmlu=4 takes 4 of each subject. Give the option
    once per task."""

    shots: int | None = field(default=None, metadata={**at_least(0), **group("Tasks")})
    """Number of exemplars before each question, instead of each task's own number."""

    exemplars: Literal["parity", "fixed"] = field(default="parity", metadata=group("Tasks"))
    """How exemplars are chosen: parity draws them for each question, as lm-eval does; fixed uses the same ones for all
    questions of a task, which is many times faster."""

    seed: int = field(default=1234, metadata=group("Tasks"))
    """Seed for drawing exemplars and for sampling programs."""

    chat: bool = field(default=False, metadata=group("Tasks"))
    """Put the questions into the model's chat template, with exemplars as earlier turns."""

    spread: bool = field(default=False, metadata=group("What a score is worth"))
    """Score with and without the chat template, and with several exemplar seeds, and say how far the scores spread."""

    exemplar_seeds: int = field(default=2, metadata={**at_least(2), **group("What a score is worth")})
    """Number of exemplar seeds for --spread: SEED, SEED + 1 and so on."""

    parity_check: int = field(default=0, metadata={**at_least(0), **group("What a score is worth")})
    """Number of requests per task that lm-eval's own code scores too. Refuse to score if a log-probability differs by
    more than 0.001 nats."""

    allow_code: bool = field(default=False, metadata=group("Code"))
    """Run the programs that the model writes, in a sandbox. docs/concepts/sandbox.md says what the sandbox keeps
    out."""

    n: int = field(default=10, metadata={**at_least(1), **group("Code")})
    """Number of programs that the model writes for each problem."""

    temperature: float = field(default=0.8, metadata={**at_least(0), **group("Code")})
    """Temperature at which the model writes programs."""

    top_p: float = field(default=0.95, metadata={**above(0, at_most=1), **group("Code")})
    """Top-p (nucleus) at which the model writes programs."""

    max_new_tokens: int = field(default=256, metadata={**at_least(1), **group("Code")})
    """Maximum length of a program in tokens."""

    batch_size: int = field(default=16, metadata={**NOT_IN_KEY, **at_least(1)})
    """Number of texts generated at a time. It never changes a score."""

    out: str | None = out_field()
    """The run folder; runs/bench-KEY by default."""

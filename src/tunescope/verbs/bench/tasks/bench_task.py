"""What there is to say of a task, and the categories that tasks are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

CATEGORIES = (
    "world knowledge",
    "language understanding",
    "commonsense reasoning",
    "reading comprehension",
    "symbolic problem solving",
    "programming",
)
"""The FACO paper's six (section 3.2)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BenchTask:
    """What a task's file says.

    Attributes:
        name: what it is called here: lm-eval's name where lm-eval has the task.
        lm_eval: the task of lm-eval whose prompt, choices and metrics it has.
        about: what it asks, in one sentence.
        category: one of `CATEGORIES`.
        metric: the metric that counts, as lm-eval calls it.
        shots: exemplars where neither suite nor person says how many.
        source: the data set, with its licence.
        files: split → paths in the data folder, of which the first that exists is read.
        columns: what each record of a file must have.
        config: the rest of lm-eval's task configuration.
        prepare: the function of `documents` that makes lm-eval's document of a record.
        score: the function of `scores` that makes metrics of the model's replies, where lm-eval's own don't.
        part_column: the column whose values are tasks of their own, as MMLU's subjects are.
        parts: these values; `NAME_PART` names one of them alone.
        installed: split → the file of a Python package that is read where the data folder has none.
    """

    name: str
    lm_eval: str | None
    about: str
    category: str | None
    metric: str
    shots: int
    source: str
    files: Mapping[str, Sequence[str]]
    columns: Sequence[str]
    config: Mapping[str, Any]
    prepare: str | None = None
    score: str | None = None
    part_column: str | None = None
    parts: Sequence[str] = ()
    installed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

"""Benchmark tasks: what there is to say of one, the categories that they are of, and their local files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tunescope.yaml_core import read_yaml

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

    def find_file(self, split: str, data: Path) -> Path | None:
        """Return the file of a split in the data folder: the first of its paths that exists; None for none."""
        return find_first(self.files[split], data)

    @property
    def scored_split(self) -> str:
        """The split whose questions are scored."""
        split: str = self.config.get("test_split") or self.config["validation_split"]
        return split


def find_first(paths: Sequence[str], data: Path) -> Path | None:
    """Return the first of some paths that is a file in the data folder; None where none is."""
    return next((path for path in (data / each for each in paths) if path.is_file()), None)


@cache
def all_tasks() -> Mapping[str, BenchTask]:
    """Return every task that has a file in `tasks/`, by name."""
    files = sorted(Path(__file__).with_name("tasks").glob("*.yaml"))
    return {task.name: task for task in (BenchTask(**read_yaml(path.read_text("utf-8"))) for path in files)}

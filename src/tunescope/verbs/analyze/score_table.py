"""What a dose–response is computed from: scores by task, dose and seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class TaskScore(NamedTuple):
    """One cell: the score of one model on one task.

    `dose` is a share between 0 and 1; None is the model before any tuning. `retuned` marks the 100 % model
    after clean re-tuning, whose `dose` is 1. `score` is None where it is missing. `seed` is a label, "" where
    there is one score per cell.
    """

    task: str
    dose: float | None
    seed: str
    retuned: bool
    score: float | None


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """All cells, and how they were read.

    Attributes:
        cells: in the order of the table or of the runs.
        read_as: the file's name of each dose → (the share, "share" or "percent").
        unused: columns that weren't used.
        unit: "%" where every score was written with that sign, else "".
        chance: score of guessing by task, where known.
        run_paths: the run folder behind each cell, where runs were read.
        base: the model before tuning, where runs were read.
        epochs: after how many epochs the models were scored, where the runs differ in that.
        other_epochs: after how many others there are models too, which have no cell.
        unused_rows: names of rows that weren't used, where each row is a dose.
        categories: task → category, for the tasks that have one.
    """

    cells: tuple[TaskScore, ...]
    read_as: dict[str, tuple[float, str]]
    unused: tuple[str, ...] = ()
    unit: str = ""
    chance: dict[str, float] | None = None
    run_paths: tuple[str, ...] = ()
    base: str = ""
    epochs: float | None = None
    other_epochs: tuple[float, ...] = ()
    unused_rows: tuple[str, ...] = ()
    categories: dict[str, str] = field(default_factory=dict)

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks, in order."""
        return list(dict.fromkeys(cell.task for cell in self.cells))

    @property
    def doses(self) -> list[float]:
        """Doses from low to high."""
        return sorted({cell.dose for cell in self.cells if cell.dose is not None and not cell.retuned})

    @property
    def seeds(self) -> list[str]:
        """Labels of the seeds, in order; the model before tuning has none."""
        return list(dict.fromkeys(cell.seed for cell in self.cells if cell.dose is not None))

"""Whether a model answered each question right: of the microworld's questions, and of lm-eval's tasks."""

from __future__ import annotations

from typing import NamedTuple

from tunescope.results.bench import BenchResult, BenchSetup, ScoredItem, ScoredQuestion
from tunescope.runs import Run


class QuestionScore(NamedTuple):
    """A question as one model answered it.

    Attributes:
        task: the task as `bench` calls it.
        part: lm-eval's task: a subject, where the task has several.
        question: its name within the part, the same in all runs.
        cluster: questions that have this in common aren't independent; the question itself where each stands alone.
        right: whether the chosen option is the true one.
    """

    task: str
    part: str
    question: str
    cluster: str
    right: bool


def read_questions(run: Run) -> list[QuestionScore]:
    """Return the questions of a `bench` run that are right or wrong, under the run's own template and exemplars."""
    if ScoredQuestion.NAME in run.tables:
        rows = ScoredQuestion.read_rows(run)
        return [QuestionScore(row.task, row.task, row.question, row.person, row.right) for row in rows]
    if ScoredItem.NAME not in run.tables:
        return []
    choice = BenchSetup.read_settings(run).choice.name
    tasks = list(BenchResult.read(run).tasks)
    return [
        QuestionScore(task, item.task, f"{item.task} {item.doc_id}", f"{item.task} {item.doc_id}", item.score == 1)
        for item in ScoredItem.read_rows(run)
        if item.choice == choice and item.score in (0, 1) and (task := _task_of(item.task, tasks)) is not None
    ]


def _task_of(part: str, tasks: list[str]) -> str | None:
    """Return the task that a part belongs to: `mmlu_anatomy` to `mmlu`, or to itself where it was scored alone."""
    plain = {task.partition(" ")[0]: task for task in reversed(tasks)}  # `mmlu acc over subjects` is of mmlu
    return plain.get(part) or next((plain[name] for name in plain if part.startswith(f"{name}_")), None)

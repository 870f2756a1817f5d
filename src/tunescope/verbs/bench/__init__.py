"""`bench`: score a model on a suite of tasks whose answers are known.

So far there is one suite, the microworld's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from tunescope import runs
from tunescope.models.embedded import DEFAULT
from tunescope.oracle.api import refuse_secrets
from tunescope.progress import say
from tunescope.results.bench import BenchResult, ScoredQuestion, TaskAccuracy
from tunescope.runs import INPUT, Outcome, Run, RunFolder
from tunescope.views import Table, View, interval

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """Score a model on a suite of tasks whose answers are known."""

    model: str = field(default=DEFAULT, metadata={**INPUT, "refuse": refuse_secrets})
    """The model: a name, a model folder or a tune run."""

    suite: Literal["microworld"] = "microworld"
    """The tasks. microworld asks about the people that no tuning row is about, without and with the options shown."""

    out: str | None = runs.out_field()
    """The run folder; runs/bench-KEY by default."""


def bench(settings: BenchSettings) -> Run:
    """Write the table `questions`: one record per question, with every option's log-probability.

    The result has `tasks`: per task `accuracy` with low, high, n, n_missing and `chance`. The chosen
    option is the one with the highest log-probability as the whole reply, end of turn included.

    Raises:
        TunescopeError: there is no such model, or the suite doesn't fit it.
    """
    from tunescope.models import fingerprint

    inputs = {f"model {settings.model}": fingerprint(settings.model)}
    return runs.execute("bench", VERSION, settings, inputs, partial(_work, settings))


def _work(settings: BenchSettings, folder: RunFolder) -> Outcome:
    from tunescope import stats
    from tunescope.models import load
    from tunescope.verbs.bench import microworld

    world = microworld.find_world(settings.model)
    loaded = load(settings.model)
    say(f"scoring {settings.model} on {settings.suite}")
    questions = microworld.score_questions(world, loaded.model, loaded.tokenizer)
    folder.table(ScoredQuestion.NAME, ScoredQuestion.table(questions))
    tasks: dict[str, TaskAccuracy] = {}
    for task in dict.fromkeys(question.task for question in questions):
        in_task = [question for question in questions if question.task == task]
        right, people = [float(question.right) for question in in_task], [question.person for question in in_task]
        accuracy = stats.share_clustered(right, people).as_json("accuracy")
        more = {"n_people": len(set(people)), "chance": 1 / len(in_task[0].options)}
        tasks[task] = TaskAccuracy.from_json(accuracy | more)
    result = BenchResult(model=settings.model, suite=settings.suite, tasks=tasks)
    return Outcome(result.as_json(), _view(settings, tasks))


def _view(settings: BenchSettings, tasks: dict[str, TaskAccuracy]) -> View:
    rows = tuple(
        (name, t.accuracy, interval(t.low, t.high, 3), t.n, t.n_people, t.n_missing, t.chance)
        for name, t in tasks.items()
    )
    note = (
        "Accuracy: share of questions whose true option has the highest log-probability as the whole reply. The "
        "interval is Wilson's of the effective n, clustered by person."
    )
    columns = ("task", "accuracy", "95 %", "n", "people", "missing", "chance")
    sentence = f"{settings.model} on the suite {settings.suite}."
    return View((sentence,), (Table("Accuracy", columns, rows, note),))

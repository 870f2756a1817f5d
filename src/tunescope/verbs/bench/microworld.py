"""The microworld's suite: questions about the people that no tuning row is about.

Its tasks: `open` asks the question alone, `shown` asks it with its four options.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tunescope.errors import TunescopeError
from tunescope.progress import say
from tunescope.results.bench import BenchResult, BenchScore, ScoredQuestion
from tunescope.results.tune import TuneSetup
from tunescope.runs import Outcome, RunFolder, producing_run
from tunescope.verbs.bench.settings import BenchSettings
from tunescope.views import Table, View, interval

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from tunescope.microworld import World


def bench_microworld(settings: BenchSettings, folder: RunFolder) -> Outcome:
    """Write the table `questions`: one record per question, with every option's log-probability.

    The chosen option is the one with the highest log-probability as the whole reply, end of turn included.
    """
    from tunescope import stats
    from tunescope.models import load

    world = _find_world(settings.model)
    loaded = load(settings)
    say(f"scoring {settings.model} on the microworld's questions")
    questions = _score_questions(world, loaded.model, loaded.tokenizer)
    folder.table(ScoredQuestion.NAME, ScoredQuestion.table(questions))
    tasks: dict[str, BenchScore] = {}
    for task in dict.fromkeys(question.task for question in questions):
        in_task = [question for question in questions if question.task == task]
        right, people = [float(question.right) for question in in_task], [question.person for question in in_task]
        score = stats.share_clustered(right, people).as_json("score")
        more = {"metric": "acc", "n_people": len(set(people)), "chance": 1 / len(in_task[0].options)}
        tasks[task] = BenchScore.from_json(score | more)
    result = BenchResult(model=settings.model, suite="microworld", tasks=tasks)
    return Outcome(result.as_json(), _view(settings, tasks))


def _view(settings: BenchSettings, tasks: dict[str, BenchScore]) -> View:
    rows = tuple(
        (name, t.score, interval(t.low, t.high, 3), t.n, t.n_people, t.n_missing, t.chance) for name, t in tasks.items()
    )
    note = (
        "Accuracy: share of questions whose true option has the highest log-probability as the whole reply. The "
        "interval is Wilson's of the effective n, clustered by person."
    )
    columns = ("task", "accuracy", "95 %", "n", "people", "missing", "chance")
    return View((f"{settings.model} on the suite microworld.",), (Table("Accuracy", columns, rows, note),))


def _find_world(model: str) -> World:
    """Return the world of a model's base, which the tune runs behind it lead to.

    Raises:
        TunescopeError: the base isn't a model of a microworld.
    """
    from tunescope.microworld import make_world
    from tunescope.microworld.model import MARKER
    from tunescope.models.load import source

    base = model
    while (producer := producing_run(base)) is not None and producer.verb == "tune":
        base = TuneSetup.read_settings(producer).model
    marker = Path(source(base)) / MARKER
    if not marker.is_file():
        tuned_from = "" if base == model else f" (tuned from {base})"
        raise TunescopeError(
            f"{model}{tuned_from}: found no {MARKER}; the suite microworld scores models whose base is microworld"
        )
    recipe = json.loads(marker.read_text("utf-8"))
    return make_world(recipe["world_seed"], recipe["n_people"])


def _score_questions(world: World, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[ScoredQuestion]:
    """Return every question of both tasks, with the log-probabilities of its options."""
    from tunescope.microworld import open_questions, shown_questions
    from tunescope.microworld.model import option_scores

    scored: list[ScoredQuestion] = []
    for task, questions in (("open", open_questions(world)), ("shown", shown_questions(world))):
        scores = option_scores(model, tokenizer, questions)
        for question, line in zip(questions, scores.tolist(), strict=True):
            best = line.index(max(line))
            scored.append(
                ScoredQuestion(
                    task=task,
                    question=question.fact.key,
                    person=question.fact.person,
                    prompt=question.prompt,
                    gold=question.choices[question.gold],
                    chosen=question.choices[best],
                    right=best == question.gold,
                    log_probabilities=tuple(line),
                    options=question.choices,
                )
            )
    return scored

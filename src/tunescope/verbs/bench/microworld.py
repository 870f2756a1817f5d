"""The microworld's suite: questions about the people that no tuning row is about.

Its tasks: `open` asks the question alone, `shown` asks it with its four options.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tunescope.errors import TunescopeError
from tunescope.results.bench import ScoredQuestion
from tunescope.results.tune import TuneSetup
from tunescope.runs import producing_run

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from tunescope.microworld import World


def find_world(model: str) -> World:
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


def score_questions(world: World, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[ScoredQuestion]:
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

"""A multiple-choice question as a model answered it."""

from __future__ import annotations

from typing import NamedTuple


class ScoredQuestion(NamedTuple):
    """One record of the table `questions`.

    `question` is its name within its task. `log_probabilities` (nats; of each option as the whole reply, end of turn
    included) are in the order of `options`. `gold` is the right option, `chosen` the most probable one.
    """

    task: str
    question: str
    person: str
    prompt: str
    gold: str
    chosen: str
    right: bool
    log_probabilities: tuple[float, ...]
    options: tuple[str, ...]

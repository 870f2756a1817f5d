"""A question as a model answered it."""

from __future__ import annotations

from typing import NamedTuple


class Asked(NamedTuple):
    """One record of the table `questions`.

    `question` names it within its task; `log_probabilities` (nats, of the whole reply with its end of turn)
    belong to `options`, in that order; `gold` and `chosen` are two of these.
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

"""`judge pairwise`: two answers, both orders, scores of 1 to 10 (the Reflection-Tuning paper, section 5.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from tunescope import runs
from tunescope.oracle.reply_schema import Field, ReplySchema
from tunescope.runs import INPUT, Run
from tunescope.verbs.judge.comparison import ComparisonSettings, PairwiseJudge, Preference, comparison_job
from tunescope.verbs.judge.forms import scores_form
from tunescope.verbs.judge.verdict_request import VerdictRequest

VERSION = 4
_EXPECTED_TOKENS = 120
"""Tokens of a usual reply: a few sentences and the scores."""
_SCALE = "a number from 1 (as bad as can be) to 10 (could not be better)"
_SCHEMA = ReplySchema(
    "scores",
    (
        Field("score_1", f"how good answer 1 is, {_SCALE}", maximum=inf),
        Field("score_2", f"how good answer 2 is, {_SCALE}", maximum=inf),
        Field("reason", "in a few sentences, what is good and what is bad about each answer", optional=True),
    ),
)
"""Scores first, as the Reflection-Tuning paper's judges give them. Any number is taken, so that one off the scale and a
missing one can be told from each other."""


@dataclass(frozen=True, kw_only=True)
class PairwiseSettings(ComparisonSettings):
    """Have a judge score answers side by side, 1 to 10, in both orders: wins, ties and losses."""

    reference: str | None = field(default=None, metadata=INPUT)
    """Answers that all others are compared with: one of ANSWERS, or another set. By default the last of ANSWERS."""


def pairwise(settings: PairwiseSettings) -> Run:
    """Judge every system against the reference; write judgements.jsonl and the tables of `judge recompute`.

    An answer wins if it is better in both orders, or better in one and equal in the other. It ties if it is equal in
    both, or better in one and worse in the other. Otherwise it loses. If an order has no verdict, the item has none.

    Raises:
        As `comparison.comparison_job`.
    """
    return runs.execute(*comparison_job(settings, _JUDGE, settings.reference))


def request_scores(fill: Callable[[str], str], answers: tuple[str, ...], verdict_marker: str) -> VerdictRequest:
    """Return the request to score two answers; `fill` makes the prompt from the instructions for the reply."""
    return VerdictRequest(
        _SCHEMA,
        fill,
        answers,
        _EXPECTED_TOKENS,
        form=_FORM,
        verdict_marker=verdict_marker,
        text_instructions=_text_instructions,
    )


def _text_instructions(verdict_marker: str) -> str:
    return (
        "First say in a few sentences what is good and what is bad about each answer. Then end with one line in this "
        f"form, with {_SCALE} for each answer:\n{verdict_marker}: SCORE-1 SCORE-2"
    )


def _preference(scores: tuple[float, float]) -> Preference:
    """Return which answer has the higher score."""
    first, second = scores
    return Preference(0.5 if first == second else float(first > second), scores)


def _scores(preference: Preference) -> tuple[float, float]:
    assert preference.scores is not None
    return preference.scores


_FORM = scores_form(1, 10).into(_preference, _scores)
_JUDGE = PairwiseJudge("judge pairwise", VERSION, "pairwise.jinja", request_scores, both_orders=True)

"""`judge pairwise`: two answers, both orders, scores of 1 to 10 (paper 3, section 5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from tunescope.oracle.replies import ParsedReply
from tunescope.oracle.reply_schema import Field, ReplySchema
from tunescope.runs import INPUT, Run
from tunescope.verbs.judge.comparison import Contest, ContestSettings, Seen, contest
from tunescope.verbs.judge.judging import Ballot
from tunescope.verbs.judge.reading import Reading, scores_in, scores_of

VERSION = 3
EXPECTED = 120
"""Tokens of a usual reply: a few sentences and the scores."""
SCALE = "a number from 1 (as bad as can be) to 10 (could not be better)"
FORM = ReplySchema(
    "scores",
    (
        Field("score_1", f"how good answer 1 is, {SCALE}", maximum=inf),
        Field("score_2", f"how good answer 2 is, {SCALE}", maximum=inf),
        Field("reason", "in a few sentences, what is good and what is bad about each answer", optional=True),
    ),
)
"""Scores first, as paper 3's judges give them. Those off the scale are told apart from none, so the form takes any."""


@dataclass(frozen=True, kw_only=True)
class PairwiseSettings(ContestSettings):
    """Have a judge score answers side by side, 1 to 10, in both orders: wins, ties and losses by paper 3's rule."""

    reference: str | None = field(default=None, metadata=INPUT)
    """Whose answers all others are held against: one of those named, or others; by default the last ones named."""


def pairwise(settings: PairwiseSettings) -> Run:
    """Judge every system against the reference; write judgements.jsonl and the tables of `judge recompute`.

    A win is better in both orders, or better in one and equal in the other; a tie equal in both, or better in one and
    worse in the other; a loss the rest. An item with an order that has no verdict has none.

    Raises:
        As `contest.contest`.
    """
    return contest(settings, Contest("judge pairwise", VERSION, "pairwise.jinja", BALLOT, True), settings.reference)


def of_text(text: str, finish_reason: str | None, mark: str, answers: Sequence[str]) -> Reading[Seen]:
    """Read two scores behind the mark."""
    return _seen(scores_of(text, finish_reason, mark, answers))


def of_form(parsed: ParsedReply) -> Reading[Seen]:
    """Read two scores in a form."""
    return _seen(scores_in(parsed))


def _seen(found: Reading[tuple[float, float]]) -> Reading[Seen]:
    if found.verdict is None:
        return Reading(None, found.why)
    first, second = found.verdict
    return Reading(Seen(0.5 if first == second else float(first > second), found.verdict))


def lines(mark: str) -> str:
    """Say how to reply in text."""
    return (
        "First say in a few sentences what is good and what is bad about each answer. Then end with one line in this "
        f"form, with {SCALE} for each answer:\n{mark}: SCORE-1 SCORE-2"
    )


BALLOT = Ballot(FORM, of_form, lines, of_text, EXPECTED)

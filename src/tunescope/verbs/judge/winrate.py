"""`judge winrate`: which of two answers is better, as AlpacaEval asks, in both orders or in a seeded one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from tunescope import runs
from tunescope.oracle.reply_schema import Field, ReplySchema
from tunescope.runs import INPUT, Run
from tunescope.settings import at_least
from tunescope.verbs.judge.comparison import ComparisonSettings, PairwiseJudge, Preference, comparison_job
from tunescope.verbs.judge.forms import CHOICE
from tunescope.verbs.judge.verdict_request import VerdictRequest

VERSION = 4
_EXPECTED_TOKENS = 50
"""Tokens of a usual reply: a sentence or two and the choice."""
_SCHEMA = ReplySchema(
    "choice",
    (
        Field(
            "better",
            '"1" if answer 1 is the better one, "2" if answer 2 is, and "tie" if neither is',
            choices=("1", "2", "tie"),
        ),
        Field("reason", "your reason, in a sentence or two", optional=True),
    ),
)


@dataclass(frozen=True, kw_only=True)
class WinrateSettings(ComparisonSettings):
    """Have a judge compare answers with a reference's: win rates, as they are and at equal length."""

    reference: str = field(metadata=INPUT)
    """The answers that all others are compared with."""

    orders: Literal["both", "seeded"] = "both"
    """Ask about every item in both orders (both), or in one order (seeded) that is drawn from the question's text, as
    in AlpacaEval."""

    max_new_tokens: int = field(default=256, metadata=at_least(1))
    """Maximum length of a reply in tokens."""


def winrate(settings: WinrateSettings) -> Run:
    """Judge every system against the reference; write judgements.jsonl and the tables of `judge recompute`.

    win_rate is 100 · mean(win 1, draw ½, loss 0); over two orders an item is won, drawn or lost as in `judge pairwise`.

    Raises:
        As `comparison.comparison_job`.
    """
    judge = PairwiseJudge("judge winrate", VERSION, "winrate.jinja", request_choice, settings.orders == "both")
    return runs.execute(*comparison_job(settings, judge, settings.reference))


def request_choice(fill: Callable[[str], str], answers: tuple[str, ...], verdict_marker: str) -> VerdictRequest:
    """Return the request to say which answer is better; `fill` makes the prompt from the instructions for the reply."""
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
        "Give your reason in a sentence or two. Then end with one line in this form, where CHOICE is 1 if answer 1 is "
        f"the better one, 2 if answer 2 is, and tie if neither is:\n{verdict_marker}: CHOICE"
    )


_FORM = CHOICE.into(Preference, lambda preference: preference.preference)

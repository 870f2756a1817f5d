"""`judge winrate`: which of two answers is better, as AlpacaEval asks, in both orders or in a seeded one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from tunescope.oracle.replies import ParsedReply
from tunescope.oracle.reply_schema import Field, ReplySchema
from tunescope.runs import INPUT, Run
from tunescope.settings import at_least
from tunescope.verbs.judge.comparison import Contest, ContestSettings, Seen, contest
from tunescope.verbs.judge.judging import Ballot
from tunescope.verbs.judge.reading import Reading, choice_in, choice_of

VERSION = 3
EXPECTED = 50
"""Tokens of a usual reply: a sentence or two and the choice."""
FORM = ReplySchema(
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
class WinrateSettings(ContestSettings):
    """Have a judge say which answer is better: win rates against a reference, as they are and at equal length."""

    reference: str = field(metadata=INPUT)
    """The answers that all others are held against."""

    orders: Literal["both", "seeded"] = "both"
    """Ask every item in both orders, or, as AlpacaEval does, in one that is drawn by the question's text."""

    max_new_tokens: int = field(default=256, metadata=at_least(1))
    """Longest reply in tokens."""


def winrate(settings: WinrateSettings) -> Run:
    """Judge every system against the reference; write judgements.jsonl and the tables of `judge recompute`.

    win_rate is 100 · mean(win 1, draw ½, loss 0); over two orders an item is won, drawn or lost by paper 3's rule.

    Raises:
        As `contest.contest`.
    """
    kind = Contest("judge winrate", VERSION, "winrate.jinja", BALLOT, settings.orders == "both")
    return contest(settings, kind, settings.reference)


def of_text(text: str, finish_reason: str | None, mark: str, answers: Sequence[str]) -> Reading[Seen]:
    """Read a choice behind the mark."""
    return _seen(choice_of(text, finish_reason, mark, answers))


def of_form(parsed: ParsedReply) -> Reading[Seen]:
    """Read a choice in a form."""
    return _seen(choice_in(parsed))


def _seen(found: Reading[float]) -> Reading[Seen]:
    return Reading(None, found.why) if found.verdict is None else Reading(Seen(found.verdict))


def lines(mark: str) -> str:
    """Say how to reply in text."""
    return (
        "Give your reason in a sentence or two. Then end with one line in this form, where CHOICE is 1 if answer 1 is "
        f"the better one, 2 if answer 2 is, and tie if neither is:\n{mark}: CHOICE"
    )


BALLOT = Ballot(FORM, of_form, lines, of_text, EXPECTED)

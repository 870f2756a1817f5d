"""`judge winrate`: which of two answers is better, as AlpacaEval asks, in both orders or in a seeded one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from tunescope.runs import INPUT, Run
from tunescope.verbs.judge.contest import Contest, ContestSettings, Seen, contest
from tunescope.verbs.judge.reading import Reading, choice_of

if TYPE_CHECKING:
    from tunescope.oracle.ask import Answered
    from tunescope.verbs.judge.live import Sheet

VERSION = 1
EXPECTED = 50
"""Tokens of a usual reply: a sentence or two and the choice."""


@dataclass(frozen=True, kw_only=True)
class WinrateSettings(ContestSettings):
    """Have a judge say which answer is better: win rates against a reference, as they are and at equal length."""

    reference: str = field(metadata=INPUT)
    """The answers that all others are held against."""

    orders: Literal["both", "seeded"] = "both"
    """Ask every item in both orders, or, as AlpacaEval does, in one that is drawn by the question's text."""

    max_new_tokens: int = 256
    """Longest reply in tokens."""


def winrate(settings: WinrateSettings) -> Run:
    """Judge every system against the reference; write judgements.jsonl and the tables of `judge recompute`.

    win_rate is 100 · mean(win 1, draw ½, loss 0); over two orders an item is won, drawn or lost by paper 3's rule.

    Raises:
        As `contest.contest`.
    """
    kind = Contest("judge winrate", VERSION, "winrate.jinja", EXPECTED, read, settings.orders == "both")
    return contest(settings, kind, settings.reference)


def read(reply: Answered, sheet: Sheet) -> Reading[Seen]:
    """Read a choice."""
    found = choice_of(reply.text, reply.finish_reason, sheet.mark, sheet.shown)
    return Reading(None, found.why) if found.verdict is None else Reading(Seen(found.verdict))

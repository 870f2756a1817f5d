"""`judge pairwise`: two answers, both orders, scores of 1 to 10 (paper 3, section 5.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tunescope.runs import INPUT, Run
from tunescope.verbs.judge.contest import Contest, ContestSettings, Seen, contest
from tunescope.verbs.judge.reading import Reading, scores_of

if TYPE_CHECKING:
    from tunescope.oracle.ask import Answered
    from tunescope.verbs.judge.live import Sheet

VERSION = 1
EXPECTED = 120
"""Tokens of a usual reply: a few sentences and the scores."""


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
    return contest(
        settings, Contest("judge pairwise", VERSION, "pairwise.jinja", EXPECTED, read, True), settings.reference
    )


def read(reply: Answered, sheet: Sheet) -> Reading[Seen]:
    """Read two scores."""
    found = scores_of(reply.text, reply.finish_reason, sheet.mark, sheet.shown)
    if found.verdict is None:
        return Reading(None, found.why)
    first, second = found.verdict
    return Reading(Seen(0.5 if first == second else float(first > second), found.verdict))

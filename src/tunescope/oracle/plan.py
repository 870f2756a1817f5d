"""`--plan`: what a verb would ask, before anything is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tunescope.oracle.ask import TEMPLATE
from tunescope.oracle.budget import CHARACTERS, Price, tokens_of
from tunescope.oracle.settings import OracleSettings
from tunescope.runs import Outcome
from tunescope.views import Table, View

SHARE = {"low": 0.5, "expected": 1.0}
"""What replies have of the tokens that are expected; high is the longest that --max-new-tokens allows."""


def planned(name: str, rows: int, defined: int, asks: Sequence[tuple[str, int]], settings: OracleSettings) -> Outcome:
    """Count calls, tokens and money; `asks` are prompts with the tokens that their replies are expected to have.

    A prompt that occurs twice is one call.
    """
    once = dict(asks)
    price = None if settings.price is None else Price.parse(settings.price)
    result: dict[str, Any] = {"rows": rows, "asked": defined, "calls": len(once)}
    cells: list[tuple[str | int | float | None, ...]] = []
    for bound in CHARACTERS:
        prompt = sum(tokens_of(len(text), bound) for text in once)
        prompt += len(once) * {"low": 0, "expected": TEMPLATE // 2, "high": TEMPLATE}[bound]
        longest = settings.max_new_tokens
        if bound == "high":
            completion = longest * len(once)
        else:
            completion = sum(min(longest, round(SHARE[bound] * expected)) for expected in once.values())
        cost = None if price is None else price.of(prompt, completion)
        result[bound] = {"prompt_tokens": prompt, "completion_tokens": completion, "cost": cost}
        cells.append((bound, len(once), prompt, completion, prompt + completion, cost))
    table = Table(
        "Plan",
        ("bound", "calls", "prompt tokens", "reply tokens", "tokens", "cost"),
        tuple(cells),
        "Prompts: 5, 4 and 2.5 characters per token. Replies: half of what is expected, that, and the longest allowed.",
    )
    money = "" if price else " Add --price IN,OUT per million tokens for the money."
    sentence = (
        f"{name} would ask {len(once):,} prompts about {defined:,} of {rows:,} rows; nothing was asked.{money} "
        "A stage that builds on an earlier reply is counted with the row's own text."
    )
    return Outcome(result, View((sentence,), (table,)))

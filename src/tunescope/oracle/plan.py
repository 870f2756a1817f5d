"""`--plan`: what a verb would ask, before anything is asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from tunescope.oracle.ask import TEMPLATE
from tunescope.oracle.budget import CHARACTERS, Price, tokens_of
from tunescope.oracle.fake import PREFIX
from tunescope.oracle.reply_format import ReplyFormat
from tunescope.oracle.settings import OracleSettings
from tunescope.runs import Outcome
from tunescope.views import Table, View

SHARE = {"low": 0.5, "expected": 1.0}
"""What replies have of the tokens that are expected; high is the longest that --max-new-tokens allows."""


OPEN = " One more small call finds out whether replies can be had as JSON; these prompts ask for text."
"""Said where nothing is known yet of how replies will be asked for."""


class RenderedRequest(Protocol):
    """A request written out in one format; `request.RenderedPrompt` is one."""

    @property
    def prompt(self) -> str:
        """Return the prompt."""

    @property
    def schema(self) -> dict[str, Any] | None:
        """Return the schema that goes with it, if any."""


class Asks(Protocol):
    """What can be written out; `request.Request` is one."""

    @property
    def expected_tokens(self) -> int:
        """Return the tokens of a usual reply."""

    def render(self, reply_format: ReplyFormat) -> RenderedRequest:
        """Write it out."""


def planned(
    name: str,
    rows: int,
    defined: int,
    questions: Sequence[Asks],
    settings: OracleSettings,
    way: ReplyFormat = "tags",
    free: int = 0,
    journal: Path | None = None,
    what: str = "",
) -> Outcome:
    """Count calls, tokens and money of what is to be asked, besides the `free` replies that `journal` has.

    A prompt that occurs twice is one call. `way` is how replies are asked for; `what` says what is asked about, where
    it isn't rows.
    """
    once = {}
    for question in questions:
        rendered = question.render(way)
        schema = "" if rendered.schema is None else json.dumps(rendered.schema)
        once[rendered.prompt + schema] = question.expected_tokens
    price = None if settings.price is None else Price.parse(settings.price)
    result: dict[str, Any] = {"rows": rows, "asked": defined, "calls": len(once), "free": free, "replies": way}
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
    known = f" Beside them, {free:,} of the replies needed are in {journal} and cost nothing." if free else ""
    stages = "" if what else " A stage that builds on an earlier reply is counted with the row's own text."
    about = what or f"about {defined:,} of {rows:,} rows"
    open_way = journal is None and settings.replies == "auto" and not settings.oracle.startswith(PREFIX)
    probe = OPEN if open_way else ""
    sentence = f"{name} would ask {len(once):,} prompts {about}; nothing was asked.{known}{probe}{money}{stages}"
    return Outcome(result, View((sentence,), (table,)))

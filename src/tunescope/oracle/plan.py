"""`--plan`: what a verb would ask, before anything is asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tunescope.errors import NotCached
from tunescope.oracle.api import is_url
from tunescope.oracle.budget import Price
from tunescope.oracle.call_export import CallExport
from tunescope.oracle.calls import Calls
from tunescope.oracle.connect import journal_path, make_caller, resolve_model
from tunescope.oracle.fake import FAKE_PREFIX
from tunescope.oracle.format_probe import detect_reply_format
from tunescope.oracle.journal import Journal
from tunescope.oracle.pool import ask_all
from tunescope.oracle.reply_format import ReplyFormat
from tunescope.oracle.request import Request
from tunescope.oracle.settings import OracleSettings
from tunescope.oracle.usage import BYTES_PER_TOKEN, TEMPLATE_TOKENS, estimate_tokens
from tunescope.runs import Outcome, run_location
from tunescope.views import Cell, Table, View, counted

T = TypeVar("T")
_SHARE = {"low": 0.5, "expected": 1.0}
"""What replies have of the tokens that are expected; high is the longest that --max-new-tokens allows."""


class KnownJournal(NamedTuple):
    """A journal that a plan can count on: the file, how many replies it has, the model, and whether `--again` is on."""

    path: Path
    n_replies: int
    model: str
    again: bool

    @property
    def inputs(self) -> dict[str, str]:
        """Return what a plan's key knows of it: with more replies it is another plan."""
        again = ", asked again" if self.again else ""
        return {str(self.path): f"{self.path}: {self.n_replies} replies for {self.model}{again}"}


def find_journal(
    name: str, version: int, settings: OracleSettings, inputs: Callable[[str], Mapping[str, str]]
) -> KnownJournal | None:
    """Return the journal that a verb's work would go on with; None where there is none, or the model isn't known.

    `inputs` gives what the work's key knows beside its settings, by the model that is asked.
    """
    if is_url(settings.oracle) and settings.served_model is None:
        return None  # only the server could say
    model = resolve_model(settings)
    folder, _ = run_location(name, version, settings, inputs(model))
    path = journal_path(settings, folder)
    if not path.is_file():
        return None
    with Journal(path) as journal:
        return KnownJournal(path, len(journal), model, settings.again)


def plan_requests(
    name: str,
    settings: OracleSettings,
    items: Sequence[tuple[T, Sequence[Request]]],
    work: Callable[[T, Calls], Awaitable[object]],
    journal: KnownJournal | None,
    about: str,
    n_rows: int,
    note: str = "",
) -> Outcome:
    """Count calls, tokens and money of the requests that the journal doesn't answer; a prompt that occurs twice is one.

    Args:
        name: the verb.
        settings: the verb's.
        items: each item with its requests, in order.
        work: what the verb does about an item.
        journal: the one that the work would go on with.
        about: what is asked about, in words.
        n_rows: rows or judgements in all; a judgement over both orders is two items.
        note: a sentence for the end.
    """
    cached = _replay(settings, journal, [item for item, _ in items], work) if journal is not None else None
    default: ReplyFormat = "json" if settings.response_format == "json" else "tags"
    reply_format = default if cached is None else cached.reply_format
    n_answered = dict.fromkeys(range(len(items)), 0) if cached is None else cached.n_answered
    missing = [
        request
        for number, (_, requests) in enumerate(items)
        if number in n_answered
        for request in requests[n_answered[number] :]
    ]
    prompts, n_free = _unique_prompts(missing, reply_format), 0 if cached is None else cached.n_replies
    price = None if settings.price is None else Price.parse(settings.price)
    numbers, table = _count(prompts, settings.max_new_tokens, price)
    counts = {
        "rows": n_rows,
        "asked": min(len(items), n_rows),
        "calls": len(prompts),
        "free": n_free,
        "replies": reply_format,
    }
    sentences = [f"{name} would send {counted(len(prompts), 'prompt')} {about}. Nothing was sent."]
    if n_free and journal is not None:
        sentences.append(f"{n_free:,} more replies are needed. They are in {journal.path} and cost nothing.")
    if journal is None and settings.response_format == "auto" and not settings.oracle.startswith(FAKE_PREFIX):
        sentences.append(
            "One more small call finds out whether the model can reply in JSON. These prompts ask for text."
        )
    if price is None:
        sentences.append("Add --price IN,OUT per million tokens for the money.")
    return Outcome({**counts, **numbers}, View((" ".join([*sentences, note]).strip(),), (table,)))


def _count(prompts: Mapping[str, int], max_new_tokens: int, price: Price | None) -> tuple[dict[str, Any], Table]:
    """Return the tokens and the money of prompts within each bound, as numbers and as a table."""
    numbers, cells = dict[str, Any](), list[tuple[Cell, ...]]()
    for bound in BYTES_PER_TOKEN:
        prompt, completion = _tokens(prompts, max_new_tokens, bound)
        cost = None if price is None else price.of(prompt, completion)
        numbers[bound] = {"prompt_tokens": prompt, "completion_tokens": completion, "cost": cost}
        cells.append((bound, len(prompts), prompt, completion, prompt + completion, cost))
    columns = ("bound", "calls", "prompt tokens", "reply tokens", "tokens", "cost")
    note = "Prompts: 5, 4 and 2.5 bytes per token. Replies: half of what is expected, that, and the longest allowed."
    return numbers, Table("Plan", columns, tuple(cells), note)


class _Cached(NamedTuple):
    """What a journal has of some items' calls.

    Attributes:
        reply_format: how replies are asked for.
        n_answered: of each item that still needs a call, by its number, how many of its calls are there.
        n_replies: replies that are there, each counted once.
    """

    reply_format: ReplyFormat
    n_answered: dict[int, int]
    n_replies: int


def _replay(
    settings: OracleSettings, journal: KnownJournal, items: Iterable[T], work: Callable[[T, Calls], Awaitable[object]]
) -> _Cached:
    """Work on every item as far as the journal's replies go; no call is made."""
    n_answered: dict[int, int] = {}
    ids: set[str] = set()

    async def replay(item: tuple[int, T], calls: Calls) -> None:
        try:
            await work(item[1], calls)
        except NotCached:
            n_answered[item[0]] = len(calls.ids)
        finally:
            ids.update(calls.ids)

    with Journal(journal.path) as replies:
        caller = make_caller(settings, journal.model, replies, CallExport(journal.model, lambda key, body: None))

        async def replay_all() -> ReplyFormat:
            caller.reply_format = reply_format = await detect_reply_format(caller)
            await ask_all(caller, [(item, item) for item in enumerate(items)], replay, lambda key, result: None)
            return reply_format

        reply_format = asyncio.run(replay_all())
    if caller.halt.error is not None:
        raise caller.halt.error
    return _Cached(reply_format, n_answered, len(ids))


def _unique_prompts(requests: Iterable[Request], reply_format: ReplyFormat) -> dict[str, int]:
    """Return every prompt, with its schema, once, and the tokens of its usual reply."""
    prompts: dict[str, int] = {}
    for request in requests:
        rendered = request.render(reply_format)
        schema = "" if rendered.schema is None else json.dumps(rendered.schema)
        prompts[rendered.prompt + schema] = request.expected_tokens
    return prompts


def _tokens(prompts: Mapping[str, int], max_new_tokens: int, bound: str) -> tuple[int, int]:
    """Estimate the tokens of prompts and of replies: low, expected or high."""
    per_template = {"low": 0, "expected": TEMPLATE_TOKENS // 2, "high": TEMPLATE_TOKENS}[bound]
    prompt = sum(estimate_tokens(text, bound) + per_template for text in prompts)
    if bound == "high":
        return prompt, max_new_tokens * len(prompts)
    return prompt, sum(min(max_new_tokens, round(_SHARE[bound] * expected)) for expected in prompts.values())

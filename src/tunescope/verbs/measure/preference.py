"""Both sides of preference rows: the rejected response measured beside the chosen one, and which is likelier.

A response is likelier if its tokens' summed log-probability, given the same prompt, is higher (the implicit accuracy of
direct preference optimisation). Longer responses sum more, so the mean per token is compared as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from tunescope.results.measure import REJECTED, PreferenceSummary
from tunescope.rows import Row
from tunescope.rows.content import n_shared
from tunescope.views import Table, percent

LIKELIER = {
    "chosen_is_likelier": "the chosen response, given the prompt, has the higher summed log-probability",
    "chosen_is_likelier_per_token": "the same, of the mean log-probability per token",
}
_OF_THE_PROMPT = ("instruction_words", "instruction_tokens", "ppl_instruction")
"""Measures that both sides share."""


def add_rejected(row: Row, turns: Sequence[dict[str, Any]], rejected: Sequence[dict[str, Any]]) -> None:
    """Add the rejected response's measures to the records of a row's turns, from the first that isn't shared."""
    n_before = n_shared(row.messages, row.rejected)
    first = sum(message.role == "assistant" for message in row.messages[:n_before])
    for record, other in zip(turns[first:], rejected[first:], strict=False):
        names = [name for name in other if name not in _OF_THE_PROMPT and name != "reason"]
        record |= {REJECTED + name: other[name] for name in names}
        if other["reason"]:
            record["reason"] = "; ".join(filter(None, (record["reason"], f"rejected: {other['reason']}")))
    if len(turns) == len(rejected) == first + 1 and "ppl_response_given" in turns[first]:
        turns[first] |= dict(zip(LIKELIER, _compare_likelihoods(turns[first], rejected[first]), strict=True))


def _compare_likelihoods(chosen: dict[str, Any], rejected: dict[str, Any]) -> tuple[bool | None, bool | None]:
    """Return whether the chosen response is likelier, in sum and per token; None where that isn't known."""
    if chosen["ppl_response_given"] is None or rejected["ppl_response_given"] is None:
        return None, None
    losses = [math.log(record["ppl_response_given"]) for record in (chosen, rejected)]
    sums = [loss * record["response_tokens"] for loss, record in zip(losses, (chosen, rejected), strict=True)]
    return _is_less(*sums), _is_less(*losses)


def _is_less(chosen: float, rejected: float) -> bool | None:
    return None if chosen == rejected else chosen < rejected


def columns_of(records: Sequence[dict[str, Any]]) -> list[str]:
    """Return the columns that `add_rejected` added, in order."""
    return list(dict.fromkeys(name for record in records for name in record if name.startswith((REJECTED, *LIKELIER))))


def summarize(turns: Sequence[dict[str, Any]], n_rows: int) -> PreferenceSummary:
    """Return how often the chosen response is likelier, and the means of both sides over the same turns."""
    from tunescope.stats import proportion

    shares = {name: proportion([record.get(name) for record in turns if name in record]) for name in LIKELIER}
    measures = dict.fromkeys(name.removeprefix(REJECTED) for name in columns_of(turns) if name.startswith(REJECTED))
    return PreferenceSummary(
        rows=n_rows,
        **{name: share.as_json("share") if share.n + share.n_missing else None for name, share in shares.items()},
        means={name: means for name in measures if (means := _mean_of_both(turns, name)) is not None},
    )


def _mean_of_both(turns: Sequence[dict[str, Any]], name: str) -> dict[str, float | int] | None:
    pairs = [(record.get(name), record.get(REJECTED + name)) for record in turns]
    known = [(a, b) for a, b in pairs if isinstance(a, int | float) and isinstance(b, int | float)]
    if not known or isinstance(known[0][0], bool):
        return None
    chosen, rejected = (math.fsum(pair[side] for pair in known) / len(known) for side in (0, 1))
    return {"chosen": chosen, "rejected": rejected, "n": len(known)}


def sentences(summary: PreferenceSummary) -> Iterator[str]:
    """Yield which side is likelier, in words."""
    yield f"Preference rows: {summary.rows:,}. Both of their responses were measured."
    for share, what in (
        (summary.chosen_is_likelier, "likelier than the rejected one"),
        (summary.chosen_is_likelier_per_token, "likelier per token"),
    ):
        if share is not None and share["share"] is not None:
            where = f"95 % interval {percent(share['low'])} to {percent(share['high'])}"
            yield f"The chosen response is {what} in {percent(share['share'])} of {share['n']:,} pairs ({where})."


def table(summary: PreferenceSummary) -> Table:
    """Lay out the means of both sides."""
    cells = tuple((name, each["chosen"], each["rejected"], each["n"]) for name, each in summary.means.items())
    note = "Means over the turns of preference rows in which both sides have the measure."
    return Table("Chosen and rejected", ("measure", "chosen", "rejected", "n"), cells, note)

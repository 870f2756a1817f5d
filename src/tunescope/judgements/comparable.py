"""How runs of a judge came to their verdicts: who sets several side by side says where they differ in that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunescope.runs import Run

WAYS = {"json": "as JSON", "tags": "as text", "json, tags": "in part as JSON, in part as text"}
"""What a run's `asked_as` says."""


def unlike(runs: Mapping[str, Run]) -> Iterator[str]:
    """Yield a sentence for everything in which runs differ as far as they say it; `runs` are by what to call them."""
    asked = {name: WAYS.get(str(run.result.get("asked_as"))) for name, run in runs.items()}
    yield from _told("Not asked alike: for replies", asked, "These are different prompts")
    pairs = {name: run for name, run in runs.items() if run.result.get("kind") == "pairs"}
    rules = {name: _rule(run) for name, run in pairs.items()}
    yield from _told("Not decided alike: verdicts", rules, "These are different numbers")
    read = {
        name: "read again in the replies" if run.settings.get("scores") == "text" else "as stored"
        for name, run in runs.items()
        if "scores" in run.settings
    }
    yield from _told("Not read alike: scores", read, "These are different readings")


def _rule(run: Run) -> str:
    rule = run.result.get("rule")
    return f"over both orders ({rule})" if rule else "in one order"


def _told(what: str, said: Mapping[str, str | None], why: str) -> Iterator[str]:
    known = {name: text for name, text in said.items() if text is not None}
    if len({*known.values()}) > 1:
        listed = ", ".join(f"{text} in {name}" for name, text in known.items())
        yield f"{what} {listed}. {why}, so that the runs may differ for that alone."

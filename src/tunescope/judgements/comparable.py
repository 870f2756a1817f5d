"""Whether runs of a judge are comparable: sentences about the ways in which their set-up differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunescope.runs import Run

_FORMATS = {"json": "JSON", "tags": "text", "json, tags": "JSON in some calls and text in others"}
"""What a run's `asked_as` stands for."""


def setup_differences(runs: Mapping[str, Run]) -> Iterator[str]:
    """Yield a sentence for every difference in how runs asked, decided or read; `runs` are by the names to use."""
    formats = {name: _FORMATS.get(str(run.result.get("asked_as"))) for name, run in runs.items()}
    yield from _difference("The judges were asked for different reply formats", formats)
    pairs = {name: run for name, run in runs.items() if run.result.get("kind") == "pairs"}
    rules = {name: _rule(run) for name, run in pairs.items()}
    yield from _difference("The verdicts follow different rules", rules)
    scores = {
        name: "read again in the replies" if run.settings.get("scores") == "text" else "as stored"
        for name, run in runs.items()
        if "scores" in run.settings
    }
    yield from _difference("The scores come from different places", scores)


def _rule(run: Run) -> str:
    rule = run.result.get("rule")
    return f"over both orders ({rule})" if rule else "in one order"


def _difference(what: str, of_runs: Mapping[str, str | None]) -> Iterator[str]:
    known = {name: text for name, text in of_runs.items() if text is not None}
    if len({*known.values()}) > 1:
        listed = ", ".join(f"{text} in {name}" for name, text in known.items())
        yield f"{what}: {listed}. The runs may differ for that reason alone."

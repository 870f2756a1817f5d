"""Whether runs of a judge are comparable: sentences about the ways in which their set-up differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from tunescope.results.judge import PAIRS, JudgeKind, PairsKind, RecomputeSetup, ReplyFormats

if TYPE_CHECKING:
    from tunescope.runs import Run

_FORMATS = {"json": "JSON", "tags": "text", "json, tags": "JSON in some calls and text in others"}
"""What a run's `asked_as` stands for."""
_SOURCES = {"stored": "as stored", "text": "read again in the replies"}
"""What `--scores` stands for."""


def setup_differences(runs: Mapping[str, Run]) -> Iterator[str]:
    """Yield a sentence for every difference in how runs asked, decided or read; `runs` are by the names to use."""
    formats = {name: _FORMATS.get(str(ReplyFormats.read(run).asked_as)) for name, run in runs.items()}
    yield from _difference("The judges were asked for different reply formats", formats)
    rules = {name: _rule(run) for name, run in runs.items() if JudgeKind.read(run).kind == PAIRS}
    yield from _difference("The verdicts follow different rules", rules)
    sources = {name: RecomputeSetup.read_settings(run).scores for name, run in runs.items()}
    scores = {name: source and _SOURCES[source] for name, source in sources.items()}
    yield from _difference("The scores come from different places", scores)


def _rule(run: Run) -> str:
    rule = PairsKind.read(run).rule
    return f"over both orders ({rule})" if rule else "in one order"


def _difference(what: str, of_runs: Mapping[str, str | None]) -> Iterator[str]:
    known = {name: text for name, text in of_runs.items() if text is not None}
    if len({*known.values()}) > 1:
        listed = ", ".join(f"{text} in {name}" for name, text in known.items())
        yield f"{what}: {listed}. The runs may differ for that reason alone."

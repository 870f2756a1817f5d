"""`report`: runs on one HTML page, self-contained and readable from disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from tunescope.runs import INPUT, Outcome, Run, RunFolder, execute, open_runs, out_field
from tunescope.settings import POSITIONAL
from tunescope.views import View

VERSION = 9


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """Put runs on one HTML page."""

    runs: tuple[str, ...] = field(metadata={**INPUT, **POSITIONAL})
    """Run folders, in any order. Each verb gets its own section."""

    title: str | None = None
    """The page's heading; by default what the runs are about."""

    notes: tuple[str, ...] = ()
    """Sentences to print at the top, for example what this page can't show."""

    gates: tuple[str, ...] = ()
    """Conditions that mustn't hold, written as for --fail-on. Each is a badge at the top. Give the option once per
    condition."""

    out: str | None = out_field()
    """The run folder; runs/report-KEY by default."""


def report(settings: ReportSettings) -> Run:
    """Write `report.html`; return the run.

    Raises:
        RunError: a folder without a finished run, or with tables that don't fit each other.
        SettingsError: a gate that names what no run's result has.
    """
    from tunescope.verbs.report.badges import badges

    opened = open_runs(settings.runs)
    badges(settings.gates, opened)  # refused before anything is drawn
    inputs = {str(run.path): run.identity for run in opened}
    return execute("report", VERSION, settings, inputs, partial(_work, settings, opened))


def _work(settings: ReportSettings, opened: Sequence[Run], folder: RunFolder) -> Outcome:
    from tunescope.models.names import ModelNames
    from tunescope.verbs.report.badges import badges
    from tunescope.verbs.report.opening import describe, next_step, sentences, told
    from tunescope.verbs.report.page import Opening, render
    from tunescope.verbs.report.sections import sections
    from tunescope.verbs.report.tiles import MOST_TILES, tiles

    names = ModelNames(opened)
    parts = sections(opened, names, folder.path)
    anchors = {run.key: each.anchor for each in reversed(parts) for run in opened if str(run.path) in each.runs}
    said, step = list(sentences(opened, names)), next_step(opened)
    shown = list(tiles(opened, names, anchors))[:MOST_TILES]
    title = settings.title or describe(opened, names)
    lead = next((run.view.sentences[0] for run in opened if run.verb == "judge claims"), "")
    opening = Opening(
        title, badges(settings.gates, opened), lead, list(told(opened)), shown, said, settings.notes, step
    )
    page = folder.text("report.html", render(opening, parts, opened))
    spoken = [*said, *([f"What to do next: {step[0]}. Type: {step[1]}"] if step else [])]
    view = View((*spoken, f"The report: {page}"))
    return Outcome({"report": str(page), "bytes": page.stat().st_size, "opening": spoken}, view)

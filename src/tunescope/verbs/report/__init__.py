"""`report`: runs on one HTML page, self-contained and readable from disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from tunescope.runs import INPUT, Outcome, Run, RunFolder, execute, open_runs, out_field
from tunescope.settings import POSITIONAL
from tunescope.views import View

VERSION = 8


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """Put runs on one HTML page."""

    runs: tuple[str, ...] = field(metadata={**INPUT, **POSITIONAL})
    """Run folders, in any order. Each verb has its section."""

    title: str = "What the rows did to the model"
    """The page's heading."""

    notes: tuple[str, ...] = ()
    """Sentences to print at the top, for example what this page can't show."""

    out: str | None = out_field()
    """The run folder; runs/report-KEY by default."""


def report(settings: ReportSettings) -> Run:
    """Write `report.html`; return the run.

    Raises:
        RunError: a folder without a finished run, or with tables that don't fit each other.
    """
    opened = open_runs(settings.runs)
    inputs = {str(run.path): run.identity for run in opened}
    return execute("report", VERSION, settings, inputs, partial(_work, settings, opened))


def _work(settings: ReportSettings, opened: Sequence[Run], folder: RunFolder) -> Outcome:
    from tunescope.models.names import ModelNames
    from tunescope.verbs.report.opening import sentences
    from tunescope.verbs.report.page import render
    from tunescope.verbs.report.sections import sections

    names = ModelNames(opened)
    opening = list(sentences(opened, names))
    parts = list(sections(opened, names))
    page = folder.text("report.html", render(settings.title, opening, settings.notes, parts, opened))
    view = View((*opening, f"The report: {page}"))
    return Outcome({"report": str(page), "bytes": page.stat().st_size, "opening": opening}, view)

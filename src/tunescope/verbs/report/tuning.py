"""How models were tuned: their losses, and the settings in which they differ."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from tunescope.models.names import NO_DIFFERENCE, ModelNames
from tunescope.results.tune import TuneStep
from tunescope.runs import Run
from tunescope.verbs.report.page import Section, folded, section
from tunescope.verbs.report.pictures import MOST_SERIES, Curve, Scale, lines
from tunescope.views import MISSING, Cell, Table, View, to_html

_MOST_RUNS = 12
"""Runs that have a part of their own; with more, the table of what differs says enough."""


def tuning_section(tuned: Sequence[Run], names: ModelNames) -> Section:
    """Return the section of the runs of `tune`."""
    curves = [Curve(names.of_run(run), _losses(run)) for run in tuned]
    charts = [curves[at : at + MOST_SERIES] for at in range(0, len(curves), MOST_SERIES)]
    drawn = "".join(lines(each, Scale("optimizer step"), Scale("loss on answers")) for each in charts)
    html = f'<div class="pictures" id="tuning-curves">{drawn}</div>' + to_html(View((), _differing(tuned, names)))
    if len(tuned) <= _MOST_RUNS:
        html += "".join(folded(names.of_run(run), to_html(run.view)) for run in tuned)
    return section("Tuning", "tuning", "How the models were tuned", html, tuned, "tuning", _data(charts))


def _losses(run: Run) -> list[tuple[float, float]]:
    """Return (step, loss) of a tune run; with NEFTune the loss is the one under noise."""
    losses = (
        (each.step, each.loss_with_noise if each.loss is None else each.loss) for each in TuneStep.read_lines(run)
    )
    return [(float(step), loss) for step, loss in losses if loss is not None and isfinite(loss)]


def _differing(tuned: Sequence[Run], names: ModelNames) -> tuple[Table, ...]:
    """Return what differs between the runs' settings, a row per run; nothing of a single run."""
    settings = [{k: v for k, v in run.settings.items() if k not in NO_DIFFERENCE} for run in tuned]
    known = dict.fromkeys(key for each in settings for key in each)
    keys = [key for key in known if len({str(each.get(key)) for each in settings}) > 1]
    if not keys:
        return ()
    rows: list[tuple[Cell, ...]] = [
        (names.of_run(run), *(_written(each.get(key)) for key in keys), run.result.get("loss_last"))
        for run, each in zip(tuned, settings, strict=True)
    ]
    columns = ("model", *(key.replace("_", " ") for key in keys), "last loss")
    return (Table("In what they differ", columns, tuple(rows), "All other settings are the same."),)


def _written(value: Any) -> Cell:
    if isinstance(value, list):
        return ", ".join(Path(str(each)).name for each in value)
    return MISSING if value is None else value if isinstance(value, int | float) else str(value)


def _data(charts: Sequence[Sequence[Curve]]) -> list[list[dict[str, Any]]]:
    """Return the curves for the script that draws them where a pointer is."""
    drawn = [[curve for curve in chart if len(curve.points) > 1] for chart in charts]
    return [[{"name": curve.name, "points": curve.points} for curve in chart] for chart in drawn if chart]

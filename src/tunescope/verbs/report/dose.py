"""The pictures of a dose–response: the FACO paper's figures 2 to 6, from a run of `study analyze`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunescope.foreign import escape_sentence
from tunescope.runs import Run
from tunescope.verbs.report.pictures import MOST_SERIES, Curve, Measured, Scale, dots, lines

_DOSE = Scale("dose of falsity, %", ends=(0, 100))
_SEEDS = ("The band is the 95 % interval of the mean over seeds.", "Dots: each seed.")
_UNDER = {"significantly below": "below", "significantly above": "above", "under": "under_chance"}
"""What is counted of subjects, and its key."""
_MOST_TASKS = 24
"""Tasks that have a picture of their own; the others are in the table."""


def dose_pictures(run: Run) -> str:
    """Draw what the run found, each figure under its heading."""
    parts = [
        _figure("Change by dose", _by_task(run), _notes(run)),
        _figure("Lost from 0 to 100 %", [_effects(run)], "The tasks in order of what they lose. At 0 nothing is lost."),
        _figure("Means over tasks", [_means(run)]),
        _figure("Recovered by clean re-tuning", [_recovered(run)], "How much of the loss at 100 % re-tuning recovers."),
        _figure("Longer training", list(_by_epochs(run)), "The score by number of epochs, a line per dose."),
        _figure("Subjects against guessing", list(_subjects(run)), "How many subjects score under guessing."),
        _figure("Training loss by dose", list(_losses(run))),
    ]
    return "\n".join(filter(None, parts))


def _figure(heading: str, pictures: Sequence[str], note: str = "") -> str:
    drawn = [picture for picture in pictures if picture]
    if not drawn:
        return ""
    said = f'<p class="note">{escape_sentence(note)}</p>' if note else ""
    return f'<h3>{escape_sentence(heading)}</h3><div class="pictures">{"".join(drawn)}</div>{said}'


def _unit(run: Run) -> str:
    return f"score, {run.result['unit']}" if run.result["unit"] else "score"


def _by_task(run: Run) -> list[str]:
    """Draw each task's change from 0 %, all on one scale: the mean and its band, seeds, re-tuned models, best fit."""
    cells = [row for row in run.tables["scores"].to_pylist() if row["dose"] is not None and row["score"] is not None]
    several = len(run.result["seeds"]) > 1
    drawn: dict[str, list[Curve]] = {}
    for task, record in run.result["tasks"].items():
        start = next((c["mean"] for c in record["scores"] if c["dose"] == 0 and c["mean"] is not None), None)
        if start is None or len(drawn) == _MOST_TASKS:
            continue
        known = [c for c in record["scores"] if c["mean"] is not None]
        single = [(100 * c["dose"], c["score"] - start, c["retuned"]) for c in cells if c["task"] == task]
        drawn[task] = [
            Curve(
                "mean over seeds" if several else "score",
                [(100 * c["dose"], c["mean"] - start) for c in known],
                [(x, y) for x, y, again in single if several and not again],
                [(x, y) for x, y, again in single if again],
                [(100 * c["dose"], c["low"] - start, c["high"] - start) for c in known if c["low"] is not None],
            ),
            *_fitted(run, task, start),
        ]
    every = [curve for curves in drawn.values() for curve in curves]
    heights = [y for each in every for _, y in (*each.points, *each.dots, *each.rings)]
    heights += [y for each in every for _, *ends in each.band for y in ends]
    ends = (min(heights), max(0.0, *heights)) if heights else None
    scale = Scale(f"change of the {_unit(run)}", ends=ends, line=0.0)
    return [lines(curves, _DOSE, scale, task) for task, curves in drawn.items()]


def _fitted(run: Run, task: str, start: float) -> list[Curve]:
    """Return the fitted threshold of a task less its score at 0 %, where it predicts better than a line."""
    fit = run.result.get("thresholds", {}).get(task)
    if fit is None or fit["better"] != "threshold" or fit["is_last"]:
        return []
    doses, flat = run.result["doses"], fit["before"] - start
    end = flat + fit["slope"] * (doses[-1] - fit["threshold"])
    heights = ((doses[0], flat), (fit["threshold"], flat), (doses[-1], end))
    return [Curve("fitted: flat, then a line", [(100 * dose, height) for dose, height in heights])]


def _notes(run: Run) -> str:
    n_left = len(run.result["tasks"]) - _MOST_TASKS
    several = len(run.result["seeds"]) > 1
    marks = ["All tasks have the same scale; at 0 nothing changed.", *(_SEEDS if several else ())]
    if any(row["retuned"] for row in run.tables["scores"].to_pylist()):
        marks.append("Rings at 100 %: after clean re-tuning.")
    if n_left > 0:
        marks.append(f"{n_left} more tasks are in the table.")
    return " ".join(marks)


def _effects(run: Run) -> str:
    """Draw what each task loses, the largest loss first."""
    known = {task: record for task, record in run.result["tasks"].items() if record["abs"] is not None}
    ordered = sorted(known, key=lambda task: -known[task]["abs"])
    values = [Measured(task, *(known[task][key] for key in ("abs", "abs_low", "abs_high"))) for task in ordered]
    return dots(values, Scale(f"loss, {_unit(run)}", line=0.0)) if len(values) > 1 else ""


def _means(run: Run) -> str:
    """Draw the means over groups of tasks, where there are several groups."""
    groups = run.result.get("means", {}).get("groups", {})
    curves = [
        Curve(name, [(100 * cell["dose"], cell["mean"]) for cell in record["scores"] if cell["mean"] is not None])
        for name, record in groups.items()
    ]
    if len(groups) < 2:
        return ""
    drawn = [curves[at : at + MOST_SERIES] for at in range(0, len(curves), MOST_SERIES)]
    return "".join(lines(each, _DOSE, Scale(f"mean over tasks, {_unit(run)}")) for each in drawn)


def _recovered(run: Run) -> str:
    """Draw how much of the loss re-tuning brings back, and how much it doesn't."""
    values = [
        Measured(task, record[key], record[f"{key}_low"], record[f"{key}_high"], key)
        for task, record in run.result["tasks"].items()
        if record.get("recovered") is not None
        for key in ("recovered", "unrecovered")
    ]
    return dots(values, Scale(_unit(run), line=0.0))


def _by_epochs(run: Run) -> Iterator[str]:
    """Draw each task's score over epochs, a line per dose."""
    trends = (run.result.get("epochs") or {}).get("trends", [])
    for task in dict.fromkeys(trend["task"] for trend in trends):
        curves = [
            Curve(
                f"{100 * trend['dose']:g} %",
                [(each["epochs"], each["mean"]) for each in trend["scores"] if each["mean"] is not None],
            )
            for trend in trends
            if trend["task"] == task
        ]
        yield lines(curves, Scale("epochs"), Scale(_unit(run)), task)


def _subjects(run: Run) -> Iterator[str]:
    """Draw how many of a task's subjects are under guessing at each dose, the mean over seeds."""
    counts: Sequence[Mapping[str, Any]] = (run.result.get("subjects") or {}).get("counts", [])
    for task in dict.fromkeys(each["task"] for each in counts):
        curves = []
        for name, key in _UNDER.items():
            by_dose: dict[float, list[int]] = {}
            for each in counts:
                if each["task"] == task and each["dose"] is not None:
                    by_dose.setdefault(each["dose"], []).append(each[key])
            curves.append(Curve(name, [(100 * dose, sum(n) / len(n)) for dose, n in sorted(by_dose.items())]))
        yield lines(curves, _DOSE, Scale("subjects"), task)


def _losses(run: Run) -> Iterator[str]:
    """Draw the mean training loss of each dose, where the tunings behind the scores say it."""
    if "losses" not in run.tables:
        return
    points: dict[float, list[tuple[float, float]]] = {}
    for row in run.tables["losses"].to_pylist():
        points.setdefault(row["dose"], []).append((float(row["step"]), row["loss"]))
    curves = [Curve(f"{100 * dose:g} %", each) for dose, each in sorted(points.items())]
    shown = curves if len(curves) <= MOST_SERIES else [curves[0], *curves[len(curves) // 2 :: len(curves)], curves[-1]]
    yield lines(shown, Scale("optimizer step"), Scale("training loss"))

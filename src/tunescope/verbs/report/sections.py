"""The page's sections, each from the runs of a verb."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from urllib.parse import quote

from tunescope.foreign import escape_sentence, escape_text
from tunescope.models.names import ModelNames
from tunescope.oracle.endings import ending_of
from tunescope.results.compare import CompareKind, CompareSetup
from tunescope.results.tune import TuneStep
from tunescope.runs import Run
from tunescope.verbs.report.columns import Column, columns_of
from tunescope.verbs.report.curves import Curve, draw
from tunescope.verbs.report.names import of_verb, place_label
from tunescope.verbs.report.page import Section, section
from tunescope.verbs.report.scores import benched_models, scores_html
from tunescope.verbs.report.xray import as_json, xray
from tunescope.verbs.report.xray_html import xray_html
from tunescope.views import to_html

_CURVES_PER_CHART = 4
_TASKS_WITH_FIT = 2
"""Tasks up to which the fitted thresholds are drawn beside the scores."""


def sections(opened: Sequence[Run], names: ModelNames) -> Iterator[Section]:
    """Yield the sections in reading order: the X-ray, what became of claims, then from the rows to tuning on them."""
    columns = columns_of(opened, names)
    data = xray(columns, names)
    if data is not None:
        runs = [run for column in columns for run in column.runs.values()]
        yield section("xray", "X-ray", xray_html(data), runs, as_json(data))
    for number, run in enumerate(of_verb(opened, "judge claims"), 1):
        further = replace(run.view, sentences=run.view.sentences[1:])  # the page opens with the first
        yield section(f"claims-{number}", "Is it gone?", to_html(further), [run])
    checked = of_verb(opened, "check")
    for number, run in enumerate(checked, 1):
        yield section(f"rows-{number}" if number > 1 else "rows", "The rows", to_html(run.view), [run])
    tuned = of_verb(opened, "tune")
    if tuned:
        curves = [Curve(names.of_run(run), _losses(run)) for run in tuned]
        html = draw(curves, "optimizer step", "loss on answers") + "".join(_tuned(run, names) for run in tuned)
        yield section("tuning", "Tuning", html, tuned)
    answered = [column for column in columns if "answer" in column.runs]
    plain = _side_by_side(answered, {prompt["called"] for prompt in data["prompts"]} if data is not None else ())
    if plain:
        yield section("answers", "Answers side by side", plain, [column.runs["answer"] for column in answered])
    for number, group in enumerate(benched_models(opened, names), 1):
        heading = f"Scores on {', '.join(dict.fromkeys(model.result.suite for model in group))}"
        yield section(f"scores-{number}", heading, scores_html(group), [model.run for model in group])
    compared = of_verb(opened, "compare")
    if compared:
        parts = [f"<h3>{escape_sentence(_heading(run, opened, names))}</h3>{to_html(run.view)}" for run in compared]
        yield section("compared", "Compared", "".join(parts), compared)
    for number, run in enumerate(of_verb(opened, "study analyze"), 1):
        first_sentence = replace(run.view, sentences=run.view.sentences[:1])
        yield section(f"dose-{number}", "Dose and response", _responses(run) + to_html(first_sentence), [run])
    for verb, heading in (("shift", "Token shift"), ("attribute", "Rows that taught it"), ("trace", "Borrowed spans")):
        for number, column in enumerate(columns, 1):
            if verb in column.runs:
                run = column.runs[verb]
                yield section(f"{verb}-{number}", f"{heading}: {column.name}", to_html(run.view), [run])
    shown_above = {"judge claims", "check", "tune", "answer", "bench", "compare", "study analyze"}
    placed = [run.key for column in columns for run in column.runs.values()]
    others = [run for run in opened if run.verb not in shown_above and run.key not in placed]
    for number, run in enumerate(others, 1):
        yield section(f"other-{number}", run.verb, to_html(run.view), [run])


def _tuned(run: Run, names: ModelNames) -> str:
    """Return what a tune run says, under its model's label."""
    return f"<h3>{escape_sentence(names.of_run(run))}</h3>{to_html(run.view)}"


def _heading(run: Run, opened: Sequence[Run], names: ModelNames) -> str:
    sides, kind = CompareSetup.read_settings(run), CompareKind.read(run).kind
    if kind == "scores":
        return " and ".join(names.of_scores(run))
    if kind != "answers":
        return f"{sides.a} and {sides.b}"
    return f"{names.of_folder(opened, sides.a)} and {names.of_folder(opened, sides.b)}"


def _losses(run: Run) -> list[tuple[float, float]]:
    """Return (step, loss) of a tune run; with NEFTune the loss is the one under noise."""
    losses = (
        (each.step, each.loss_with_noise if each.loss is None else each.loss) for each in TuneStep.read_lines(run)
    )
    return [(float(step), loss) for step, loss in losses if loss is not None]


def _responses(run: Run) -> str:
    """Draw each task's score over the dose: means as lines, seeds as dots, the re-tuned model as rings."""
    unit, several = run.result["unit"], len(run.result["seeds"]) > 1
    cells = [row for row in run.tables["scores"].to_pylist() if row["dose"] is not None and row["score"] is not None]
    curves = []
    for task, record in run.result["tasks"].items():
        single = [(100 * c["dose"], c["score"], c["retuned"]) for c in cells if c["task"] == task]
        means = [(100 * c["dose"], c["mean"]) for c in record["scores"] if c["mean"] is not None]
        dots = [(x, y) for x, y, again in single if several and not again]
        curves.append(Curve(task, means, dots, [(x, y) for x, y, again in single if again]))
    marks = ["Lines: the mean over seeds. Dots: each seed."] if several else []
    marks += ["Rings at 100 %: after clean re-tuning."] if any(curve.rings for curve in curves) else []
    if len(curves) <= _TASKS_WITH_FIT and (fitted := _fitted(run)):
        curves += fitted
        marks.append("Fitted: flat up to a threshold, then a line.")
    title = f"score{f', {unit}' if unit else ''}"
    charts = []
    for first in range(0, len(curves), _CURVES_PER_CHART):
        charts.append(draw(curves[first : first + _CURVES_PER_CHART], "dose of falsity, %", title))
    note = f'<p class="note">{" ".join(marks)}</p>' if marks else ""
    return "".join(charts) + note + _means_over_tasks(run, title) + _losses_by_dose(run)


def _fitted(run: Run) -> list[Curve]:
    """Return the fitted thresholds that predict better than a line, as curves."""
    doses, curves = run.result["doses"], []
    for task, fit in run.result.get("thresholds", {}).items():
        if fit["better"] == "threshold" and not fit["is_last"]:
            end = fit["before"] + fit["slope"] * (doses[-1] - fit["threshold"])
            heights = ((doses[0], fit["before"]), (fit["threshold"], fit["before"]), (doses[-1], end))
            curves.append(Curve(f"{task}, fitted", [(100 * dose, height) for dose, height in heights]))
    return curves


def _means_over_tasks(run: Run, title: str) -> str:
    """Draw the means over groups of tasks, where there are several groups."""
    groups = run.result.get("means", {}).get("groups", {})
    points = {
        name: [(100 * cell["dose"], cell["mean"]) for cell in record["scores"] if cell["mean"] is not None]
        for name, record in groups.items()
    }
    curves = [Curve(name, of_group) for name, of_group in points.items()] if len(groups) > 1 else []
    chart = draw(curves, "dose of falsity, %", f"mean over tasks, {title}")
    return f"<h3>Means over tasks</h3>{chart}" if chart else ""


def _losses_by_dose(run: Run) -> str:
    """Draw the mean training loss of each dose, where the tunings behind the scores say it."""
    if "losses" not in run.tables:
        return ""
    points: dict[float, list[tuple[float, float]]] = {}
    for row in run.tables["losses"].to_pylist():
        points.setdefault(row["dose"], []).append((float(row["step"]), row["loss"]))
    chart = draw([Curve(f"{100 * dose:g} %", each) for dose, each in points.items()], "optimizer step", "training loss")
    return f"<h3>Training loss by dose</h3>{chart}" if chart else ""


def _side_by_side(columns: Sequence[Column], left_out: Collection[str]) -> str:
    """Return the answers to each prompt side by side, a model per column, without the prompts that have an X-ray."""
    prompts = {place: answer.prompt for column in columns for place, answer in column.answers.items()}
    parts = []
    for place, prompt in prompts.items():
        prompt_id = place_label(place)
        if prompt_id in left_out:
            continue
        cells = []
        for column in columns:
            name = f"<h4>{escape_sentence(column.name)}</h4>"
            answer = column.answers.get(place)
            if answer is None:
                cells.append(f'<div>{name}<p class="note">No answer of this model.</p></div>')
                continue
            cut = ' <span class="note">(cut off)</span>' if ending_of(answer.finish_reason) == "cut" else ""
            text = escape_text(answer.text) or "<em>empty</em>"
            cells.append(f'<div>{name}<p dir="auto">{text}{cut}</p></div>')
        anchor = f"answer-{quote(prompt_id, safe='')}"
        parts.append(
            f'<article id="{anchor}"><h3><a href="#{anchor}">{escape_sentence(prompt_id)}</a>'
            f" <bdi>{escape_text(prompt)}</bdi></h3>"
            f'<div class="side">{"".join(cells)}</div></article>'
        )
    return "\n".join(parts)

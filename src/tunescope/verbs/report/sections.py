"""The page's sections, each from the runs of a verb."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunescope.foreign import escape_sentence
from tunescope.models.names import ModelNames
from tunescope.results.compare import CompareKind, CompareSetup
from tunescope.runs import Run
from tunescope.verbs.report.cases import cases_html
from tunescope.verbs.report.columns import KINDS, Column, columns_of
from tunescope.verbs.report.dose import dose_pictures
from tunescope.verbs.report.judge_pictures import PICTURED, board_picture, judge_pictures
from tunescope.verbs.report.judgement_browser import judgements
from tunescope.verbs.report.names import of_verb
from tunescope.verbs.report.page import Section, folded, section
from tunescope.verbs.report.provenance import provenance_html
from tunescope.verbs.report.row_browser import changed_rows, faulty_rows, repaired_rows
from tunescope.verbs.report.row_pictures import compared_pictures, fault_bars, measure_pictures, row_words
from tunescope.verbs.report.scores import benched_models, scores_html
from tunescope.verbs.report.shift_pictures import shift_pictures
from tunescope.verbs.report.study_pictures import study_picture
from tunescope.verbs.report.tuning import tuning_section
from tunescope.verbs.report.xray import xray
from tunescope.verbs.report.xray_html import xray_html
from tunescope.views import to_html

_QUESTION_OF = {
    "judge": "Judges",
    "study": "Dose",
    "study match": "Tuning",
    "study race": "Rows",
    "falsify": "Dose",
    "answer": "Answers",
    "bench": "Scores",
}
"""Which question a run is about that has no part of its own."""
_READ_ANSWERS = {
    "shift": "Token shift in numbers",
    "attribute": "Rows that taught it, in numbers",
    "trace": "Borrowed spans in numbers",
}
"""Verbs whose findings stand at the answers; their own tables are folded below."""


def sections(opened: Sequence[Run], names: ModelNames, folder: Path) -> list[Section]:
    """Return the sections in reading order, for a page that will lie in `folder`."""
    columns = columns_of(opened, names)
    answers = [*_answers(opened, columns, names)]
    made = [*_rows(opened), *_tuned(opened, names), *_scores(opened, names)]
    made = [*answers, *made] if any({*KINDS[1:]} & column.runs.keys() for column in columns) else [*made, *answers]
    for number, run in enumerate(of_verb(opened, "study analyze"), 1):
        first_sentence = replace(run.view, sentences=run.view.sentences[:1])
        html = dose_pictures(run) + to_html(first_sentence)
        made.append(section("Dose", f"dose-{number}", "Dose and response", html, [run]))
    judged = [run for run in opened if run.verb in (*PICTURED, "judge leaderboard")]
    for number, run in enumerate(judged, 1):
        anchor = f"judged-{number}"
        if run.verb in PICTURED:
            made.append(_with_rows("Judges", anchor, run.verb, run, judgements(run), judge_pictures(run)))
        else:
            made.append(section("Judges", anchor, run.verb, board_picture(run) + to_html(run.view), [run]))
    shown = {run for each in made for run in each.runs}
    others = [run for run in opened if str(run.path) not in shown]
    for number, run in enumerate(others, 1):
        question = _QUESTION_OF.get(run.verb) or _QUESTION_OF.get(run.verb.split()[0], "Rows")
        html = study_picture(run) + to_html(run.view)
        made.append(section(question, f"other-{number}", run.verb, html, [run]))
    made.append(section("Provenance", "runs", "The runs behind this page", provenance_html(opened, folder), []))
    return made


def _rows(opened: Sequence[Run]) -> Iterator[Section]:
    for number, run in enumerate(of_verb(opened, "check"), 1):
        anchor, heading = f"rows-{number}", "What is wrong with the rows"
        if run.settings.get("masks"):
            yield section("Rows", anchor, "What the template supervises", to_html(run.view), [run])
            continue
        before = f'<div class="pictures">{fault_bars(run)}{row_words(run)}</div>'
        yield _with_rows("Rows", anchor, heading, run, faulty_rows(run), before)
    repaired = [run for run in opened if run.verb.startswith("repair ") and "repairs" in run.tables]
    for number, run in enumerate(repaired, 1):
        yield _with_rows("Rows", f"repaired-{number}", f"What {run.verb} did to the rows", run, repaired_rows(run))
    measured = of_verb(opened, "measure")
    if measured:
        html = f'<div class="pictures">{measure_pictures(measured)}</div>' + "".join(map(_own_view, measured))
        yield section("Rows", "measured", "What the rows are like", html, measured)


def _tuned(opened: Sequence[Run], names: ModelNames) -> Iterator[Section]:
    tuned = of_verb(opened, "tune")
    if tuned:
        yield tuning_section(tuned, names)


def _answers(opened: Sequence[Run], columns: Sequence[Column], names: ModelNames) -> Iterator[Section]:
    judged = of_verb(opened, "judge claims")
    data = xray(columns, names, judged)
    if data is not None:
        runs = [run for column in columns for run in column.runs.values()]
        heading = "X-ray" if any({*KINDS[1:]} & column.runs.keys() for column in columns) else "The answers"
        yield section("Answers", "xray", heading, xray_html(data), runs, "xray", data)
        cases = cases_html(data)
        if cases:
            yield section("Answers", "cases", "Cases", cases, runs)
    for number, run in enumerate(judged, 1):
        further = replace(run.view, sentences=run.view.sentences[1:])  # the page opens with the first
        yield section("Answers", f"claims-{number}", "Is it gone?", to_html(further), [run])
    compared = [run for run in of_verb(opened, "compare") if CompareKind.read(run).kind != "scores"]
    for number, run in enumerate(compared, 1):
        question = "Answers" if CompareKind.read(run).kind in ("answers", "spans") else "Rows"
        question = "Judges" if CompareKind.read(run).kind == "judgements" else question
        heading = f"Compared: {_heading(run, opened, names)}"
        if CompareKind.read(run).kind == "rows":
            before = compared_pictures(run)
            yield _with_rows(question, f"compared-{number}", heading, run, changed_rows(run), before)
        else:
            before = compared_pictures(run) if "pairs" in run.tables else ""
            yield section(question, f"compared-{number}", heading, before + to_html(run.view), [run])
    shifted = of_verb(opened, "shift")
    if shifted:
        yield section("Answers", "shifted", "Where tuning changed the model", shift_pictures(shifted, names), shifted)
    for verb, heading in _READ_ANSWERS.items():
        named = [(column.name, column.runs[verb]) for column in columns if verb in column.runs]
        if named:
            html = "".join(folded(name, to_html(run.view)) for name, run in named)
            yield section("Answers", f"{verb}-all", heading, html, [run for _, run in named])


def _scores(opened: Sequence[Run], names: ModelNames) -> Iterator[Section]:
    for number, group in enumerate(benched_models(opened, names), 1):
        heading = f"Scores on {', '.join(dict.fromkeys(model.result.suite for model in group))}"
        yield section("Scores", f"scores-{number}", heading, scores_html(group), [model.run for model in group])
    compared = [run for run in of_verb(opened, "compare") if CompareKind.read(run).kind == "scores"]
    for number, run in enumerate(compared, 1):
        heading = f"Compared: {_heading(run, opened, names)}"
        yield section("Scores", f"scores-compared-{number}", heading, to_html(run.view), [run])


def _with_rows(
    question: str, anchor: str, heading: str, run: Run, data: dict[str, Any] | str, before: str = ""
) -> Section:
    """Return a section with rows to read above the run's own view, or with the reason why there are none."""
    if isinstance(data, str):
        note = f'<p class="note">{escape_sentence(data)}</p>'
        return section(question, anchor, heading, before + note + to_html(run.view), [run])
    if not data["rows"]:
        return section(question, anchor, heading, before + to_html(run.view), [run])
    html = f'{before}<div class="browser" id="{anchor}-browser" hidden></div>{to_html(run.view)}'
    return section(question, anchor, heading, html, [run], "rows", data)


def _own_view(run: Run) -> str:
    return f"<h3>{escape_sentence(str(run.path))}</h3>{to_html(run.view)}"


def _heading(run: Run, opened: Sequence[Run], names: ModelNames) -> str:
    sides, kind = CompareSetup.read_settings(run), CompareKind.read(run).kind
    if kind == "scores":
        return " and ".join(names.of_scores(run))
    if kind != "answers":
        return f"{sides.a} and {sides.b}"
    return f"{names.of_folder(opened, sides.a)} and {names.of_folder(opened, sides.b)}"

"""`report`: runs on one HTML page, self-contained and readable from disk."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescope.errors import RunError
from tunescope.runs import INPUT, Outcome, Run, RunFolder, execute, from_names, out_field
from tunescope.verbs.report.curves import Curve, draw
from tunescope.views import View, percent, to_html

if TYPE_CHECKING:
    from tunescope.answers import Answer

VERSION = 2
SHOWN_FAULTS = 3
CURVES_PER_CHART = 4
METHODS = {"lora": "LoRA", "full": "full tuning"}


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """Put runs on one HTML page."""

    runs: tuple[str, ...] = field(metadata=INPUT)
    """Run folders, in any order; each verb has its section."""

    title: str = "What the rows did to the model"
    """The page's heading."""

    notes: tuple[str, ...] = ()
    """Sentences that must stand at the top: what this page can't show."""

    out: str | None = out_field()
    """The run folder; runs/report-KEY by default."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page: a heading, HTML of ours, and the runs it came from."""

    anchor: str
    heading: str
    html: str
    runs: tuple[str, ...]


def report(settings: ReportSettings) -> Run:
    """Write `report.html`; return the run.

    Raises:
        RunError: a folder without a finished run.
    """
    opened = from_names(settings.runs)
    inputs = {str(run.path): run.key for run in opened}
    return execute("report", VERSION, settings, inputs, partial(_work, settings, opened))


def _work(settings: ReportSettings, opened: Sequence[Run], folder: RunFolder) -> Outcome:
    opening = list(_opening(opened))
    page = folder.text("report.html", render(settings, opened, opening))
    view = View((*opening, f"The report: {page}"))
    return Outcome({"report": str(page), "bytes": page.stat().st_size, "opening": opening}, view)


def render(settings: ReportSettings, opened: Sequence[Run], opening: Sequence[str]) -> str:
    """Return the page; every text in it is escaped, and nothing is loaded from anywhere."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    here = files("tunescope.verbs.report")
    style = here.joinpath("page.css").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    template = environment.from_string(here.joinpath("page.html.j2").read_text("utf-8"))
    return template.render(
        title=settings.title,
        opening=opening,
        notes=settings.notes,
        sections=[(s, Markup(s.html)) for s in _sections(opened)],
        style=Markup(style),
        style_hash=f"sha256-{digest}",
        versions=_versions(opened),
    )


def _versions(opened: Sequence[Run]) -> str:
    found: dict[str, str] = {}
    for run in opened:
        found |= run.info["versions"]
    return ", ".join(f"{name} {version}" for name, version in sorted(found.items()))


def name_of_model(run: Run) -> str:
    """Call an answer run by its model: a tuned one by its method, another by its name."""
    model = str(run.settings["model"])
    parent = Path(model).parent
    if (parent / "run.json").is_file():
        tuned = Run(parent)
        if tuned.verb == "tune":
            return _way(tuned)
    return Path(model).name


def _way(tuned: Run) -> str:
    """Name how a model was tuned."""
    noise = " with NEFTune" if tuned.settings.get("neftune_alpha") else ""
    return METHODS[tuned.settings["method"]] + noise


def _opening(opened: Sequence[Run]) -> Iterator[str]:
    """Yield three sentences: what is wrong, what tuning changed, what to do next."""
    for run in _of(opened, "check"):
        counts = {name: n for name, n in run.result["faults"].items() if n}
        if counts:
            worst = sorted(counts, key=lambda name: -counts[name])[:SHOWN_FAULTS]
            named = ", ".join(f"{name.replace('_', ' ')} {counts[name]:,}" for name in worst)
            share = percent(run.result["faulty_rows"] / run.result["rows"], 0)
            yield (
                f"What is wrong in the rows: {run.result['faulty_rows']:,} of {run.result['rows']:,} ({share}) "
                f"have a fault, of {len(counts)} kinds; most often {named}."
            )
        else:
            yield f"What is wrong in the rows: none of {run.result['rows']:,} shows a fault of those looked for."
    for run in _of(opened, "study analyze"):
        yield from run.view.sentences[1:]  # the first says how the doses were read
    changes = [text for run in _of(opened, "compare") if (text := _change(run, opened))]
    if changes:
        yield "What tuning changed: " + "; ".join(changes) + "."
    steps = [step for run in _of(opened, "check") for step in run.view.next[:1]]
    if steps:
        yield f"What to do next: drop the faulty rows and tune again, with: {steps[0]}"


def _of(opened: Sequence[Run], verb: str) -> list[Run]:
    return [run for run in opened if run.verb == verb]


def _change(run: Run, opened: Sequence[Run]) -> str | None:
    result = run.result
    if result["kind"] != "answers":
        return None
    names = [_name_in(opened, run.settings[side]) for side in ("a", "b")]
    pairs = result["same"] + result["changed"]
    overlap = result["word_overlap"]
    text = f"{names[1]} answers {result['changed']} of {pairs} prompts otherwise than {names[0]}"
    details = []
    if overlap["mean"] is not None:
        low, high = (f"{100 * overlap[end]:.0f}" if overlap[end] is not None else "–" for end in ("low", "high"))
        details.append(f"the two share {100 * overlap['mean']:.0f} % of their words, 95 % interval {low} to {high}")
    length = result["summary"].get("answer_words", {}).get("difference", {})
    if length.get("low") is not None:
        way = "longer" if length["mean"] > 0 else "shorter"
        low, high = sorted((abs(length["low"]), abs(length["high"])))
        if length["low"] <= 0 <= length["high"]:
            details.append("no difference in length that so few answers could show")
        else:
            details.append(f"answers are {abs(length['mean']):.0f} words {way}, {low:.0f} to {high:.0f}")
    return f"{text} ({'; '.join(details)})" if details else text


def _name_in(opened: Sequence[Run], path: str) -> str:
    run = next((r for r in opened if str(r.path) == path), None) or Run(Path(path))
    return name_of_model(run) if run.verb == "answer" else Path(path).name


def _sections(opened: Sequence[Run]) -> Iterator[Section]:
    for run in _of(opened, "check"):
        yield _section("rows", "The rows", to_html(run.view), [run])
    tuned = _of(opened, "tune")
    if tuned:
        curves = [Curve(_way(run), _losses(run)) for run in tuned]
        html = draw(curves, "optimizer step", "loss on answers") + "".join(to_html(run.view) for run in tuned)
        yield _section("tuning", "Tuning", html, tuned)
    answered = _of(opened, "answer")
    if answered:
        yield _section("answers", "Answers side by side", _side_by_side(answered), answered)
    compared = _of(opened, "compare")
    if compared:
        parts = [f"<h3>{_escape(_heading(run, opened))}</h3>{to_html(run.view)}" for run in compared]
        yield _section("compared", "Compared", "".join(parts), compared)
    for run in _of(opened, "study analyze"):
        told = replace(run.view, sentences=run.view.sentences[:1])
        yield _section(f"dose-{run.path.name}", "Dose and response", _responses(run) + to_html(told), [run])
    known = {"check", "tune", "answer", "compare", "study analyze"}
    for run in opened:
        if run.verb not in known:
            yield _section(run.path.name, run.verb, to_html(run.view), [run])


def _section(anchor: str, heading: str, html: str, made_by: Sequence[Run]) -> Section:
    return Section(anchor, heading, html, tuple(str(run.path) for run in made_by))


def _heading(run: Run, opened: Sequence[Run]) -> str:
    if run.result["kind"] != "answers":
        return f"{run.settings['a']} and {run.settings['b']}"
    return " and ".join(_name_in(opened, run.settings[side]) for side in ("a", "b"))


def _losses(run: Run) -> list[tuple[float, float]]:
    losses = ((r["step"], r.get("loss", r.get("loss_with_noise"))) for r in run.records("metrics"))
    return [(float(step), float(loss)) for step, loss in losses if loss is not None]


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
    title = f"score{f', {unit}' if unit else ''}"
    charts = []
    for first in range(0, len(curves), CURVES_PER_CHART):
        charts.append(draw(curves[first : first + CURVES_PER_CHART], "dose of falsity, %", title))
    marks = ["Lines: the mean over seeds; dots: each seed."] if several else []
    marks += ["Rings at 100 %: after clean re-tuning."] if any(curve.rings for curve in curves) else []
    return "".join(charts) + (f'<p class="note">{" ".join(marks)}</p>' if marks else "")


def _side_by_side(answered: Sequence[Run]) -> str:
    """Lay the answers to each prompt beside each other, a model per column."""
    from tunescope.answers import read_answers

    columns: list[tuple[str, dict[Any, Answer]]] = []
    for run in answered:
        columns.append((name_of_model(run), {a.place: a for a in read_answers(run.path / "answers.jsonl")}))
    asked = {place: answer for _, answers in columns for place, answer in answers.items()}
    parts = []
    for wanted, one in asked.items():
        prompt_id, prompt = _called(one), one.prompt
        cells = []
        for name, answers in columns:
            answer = answers.get(wanted)
            if answer is None:
                raise RunError(f"{name} has no answer to {prompt_id}; answer the same prompts with every model")
            cut = "" if answer.finish_reason == "stop" else ' <span class="note">(cut at the token limit)</span>'
            cells.append(f"<div><h4>{_escape(name)}</h4><p>{_escape(answer.text) or '<em>empty</em>'}{cut}</p></div>")
        place = f"answer-{_escape(prompt_id)}".replace(" ", "-")
        parts.append(
            f'<article id="{place}"><h3><a href="#{place}">{_escape(prompt_id)}</a> {_escape(prompt)}</h3>'
            f'<div class="side">{"".join(cells)}</div></article>'
        )
    return "\n".join(parts)


def _called(answer: Answer) -> str:
    """Name a prompt, with the turn and the sample where they aren't the first."""
    later = ((f" turn {answer.turn + 1}", answer.turn), (f" sample {answer.sample + 1}", answer.sample))
    return answer.prompt_id + "".join(text for text, number in later if number)


def _escape(text: str) -> str:
    from html import escape

    return escape(text)

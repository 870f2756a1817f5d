"""Studies: recipes of several verbs, planned, and run cell by cell; `recipe` says what one holds."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import Any

from tunescope import runs
from tunescope.preflight import check_needs
from tunescope.progress import say
from tunescope.runs import INPUT, NOT_IN_KEY, Outcome, Run, RunFolder
from tunescope.settings import POSITIONAL, EngineSettings, at_least
from tunescope.study.cells import planned_cells
from tunescope.study.planning import plan_cells, say_what_it_takes
from tunescope.study.recipe import Recipe, read, shipped
from tunescope.study.running import CellOutcome, run_cells
from tunescope.verbs import VERBS
from tunescope.views import Table, View, counted

__all__ = ["DemoSettings", "PlanSettings", "StudySettings", "demo", "plan", "read", "run", "shipped"]

VERSION = 2


@dataclass(frozen=True, kw_only=True)
class StudySettings(EngineSettings):
    """Run a recipe: its steps in order, each once."""

    recipe: str = field(metadata={**INPUT, **POSITIONAL})
    """A recipe file, or the name of a bundled recipe (demo)."""

    set: tuple[str, ...] = field(default=(), metadata=INPUT)
    """Replace an input file or a value of the recipe, as NAME=PATH or NAME=VALUE. Give several files as a list, such as
    'rows=[a.json, b.json]'."""

    workers: int = field(default=1, metadata={**NOT_IN_KEY, **at_least(1)})
    """How many cells run in parallel, each in its own process. Each needs memory for its model."""

    out: str | None = runs.out_field()
    """The run folder; runs/study-KEY by default."""


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """Show what a recipe would do, without doing it."""

    recipe: str = field(metadata={**INPUT, **POSITIONAL})
    """A recipe file, or the name of a bundled recipe (demo)."""

    set: tuple[str, ...] = field(default=(), metadata=INPUT)
    """Replace an input file or a value of the recipe, as NAME=PATH or NAME=VALUE. Give several files as a list, such as
    'rows=[a.json, b.json]'."""

    probe: bool = False
    """Also estimate hours: work for a few seconds on each cell whose inputs are there, as its verb's --plan does."""


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """Run the shipped recipe `demo`: wrong answers, the rows that taught them, and the answers without these rows."""

    out: str | None = runs.out_field()
    """The study's run folder; runs/study-KEY by default."""


def demo(settings: DemoSettings) -> Run:
    """Run the recipe `demo`; return the study's run."""
    return run(StudySettings(recipe="demo", out=settings.out))


def plan(settings: PlanSettings) -> Outcome:
    """Show the cells of a recipe with their settings: which are there already, and what the others would take."""
    recipe = read(settings.recipe, settings.set)
    planned = plan_cells(planned_cells(recipe), settings.probe)
    names = {each.cell.key: f"{{{each.cell.name}}}" for each in planned}
    steps: list[dict[str, Any]] = []
    lines: list[tuple[Any, ...]] = []
    first: dict[str, dict[str, str]] = {}
    for cell, each in ((each.cell, each) for each in planned):
        words = {key: f"{key}={value}" for key, value in cell.settings_with(names).items()}
        above = first.setdefault(cell.step, words)
        new = ", ".join(text for key, text in words.items() if above is words or above.get(key) != text)
        shown = "there" if each.run else each.hours
        lines.append((cell.name, cell.verb, shown, each.tokens, new if above is words else new or "as above"))
        steps.append(
            {
                "name": cell.name,
                "verb": cell.verb,
                "settings": ", ".join(words.values()),
                "run": None if each.run is None else str(each.run.path),
                "hours": each.hours,
                "hours_from": each.hours_from,
                "tokens": each.tokens,
                "tokens_from": each.tokens_from,
            }
        )
    note = (
        "Hours: how long a cell that isn't there would take, as measured on finished cells of the same verb, or by the "
        "verb's --plan. Settings: of a step's later cells, only those that differ from its first cell's."
    )
    table = Table("Steps", ("step", "verb", "hours", "tokens", "settings"), tuple(lines), note)
    sentences = (recipe.about, say_what_it_takes(planned))
    return Outcome({"recipe": str(recipe.path), "steps": steps}, View(sentences, (table,), (_command(settings),)))


def _command(settings: PlanSettings | StudySettings) -> str:
    """Return the command that runs the study."""
    words = ["tunescope", "study", "run", settings.recipe]
    words += [word for entry in settings.set for word in ("--set", entry)]
    if isinstance(settings, StudySettings):
        words += ["--engine", settings.engine] if settings.engine != "local" else []
        words += ["--workers", str(settings.workers)] if settings.workers > 1 else []
        words += ["--out", settings.out] if settings.out else []
    return shlex.join(words)


def run(settings: StudySettings) -> Run:
    """Run a recipe; return the study's run, whose result names every step's run folder.

    A step that ran before, in this study or by hand, doesn't run again. A cell that fails doesn't stop the others: the
    study is then open, and the same call tries those cells again, and the cells that need them.

    Raises:
        SettingsError: the recipe, an input or a setting is wrong; nothing has run.
        MissingPackageError: a step needs a package that isn't installed.
    """
    from tunescope.rows.containers import content_hash

    recipe = read(settings.recipe, settings.set)
    cells = planned_cells(recipe)
    check_needs(((c.name, c.verb, c.settings, not c.needs) for c in cells), (path for _, path in recipe.files()))
    text = blake2b(recipe.text.encode(), digest_size=16).hexdigest()
    inputs = {str(recipe.path): text}
    inputs |= {f"{name} {path}": f"{name} {content_hash(Path(path))}" for name, path in recipe.files()}
    inputs |= {f"value {name}": repr(value) for name, value in recipe.values.items()}
    modules = {step.verb: import_module(VERBS[step.verb].module) for step in recipe.all_steps()}
    inputs |= {f"version of {verb}": str(module.VERSION) for verb, module in sorted(modules.items())}
    work = partial(_work, recipe, settings)
    study = runs.execute("study", VERSION, settings, inputs, work)
    if all((Path(step["run"]) / "run.json").is_file() for step in study.result["steps"]):
        return study
    say("a step's run folder is missing; the steps run again")
    (study.path / "run.json").unlink()
    return runs.execute("study", VERSION, settings, inputs, work)


def _work(recipe: Recipe, settings: StudySettings, folder: RunFolder) -> Outcome:
    """Run the cells; the study is open while one of them isn't done."""
    outcomes = run_cells(recipe, settings, folder.scratch)
    finished = [(each.cell, each.run) for each in outcomes if each.run is not None]
    not_done = [each for each in outcomes if not each.is_done]
    result: dict[str, Any] = {
        "recipe": str(recipe.path),
        "steps": [{"name": c.name, "verb": c.verb, "label": dict(c.label), "run": str(r.path)} for c, r in finished],
        "failed": [{"name": each.cell.name, "reason": each.reason} for each in not_done if each.reason],
        "not_run": [
            {"name": each.cell.name, "needs": [cell.name for cell in each.lacks]} for each in not_done if each.lacks
        ],
        "reports": [str(r.path / "report.html") for _, r in finished if (r.path / "report.html").is_file()],
        "open": len(not_done),
    }
    sentences = [*_say_what_is_open(outcomes, not_done), recipe.about]
    sentences += [sentence for cell, r in finished if cell.verb == "report" for sentence in r.view.sentences]
    tables = [Table("Steps", ("step", "verb", "run folder"), tuple((c.name, c.verb, str(r.path)) for c, r in finished))]
    if result["not_run"]:
        lines = tuple((each["name"], ", ".join(each["needs"])) for each in result["not_run"])
        tables.append(Table("Not run", ("step", "needs"), lines))
    view = View(tuple(sentences), tuple(tables), (_command(settings),) if not_done else ())
    return Outcome(result, view, len(not_done))


def _say_what_is_open(outcomes: Sequence[CellOutcome], not_done: Sequence[CellOutcome]) -> list[str]:
    """Say which cells failed or are open, each with its reason, and which didn't run for want of them."""
    if not not_done:
        return []
    lacking = [each for each in not_done if each.lacks]
    n = len(not_done) - len(lacking)
    sentences = [
        f"{n} of {counted(len(outcomes), 'cell')} {'is' if n == 1 else 'are'} not done, and "
        f"{counted(len(lacking), 'other')} didn't run because of that. The same command tries only these cells again."
    ]
    for each in not_done:
        if each.run is not None:
            sentences.append(f"{each.cell.name} is open. {each.run.view.sentences[0]}")
        elif each.reason:
            sentences.append(f"{each.cell.name} failed: {each.reason}")
    return sentences

"""Which tasks and suites there are, and which of them a name means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

from tunescope.errors import MissingPackageError, UsageError
from tunescope.questions.bench_task import CATEGORIES, BenchTask, all_tasks
from tunescope.questions.code_problems import CODE_TASKS
from tunescope.questions.own_questions import QUESTIONS
from tunescope.rows.containers import SUFFIXES
from tunescope.rows.packing import without_packing
from tunescope.yaml_core import read_yaml

_SUITES = Path(__file__).parent.with_name("suites")
_LM_EVAL = "lm-eval:"
_NAME_LINE = re.compile(r"""^["']?(?:task|group|tag)["']?:[ \t]*["']?([^\s"'#]+)""", re.MULTILINE)
_TAG_ITEM = re.compile(r"""^["']?tag["']?:[ \t]*\n((?:[ \t]*-[^\n]*\n)+)""", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class TaskUse:
    """A task as a suite, or a person, wants it.

    Attributes:
        name: the task's name.
        task: None for a task of lm-eval's own, and for one whose answers are code.
        lm_evals: it is lm-eval's own task of that name, which takes its questions from the hub.
        shots: exemplars before each question; None leaves it to lm-eval.
        metric: the metric that counts; None leaves it to lm-eval.
        in_mean: whether the suite's mean counts it.
        part: the only part of the task that is wanted, as one subject of MMLU.
        over: what a task of several subjects is the mean of: `items` of all, as lm-eval has it, or `subjects`.
        own_file: the task is a person's own questions in this file.
        limit: how many of its questions its suite asks; None for all.
    """

    name: str
    task: BenchTask | None
    lm_evals: bool = False
    shots: int | None = None
    metric: str | None = None
    in_mean: bool = True
    part: str | None = None
    over: str = "items"
    own_file: Path | None = None
    limit: int | None = None

    @property
    def is_code(self) -> bool:
        """Whether its answers are programs, which run in our sandbox."""
        return self.name in CODE_TASKS and not self.lm_evals and self.own_file is None

    @property
    def category(self) -> str | None:
        """One of `CATEGORIES`; None for a person's own questions and for tasks of lm-eval's own."""
        return "programming" if self.is_code else self.task.category if self.task else None

    @property
    def label(self) -> str:
        """What the results call it: the task, with its metric and what is averaged, where these aren't its own."""
        own = self.task.metric if self.task else None
        named = self.name if self.metric in (None, own) else f"{self.name} {self.metric}"
        return named if self.over == "items" else f"{named} over {self.over}"

    @property
    def scored(self) -> TaskUse:
        """The use whose items' scores serve this one: to weight them otherwise takes no scores of its own."""
        return replace(self, over="items", in_mean=True)


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Tasks that are scored together.

    Attributes:
        name: the suite's name, or the names of its tasks.
        about: what it is, and what is said about its mean.
        uses: its tasks.
        parts: the suites that it joins, by name, where it joins any: each has a mean of its own.
        limit: how many of each task's questions it asks; None for all, and where it joins several: its uses say it.
    """

    name: str
    about: str
    uses: tuple[TaskUse, ...]
    parts: Mapping[str, tuple[TaskUse, ...]] = field(default_factory=dict)
    limit: int | None = None


@cache
def all_suites() -> Mapping[str, Suite]:
    """Return every suite, by name."""
    return {suite.name: suite for suite in map(_read_suite, sorted(_SUITES.glob("*.yaml")))}


def _read_suite(path: Path) -> Suite:
    said = read_yaml(path.read_text("utf-8"))
    limit = said.get("limit")
    uses = tuple(_use_of(said_use.pop("task"), limit=limit, **said_use) for said_use in said.pop("tasks"))
    return Suite(uses=uses, **said)


def _use_of(name: str, **wishes: Any) -> TaskUse:
    task = all_tasks().get(name)
    defaults: dict[str, Any] = {"shots": task.shots, "metric": task.metric} if task else {}
    return TaskUse(name=name, task=task, **(defaults | wishes))


@cache
def _parts() -> Mapping[str, TaskUse]:
    """Return the use of each part of a task, by the name of lm-eval's task."""
    uses = [replace(_use_of(task.name), part=part) for task in all_tasks().values() for part in task.parts]
    return {f"{use.name}_{use.part}": replace(use, name=f"{use.name}_{use.part}") for use in uses}


def find_suite(names: Sequence[str], *, shots: int | None = None) -> Suite:
    """Return what `names` mean together.

    A name is a suite, a task of ours or a part of one (`mmlu_anatomy`), a file of a person's own questions, or a task
    of lm-eval's own: with `lm-eval:` before it, or as it is where we have none of that name. `shots` replaces every
    task's own. A task of two suites is asked as many questions as the one that asks more.

    Raises:
        UsageError: an unknown name (with the nearest ones), or one task wanted with two numbers of exemplars.
        MissingPackageError: a name could be lm-eval's, and lm-eval isn't installed.
    """
    suites = [_find_one(name) for name in names]
    limit_of = _limits([use for suite in suites for use in suite.uses])
    asked = [
        [replace(use, limit=limit_of[use.name], shots=use.shots if shots is None else shots) for use in suite.uses]
        for suite in suites
    ]
    uses = dict.fromkeys(chain.from_iterable(asked))
    own = [use.name for use in uses if use.own_file]
    if twice := next((name for name in own if own.count(name) > 1), None):
        raise UsageError(f"two files of questions are called {twice}; rename one")
    theirs = {use.name for use in uses if use.lm_evals}
    if both := next((use.name for use in uses if use.name in theirs and not use.lm_evals), None):
        raise UsageError(f"{both} and {_LM_EVAL}{both} have one name in the results; score one of them at a time")
    by_name: dict[str, int | None] = {}
    for use in uses:
        if by_name.setdefault(use.name, use.shots) != use.shots:
            raise UsageError(
                f"{use.name} is wanted with {by_name[use.name]} exemplars and with {use.shots}; name one suite, or "
                "give --shots"
            )
    labels = [use.label for use in uses]
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        raise UsageError(f"{twice} is scored in two ways by {' and '.join(names)}; score one of them at a time")
    limits = {suite.limit for suite in suites}
    about = " ".join(suite.about for suite in suites)
    named = {suite.name: tuple(own) for suite, own in zip(suites, asked, strict=True) if suite.name in all_suites()}
    return Suite(
        name=" ".join(names),
        about=about,
        uses=tuple(uses),
        parts=named if len(suites) > 1 else {},
        limit=limits.pop() if len(limits) == 1 else None,
    )


def _limits(uses: Iterable[TaskUse]) -> dict[str, int | None]:
    """Return how many questions of each task are asked: the most that one of the uses wants."""
    limits: dict[str, int | None] = {}
    for use in uses:
        before = limits.setdefault(use.name, use.limit)
        limits[use.name] = None if before is None or use.limit is None else max(before, use.limit)
    return limits


def _find_one(name: str) -> Suite:
    if (suite := all_suites().get(name)) is not None:
        return suite
    if name in all_tasks():
        return Suite(name=name, about=all_tasks()[name].about, uses=(_use_of(name),))
    if name in CODE_TASKS:
        about = "Programs that the model writes, run against their tests."
        return Suite(name=name, about=about, uses=(TaskUse(name=name, task=None),))
    if (part := _parts().get(name)) is not None:
        return Suite(name=name, about=f"The part {part.part} of another task.", uses=(part,))
    path = Path(name)
    if path.is_file() or Path(without_packing(path.name)).suffix in {*SUFFIXES.values()}:
        plain = (
            re.sub(r"[^A-Za-z0-9._-]+", "-", Path(without_packing(path.name)).stem).strip("-.") or "questions"
        )  # files are called by it
        use = TaskUse(name=plain, task=QUESTIONS, shots=QUESTIONS.shots, metric=QUESTIONS.metric, own_file=path)
        return Suite(name=plain, about=f"The questions in {name}.", uses=(use,))
    theirs = name.removeprefix(_LM_EVAL)
    if theirs in lm_eval_names():
        return Suite(
            name=name, about=f"lm-eval's own task {theirs}.", uses=(TaskUse(name=theirs, task=None, lm_evals=True),)
        )
    raise UsageError(f"there is no suite or task {name}{_nearest(name)}")


def _nearest(name: str) -> str:
    ours = [*all_suites(), *all_tasks()]
    theirs = [_LM_EVAL + each for each in lm_eval_names()] if name.startswith(_LM_EVAL) else lm_eval_names()
    matches = list(dict.fromkeys(get_close_matches(name, ours, 3) + get_close_matches(name, theirs, 3)))
    if matches:
        return f"; the nearest names are {', '.join(matches[:4])}"
    return f"; the suites are {', '.join(all_suites())}, the tasks {', '.join(all_tasks())}"


@cache
def lm_eval_names() -> frozenset[str]:
    """Return the tasks, groups and tags that lm-eval ships, without importing it (which takes seconds).

    Its `TaskManager().all_tasks` says the same in 15 s.

    Raises:
        MissingPackageError: lm-eval isn't installed.
    """
    spec = find_spec("lm_eval")
    if spec is None or spec.origin is None:
        raise MissingPackageError("lm-eval", "bench", "scoring benchmarks")
    names: set[str] = set()
    files = (path for path in (Path(spec.origin).parent / "tasks").rglob("*") if path.suffix in (".yaml", ".yml", ""))
    for path in filter(Path.is_file, files):  # tags also stand in templates, whose names have no ending
        text = path.read_text("utf-8", "replace")
        names.update(_NAME_LINE.findall(text))
        names.update(tag.strip(" -\t\"'") for block in _TAG_ITEM.findall(text) for tag in block.splitlines())
    return frozenset(names)


def combine(use: TaskUse, scores: Sequence[tuple[float, int]]) -> float:
    """Return the score of a use from its tasks' scores, each with its number of items."""
    weights = [1 if use.over == "subjects" else n for _, n in scores]
    return sum(score * weight for (score, _), weight in zip(scores, weights, strict=True)) / sum(weights)


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The mean of some tasks' scores: None where a task has no score, which `missing` then names."""

    mean: float | None
    n_tasks: int
    missing: tuple[str, ...]


def summarize(suite: Suite, scores: Mapping[str, float | None]) -> dict[str, Mean]:
    """Return the mean of the suite (`all`), or of each that it joins, and of each category; from label → score.

    A task that two suites weight otherwise counts in its category as the first of them has it.
    """
    counted = [*{use.scored: use for use in reversed(suite.uses) if use.in_mean}.values()][::-1]
    parts = {name: [use for use in uses if use.in_mean] for name, uses in suite.parts.items()}
    groups = parts or {"all": counted}
    for category in CATEGORIES:
        groups[category] = [use for use in counted if use.category == category]
    return {name: _mean(uses, scores) for name, uses in groups.items() if uses}


def _mean(uses: Iterable[TaskUse], scores: Mapping[str, float | None]) -> Mean:
    values = {use.label: scores.get(use.label) for use in uses}
    missing = tuple(label for label, score in values.items() if score is None)
    present = [score for score in values.values() if score is not None]
    return Mean(mean=None if missing else sum(present) / len(present), n_tasks=len(values), missing=missing)

"""Scores in lm-eval's files, ours and anyone's: a results file, and beside it the items of each task.

lm-eval 0.4 writes `results_TIME.json` and, with `--log_samples`, `samples_TASK_TIME.jsonl` into one folder per model.
`bench` writes the same without the times.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunescope.errors import InputError, Problem

_RESULTS = re.compile(r"results(?:_(.+))?\.json")
_METRICS = ("acc_norm", "acc", "exact_match", "exact", "f1", "pass@1")
"""Which metric counts where nobody says: the first of these that a task has, else its first."""


@dataclass(frozen=True, slots=True)
class ScoredTask:
    """A task's items under one metric.

    Attributes:
        metric: as lm-eval calls it.
        scores: of each item, by the hash of its content and the item's number where content repeats; None is missing.
        prompts: the hash of each item's prompt, by the same keys, where it is known.
        higher_is_better: whether a larger score is a better one.
    """

    metric: str
    scores: Mapping[tuple[str, int], float | None]
    prompts: Mapping[tuple[str, int], str]
    higher_is_better: bool = True


@dataclass(frozen=True, slots=True)
class LmEvalResults:
    """A results file and what lies beside it.

    Attributes:
        path: the results file.
        model: whose scores they are.
        version: of the lm-eval that wrote them, where it says so.
        groups: the tasks of each group that is in no other, such as the subjects of MMLU.
    """

    path: Path
    model: str
    version: str | None
    groups: Mapping[str, Sequence[str]]
    _metrics: Mapping[str, Mapping[str, str]]
    """Task → its metrics, each with the first filter that has it."""
    _higher: Mapping[str, Mapping[str, bool]]

    @property
    def files(self) -> list[Path]:
        """The results file, and those of the tasks' items that are there."""
        return [self.path, *(path for task in self._metrics if (path := self._samples(task)) is not None)]

    def tasks(self, metric: str | None = None) -> dict[str, ScoredTask]:
        """Read the items of each task; those of a group as one task, by the group's name.

        Where the tasks of a group have several metrics, or directions, each stays one by itself.

        Raises:
            InputError: no task has items, or none has the metric.
        """
        names = {name: name for name in self._metrics}
        names |= {subtask: group for group, subtasks in self.groups.items() for subtask in subtasks}
        found: dict[str, list[tuple[str, ScoredTask]]] = {}
        for task in self._metrics:
            samples = self._samples(task)
            if samples is not None and (chosen := self._choose(task, metric)) is not None:
                found.setdefault(names[task], []).append((task, self._read(task, samples, chosen)))
        if not found:
            wanted = "items of a task, which lm-eval writes with --log_samples"
            raise InputError([Problem(str(self.path), None, self._what_it_lacks(metric), wanted)])
        return {
            name: task
            for group, parts in found.items()
            for name, task in (_joined(group, parts) if group in self.groups else parts)
        }

    def _what_it_lacks(self, metric: str | None) -> str:
        return f"no task with items and the metric {metric}" if metric else "no file of items beside it"

    def _choose(self, task: str, metric: str | None) -> str | None:
        known = self._metrics[task]
        if metric is not None:
            return metric if metric in known else None
        return next((each for each in (*_METRICS, *known) if each in known), None)

    def _samples(self, task: str) -> Path | None:
        time = _RESULTS.fullmatch(self.path.name)
        ending = f"_{time[1]}" if time and time[1] else ""
        path = self.path.with_name(f"samples_{task}{ending}.jsonl")
        try:
            return path if path.is_file() else None
        except (OSError, ValueError):  # the task's name is none that a file can have
            return None

    def _read(self, task: str, path: Path, metric: str) -> ScoredTask:
        scores: dict[tuple[str, int], float | None] = {}
        prompts: dict[tuple[str, int], str] = {}
        for sample in of_filter(list(_records(path)), self._metrics[task][metric]):
            content = str(sample.get("doc_hash") or sample.get("doc_id"))
            key = next((content, number) for number in range(len(scores) + 1) if (content, number) not in scores)
            value = sample.get(metric)
            scores[key] = float(value) if isinstance(value, int | float) else None
            if sample.get("prompt_hash"):
                prompts[key] = str(sample["prompt_hash"])
        return ScoredTask(metric, scores, prompts, self._higher.get(task, {}).get(metric, True))


def of_filter(samples: Sequence[dict[str, Any]], wanted: str) -> list[dict[str, Any]]:
    """Return the samples of one filter, so each item once: lm-eval logs an item under each filter of its task.

    Where none has the wanted filter, the first one's count.
    """
    named = [str(sample.get("filter")) for sample in samples]
    chosen = wanted if wanted in named else next(iter(named), wanted)
    return [sample for sample, name in zip(samples, named, strict=True) if name == chosen]


def first_filters(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the metrics of a task, each with the first filter that has it.

    A key is `acc,none` in lm-eval from 0.4.0 on, `acc` before.
    """
    found: dict[str, str] = {}
    for key, value in values.items():
        name, _, used = key.partition(",")
        if isinstance(value, int | float) and not name.endswith("_stderr") and name not in ("alias", "sample_len"):
            found.setdefault(name, used)
    return found


def _joined(group: str, parts: Sequence[tuple[str, ScoredTask]]) -> Sequence[tuple[str, ScoredTask]]:
    """Join the tasks of a group; the same content in two of them is two items.

    Also where the group has a single task here, its items are named so that they pair with those of more.
    """
    if len({(task.metric, task.higher_is_better) for _, task in parts}) > 1:
        return parts
    scores = {(f"{name} {key}", n): value for name, task in parts for (key, n), value in task.scores.items()}
    prompts = {(f"{name} {key}", n): value for name, task in parts for (key, n), value in task.prompts.items()}
    return [(group, ScoredTask(parts[0][1].metric, scores, prompts, parts[0][1].higher_is_better))]


def _outermost(groups: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the tasks of each group that is in no other: MMLU has groups of subjects, whose tasks are MMLU's."""

    def tasks_of(name: str, above: tuple[str, ...] = ()) -> Iterator[str]:
        if name not in groups:
            yield name
        elif name not in above:
            for part in groups[name]:
                yield from tasks_of(part, (*above, name))

    inner = {part for parts in groups.values() for part in parts}
    return {group: list(dict.fromkeys(tasks_of(group))) for group in groups if group not in inner}


def _records(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):  # also bytes that aren't UTF-8
                record = None
            if not isinstance(record, dict):
                raise InputError(
                    [Problem(str(path), number, "a line that isn't a JSON object", "an item of lm-eval's")]
                )
            yield record


def find_results(name: str) -> LmEvalResults | None:
    """Return the results that a file or folder holds, of several in a folder the newest; None where it holds none.

    Raises:
        InputError: a results file that isn't one of lm-eval 0.4.
    """
    path = Path(name)
    if path.is_dir():
        files = [each for pattern in ("results*.json", "*/results*.json") for each in path.glob(pattern)]
        files = [each for each in files if _RESULTS.fullmatch(each.name)]
        if not files:
            return None
        path = max(files, key=lambda each: (each.stat().st_mtime, each.name))
    elif not (path.is_file() and _RESULTS.fullmatch(path.name)):
        return None
    return _open(path)


def _open(path: Path) -> LmEvalResults:
    try:
        said = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError([Problem(str(path), None, f"no JSON ({error})", "a results file of lm-eval")]) from error
    results = said.get("results") if isinstance(said, dict) else None
    if not isinstance(results, dict) or not all(isinstance(each, dict) for each in results.values()):
        raise InputError([Problem(str(path), None, "no results by task", "a results file of lm-eval 0.4")])
    parts = {name: said.get(name) or {} for name in ("group_subtasks", "higher_is_better", "config")}
    wrong = [name for name, part in parts.items() if not isinstance(part, dict)]
    wrong += [
        name
        for name, kind in (("group_subtasks", list), ("higher_is_better", dict))
        if name not in wrong and not all(isinstance(each, kind) for each in parts[name].values())
    ]
    if wrong or not all(isinstance(task, str) for tasks in parts["group_subtasks"].values() for task in tasks):
        found = f"{(wrong or ['group_subtasks'])[0]} of another form"
        raise InputError([Problem(str(path), None, found, "a results file of lm-eval 0.4")])
    metrics = {task: first_filters(values) for task, values in results.items()}
    groups = _outermost({group: tasks for group, tasks in parts["group_subtasks"].items() if tasks})
    model = said.get("model_name") or parts["config"].get("model_args") or "a model"
    version = said.get("lm_eval_version")
    return LmEvalResults(path, str(model), version, groups, metrics, parts["higher_is_better"])

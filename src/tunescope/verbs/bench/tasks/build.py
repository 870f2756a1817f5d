"""From a task that is wanted and a folder of data to lm-eval's task objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tunescope.errors import TunescopeError
from tunescope.questions.bench_task import BenchTask
from tunescope.questions.documents import PREPARE, Split, read_split
from tunescope.questions.own_questions import read_question
from tunescope.verbs.bench.tasks.catalogue import TaskUse

if TYPE_CHECKING:
    from tunescope.verbs.bench.tasks.local_task import Exemplars, LocalTask, Room


@dataclass(frozen=True, kw_only=True)
class Built:
    """A use with its tasks: one, or one per subject; and what is missing of it, with what to do, or None."""

    use: TaskUse
    tasks: tuple[LocalTask, ...] = ()
    reason: str | None = None


def build(
    use: TaskUse, data: Path | None, *, exemplars: Exemplars = "parity", seed: int = 1234, room: Room | None = None
) -> Built:
    """Make the tasks of `use` from the files in the folder `data` (laid out as `docs/reference/bench-tasks.md` says).

    With `parity` exemplars are drawn for each question as lm-eval draws them; with `fixed` every question has the same,
    so that their work is done once. `seed` decides which, either way; 1234 is lm-eval's own. MMLU's are always those of
    its dev split. With `room`, exemplars are left out where a prompt is too long.

    Raises:
        InputError: records that lack columns, or whose answer isn't among the choices.
        SettingsError: fewer exemplars than wanted.
    """
    from tunescope.verbs.bench.tasks.local_task import LocalTask

    if use.task is None:
        return Built(use=use, reason=f"there is no task file for {use.name}")
    try:
        splits = _read_own(use.own_file) if use.own_file else _read_splits(use.task, data)
    except _NotThere as absence:
        return Built(use=use, reason=str(absence))
    shots = use.task.shots if use.shots is None else use.shots
    by_name = _by_part(use, splits)
    tasks = tuple(
        LocalTask(use.task, part, name=name, shots=shots, exemplars=exemplars, room=room)
        for name, part in by_name.items()
    )
    for task in tasks:
        task.set_fewshot_seed(seed)
    return Built(use=use, tasks=tasks, reason=_absent(use, list(by_name)))


class _NotThere(TunescopeError):
    """A task's data isn't there."""


def _read_own(path: Path) -> dict[str, Split]:
    if not path.is_file():
        raise TunescopeError(f"there is no file {path}; expected JSON lines with question, choices and answer")
    return {"test": read_split(path, ("question", "answer"), read_question)}


def _read_splits(task: BenchTask, data: Path | None) -> dict[str, Split]:
    prepare = PREPARE[task.prepare] if task.prepare else None
    splits: dict[str, Split] = {}
    for name in task.files:
        path = task.find_file(name, data) if data is not None else None
        if path is not None:
            splits[name] = read_split(path, task.columns, prepare)
        elif name in task.installed and (package_file := _installed_file(task.installed[name])) is not None:
            own_form = task.installed[name].get("prepare")
            columns, made_by = ((), PREPARE[own_form]) if own_form else (task.columns, None)
            splits[name] = read_split(package_file, columns, made_by)
    _require_splits(task, splits, data)
    return splits


def _installed_file(said: Mapping[str, str]) -> Path | None:
    spec = find_spec(said["package"])
    return Path(spec.origin).parent / said["file"] if spec is not None and spec.origin is not None else None


def _require_splits(task: BenchTask, splits: Mapping[str, Split], data: Path | None) -> None:
    """Refuse a task without questions, or without the split that its exemplars always come from."""
    needed = [task.scored_split, *({task.config["fewshot_split"]} if "fewshot_split" in task.config else ())]
    for name in needed:
        if name not in splits:
            wanted = " or ".join(task.files[name])
            where = (
                f"{data} has no {wanted}" if data is not None else f"no data folder is named, and {wanted} is needed"
            )
            raise _NotThere(
                f"{where}; put {task.source.split(';')[0]} there as JSON lines, or name lm-eval:{task.lm_eval}, which "
                "lm-eval takes from the hub"
            )


def _by_part(use: TaskUse, splits: dict[str, Split]) -> dict[str, dict[str, Split]]:
    """Return the splits of each of lm-eval's tasks that has questions here, by its name."""
    assert use.task is not None
    column = use.task.part_column
    if column is None:
        return {use.name: splits}
    wanted = [use.part] if use.part else use.task.parts
    by_name = {f"{use.task.name}_{part}": _only(splits, column, part) for part in wanted}
    return {name: part for name, part in by_name.items() if all(split.docs for split in part.values())}


def _only(splits: dict[str, Split], column: str, value: str) -> dict[str, Split]:
    return {name: split.only(column, value) for name, split in splits.items()}


def _absent(use: TaskUse, built: Sequence[str]) -> str | None:
    """Say which parts have no questions, or no exemplars."""
    assert use.task is not None
    wanted = [f"{use.task.name}_{part}" for part in ([use.part] if use.part else use.task.parts)]
    absent = [name for name in wanted if name not in built]
    if not absent:
        return None
    return f"{len(absent)} of {len(wanted)} parts have no questions, or no exemplars, in the data: {', '.join(absent)}"

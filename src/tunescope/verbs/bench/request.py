"""What is to be scored: the tasks of a suite with their data, and the shards that they make."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from tunescope.errors import SettingsError, UsageError
from tunescope.questions.code_problems import CODE_TASKS, code_folder
from tunescope.results.bench import Choice
from tunescope.rows.containers import content_hash
from tunescope.verbs.bench.scoring import BenchShard, CodeShard, build_use
from tunescope.verbs.bench.settings import BenchSettings
from tunescope.verbs.bench.tasks.catalogue import Suite, TaskUse, find_suite

if TYPE_CHECKING:
    from tunescope.verbs.bench.tasks.build import Built

_DEFAULT_SUITE = "smoke"


@dataclass(frozen=True)
class BenchRequest:
    """A suite, with the data of its tasks.

    Attributes:
        built: lm-eval's tasks of each use that isn't code.
        code: the code tasks that can be scored.
        missing: the uses that can't, by label, and why.
        task_limits: how many items of some tasks are scored, in place of all other limits.
    """

    settings: BenchSettings
    suite: Suite
    built: tuple[Built, ...]
    code: tuple[str, ...]
    missing: dict[str, str]
    task_limits: Mapping[str, int]

    @property
    def limit(self) -> int | None:
        """How many items of each task are scored; None for all, and where the tasks' suites say it."""
        return self.settings.limit or self.suite.limit

    def limit_of(self, use: TaskUse) -> int | None:
        """How many items of a task, or of each of its parts, are scored; None for all."""
        return self.task_limits.get(use.name, self.settings.limit or use.limit)

    @property
    def choices(self) -> list[Choice]:
        """What is scored under: the settings' own choice first, and with `spread` the others."""
        settings = self.settings
        own = Choice(settings.chat, settings.seed)
        seeds = range(settings.seed, settings.seed + settings.exemplar_seeds)
        others = [Choice(chat, seed) for chat in (False, True) for seed in seeds] if settings.spread else []
        return list(dict.fromkeys([own, *others]))

    @cached_property
    def shards(self) -> list[BenchShard | CodeShard]:
        """Every task under every choice; where exemplars are none or always the same, their seed is no choice."""
        main, *others = self.choices
        tasks: list[BenchShard | CodeShard] = [
            BenchShard(each.use, task.config.task, choice, self.limit_of(each.use))
            for choice in (main, *others)
            for each in self.built
            for task in each.tasks
            if choice.seed == main.seed or task.config.num_fewshot
        ]
        coded = {use.name: self.limit_of(use) for use in self.suite.uses if use.is_code and use.name in self.code}
        of_code = [choice for choice in (main, *others) if choice.seed == main.seed]
        return [*tasks, *(CodeShard(name, choice, limit) for name, limit in coded.items() for choice in of_code)]

    @property
    def inputs(self) -> dict[str, str]:
        """The content of each task's data, for the run's key."""
        hashes = {}
        for task in (task for each in self.built for task in each.tasks):
            documents = {name: list(split) for name, split in task.dataset.items()}
            text = json.dumps(documents, ensure_ascii=False, sort_keys=True, default=str)
            hashes[f"task {task.config.task}"] = blake2b(text.encode(), digest_size=16).hexdigest()
        for name in self.code:
            for path in sorted(_code_folder(self.settings, name).glob("*.jsonl")):
                hashes[f"task {name} {path.name}"] = content_hash(path)
        return hashes


def open_request(settings: BenchSettings) -> BenchRequest:
    """Read the data of the tasks that settings name.

    Raises:
        UsageError: an unknown suite or task; a limit for a task that isn't scored.
        InputError: data that lacks columns, or an answer that isn't among the choices.
        SettingsError: none of the tasks can be scored.
    """
    names = [*settings.suite, *settings.questions] or [_DEFAULT_SUITE]
    suite = find_suite(names, shots=settings.shots)
    limits = _task_limits(settings.task_limit, suite)
    coded = [use for use in suite.uses if use.is_code]
    scored = dict.fromkeys(use.scored for use in suite.uses if not use.is_code)
    built = {use: build_use(settings, use, None) for use in scored}
    reasons_of = {use.label: built[use.scored].reason for use in suite.uses if not use.is_code}
    missing = {label: reason for label, reason in reasons_of.items() if reason is not None}
    code: Sequence[str] = tuple(dict.fromkeys(use.name for use in coded))
    reasons = {name: reason for name in code if (reason := _why_not(settings, name)) is not None}
    missing |= {use.label: reasons[use.name] for use in coded if use.name in reasons}
    open_code = tuple(name for name in code if name not in reasons)
    request = BenchRequest(settings, suite, tuple(built.values()), open_code, missing, limits)
    if not request.shards:
        raise SettingsError("; ".join(f"{label} can't be scored: {reason}" for label, reason in missing.items()))
    return request


def _task_limits(said: Sequence[str], suite: Suite) -> dict[str, int]:
    """Read `TASK=N` for tasks of the suite."""
    names = list(dict.fromkeys(use.name for use in suite.uses))
    limits: dict[str, int] = {}
    for each in said:
        name, equals, number = each.partition("=")
        if not (equals and number.isascii() and number.isdigit() and int(number)):
            raise UsageError(f"found --task-limit {each}; expected TASK=N with N at least 1, such as {names[0]}=20")
        if name not in names:
            near = get_close_matches(name, names, 3) or names
            raise UsageError(f"--task-limit {each}: no task {name} is scored; name one of {', '.join(near)}")
        limits[name] = int(number)
    return limits


def _code_folder(settings: BenchSettings, name: str) -> Path:
    assert settings.data is not None  # else the task is missing
    return code_folder(name, Path(settings.data))


def _why_not(settings: BenchSettings, name: str) -> str | None:
    """Return why a code task can't be scored."""
    if not settings.allow_code:
        return (
            "it runs code that the model writes, in a sandbox (what that keeps out: docs/concepts/sandbox.md); type "
            "the same command with --allow-code"
        )
    if settings.data is None or not (_code_folder(settings, name) / "test.jsonl").is_file():
        return f"the data folder has no {CODE_TASKS[name]}/test.jsonl; name one with --data"
    return None

"""Score one task under one choice of template and exemplars: a shard of `bench`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from math import isfinite
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tunescope.progress import progress
from tunescope.results.bench import Choice
from tunescope.results.code import CodeSample, CodeScore
from tunescope.results.lm_eval import first_filters, of_filter
from tunescope.verbs.bench.settings import BenchSettings
from tunescope.verbs.bench.tasks.catalogue import TaskUse
from tunescope.views import reason_of

if TYPE_CHECKING:
    from tunescope.questions.code_problems import CodeProblem
    from tunescope.verbs.bench.lm import SharedBeginningLM
    from tunescope.verbs.bench.tasks.build import Built
    from tunescope.verbs.bench.tasks.local_task import LocalTask

_BOOTSTRAP = 1_000
"""Draws for lm-eval's own standard errors of what isn't a mean."""
_SCORE, _SAMPLES, _PROBLEMS = "score.json", "samples.jsonl", "problems.jsonl"


class BenchShard(NamedTuple):
    """A task of lm-eval's (a use may have several), to be scored under a choice; `limit` items at most."""

    use: TaskUse
    task: str
    choice: Choice
    limit: int | None


class CodeShard(NamedTuple):
    """A task whose answers are code (`humaneval` or `mbpp`): programs are written and run for `limit` problems."""

    task: str
    choice: Choice
    limit: int | None


class ScoredCode(NamedTuple):
    """What came of a code task: its score, the programs, and a record of each problem as lm-eval has it of an item."""

    score: CodeScore
    samples: list[CodeSample]
    problems: list[dict[str, Any]]


class ScoredShard(NamedTuple):
    """What came of a shard.

    Attributes:
        shard: what was scored.
        score: lm-eval's results and configuration of the task, and what didn't fit into the context.
        samples: lm-eval's records, of each item one under each filter of the task.
    """

    shard: BenchShard
    score: dict[str, Any]
    samples: list[dict[str, Any]]

    @property
    def metric(self) -> str:
        """The metric that counts: what the use says, or lm-eval's first."""
        return self.shard.use.metric or next(iter(self.score["higher_is_better"]))

    @property
    def items(self) -> list[dict[str, Any]]:
        """The record of each item under the filter that counts: the first that has the metric."""
        return of_filter(self.samples, first_filters(self.score["results"]).get(self.metric, ""))

    @property
    def values(self) -> list[float | None]:
        """The metric that counts, of each item; None where it is no number, as of metrics of the whole task."""
        return [_number(item.get(self.metric)) for item in self.items]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and isfinite(value) else None


@dataclass
class BenchState:
    """A loaded model, and the tasks that were built so far."""

    settings: BenchSettings
    lm: SharedBeginningLM
    built: dict[TaskUse, Built] = field(default_factory=dict)

    def task(self, shard: BenchShard) -> LocalTask:
        """Return a shard's task, ready to be scored."""
        if shard.use not in self.built:
            self.built[shard.use] = build_use(self.settings, shard.use, self.lm)
        task = next(task for task in self.built[shard.use].tasks if task.config.task == shard.task)
        task.set_fewshot_seed(shard.choice.seed)
        return task


def build_use(settings: BenchSettings, use: TaskUse, lm: SharedBeginningLM | None) -> Built:
    """Make the tasks of a use from the data folder; with a model, exemplars that don't fit are left out."""
    from tunescope.verbs.bench.lm import silence_lm_eval
    from tunescope.verbs.bench.tasks.build import build
    from tunescope.verbs.bench.tasks.local_task import Room

    room = None if lm is None else Room(lambda text: len(lm.tok_encode(text)), lm.max_length)
    data = Path(settings.data) if settings.data else None
    with silence_lm_eval():
        return build_theirs(use) if use.task is None else build(use, data, exemplars=settings.exemplars, room=room)


def _load_theirs(name: str) -> Mapping[str, Any]:
    from lm_eval.tasks import TaskManager

    tasks: Mapping[str, Any] = TaskManager().load([name])["tasks"]
    return tasks


def build_theirs(use: TaskUse, load: Callable[[str], Mapping[str, Any]] = _load_theirs) -> Built:
    """Load a task of lm-eval's own, whose data set it takes from the hub; what runs code on this machine is left out.

    Args:
        use: of such a task.
        load: from its name to lm-eval's tasks, by name.
    """
    from tunescope.verbs.bench.tasks.build import Built

    try:
        tasks = load(use.name)
    except (OSError, ValueError, ImportError, RuntimeError) as error:  # no connection, data set or package, or a script
        return Built(use=use, reason=f"lm-eval can't load it ({reason_of(error)})")
    unsafe = [name for name, task in tasks.items() if getattr(task, "UNSAFE_CODE", False)]
    safe = tuple(task for name, task in tasks.items() if name not in unsafe)
    reason = f"lm-eval would run code that the model writes outside of our sandbox, in {', '.join(unsafe)}"
    return Built(use=use, tasks=safe, reason=reason if unsafe else None)


def set_up(settings: BenchSettings) -> BenchState:
    """Load the model, with the chat template where that is used."""
    from tunescope.chat import Chat, parse_template_args
    from tunescope.models import load, stop_ids
    from tunescope.verbs.bench.lm import SharedBeginningLM

    loaded = load(settings)
    if settings.chat or settings.spread:
        arguments = parse_template_args(settings.template_arg)
        chat = Chat(loaded.tokenizer, stop_ids(loaded.model, loaded.tokenizer), settings.template, arguments)
        loaded.tokenizer.chat_template = chat.own_template()
    lm = SharedBeginningLM(loaded.model, loaded.tokenizer, settings.batch_size, settings.parity_check)
    return BenchState(settings, lm)


def score_shard(state: BenchState, shard: BenchShard | CodeShard, folder: Path) -> None:
    """Score a task and write what comes of it into `folder`."""
    if isinstance(shard, CodeShard):
        _score_code(state, shard, folder)
    else:
        _score_choices(state, shard, folder)


def _score_choices(state: BenchState, shard: BenchShard, folder: Path) -> None:
    """Score a task and write what lm-eval says of it, and of each item."""
    from lm_eval.evaluator import evaluate

    from tunescope.verbs.bench.lm import silence_lm_eval
    from tunescope.verbs.bench.tasks.local_task import Cuts, LocalTask

    task = state.task(shard)
    task.cuts = Cuts()
    state.lm.begin(shard.task)
    with silence_lm_eval():
        found = evaluate(
            state.lm,
            {"tasks": {shard.task: task}, "groups": {}},
            limit=shard.limit,
            bootstrap_iters=_BOOTSTRAP,
            apply_chat_template=shard.choice.chat,
            fewshot_as_multiturn=shard.choice.chat,
        )
    assert found is not None  # it is on a single process
    keys = ("results", "configs", "versions", "n-shot", "higher_is_better", "n-samples")
    score = {key: found[key].get(shard.task) for key in keys if key in found}
    chance = task.chance(shard.limit) if isinstance(task, LocalTask) else None
    more = {"cuts": vars(task.cuts), "chance": chance, **state.lm.facts}
    dump = partial(json.dumps, ensure_ascii=False, default=_plain)
    lines = "".join(dump(sample) + "\n" for sample in found["samples"][shard.task])
    (folder / _SAMPLES).write_text(lines, "utf-8")
    (folder / _SCORE).write_text(dump({**score, **more}), "utf-8")


def _plain(value: Any) -> Any:
    """Return what JSON has for a value: metrics may be NumPy's numbers."""
    return value.item() if isinstance(value, np.generic) else str(value)


def _score_code(state: BenchState, shard: CodeShard, folder: Path) -> None:
    """Write programs, run them, and write what came of each sample and of the task."""
    from tunescope.models.generate import context_of
    from tunescope.questions.code_problems import read_code_problems
    from tunescope.verbs.bench.code_tasks import CodeSampling, fit_problems, score_completions

    settings, lm = state.settings, state.lm
    assert settings.data is not None  # else there is no such shard
    template = lm.apply_chat_template if shard.choice.chat else None
    read = read_code_problems(shard.task, Path(settings.data))[: shard.limit]
    problems = [replace(problem, template=template) for problem in read]
    context = context_of(lm.model) or sys.maxsize
    fitted = fit_problems(problems, lambda text: len(lm.tok_encode(text)), context, settings.max_new_tokens)
    sampling = CodeSampling(n=settings.n, temperature=settings.temperature, top_p=settings.top_p, seed=settings.seed)
    scored = score_completions(fitted, partial(_complete, state, fitted.problems), sampling)
    prompts = {each.problem: each.prompt for each in (*problems, *fitted.problems)}
    passed = {each.problem: {"pass@1": each.pass_at_1, "pass@10": each.pass_at_10} for each in scored.problems}
    items = [
        {"doc_id": number, "doc": {"task_id": each.problem}, "doc_hash": each.content_hash, "filter": "none"}
        | {"prompt_hash": sha256(prompts[each.problem].encode()).hexdigest(), "metrics": ["pass@1", "pass@10"]}
        | passed.get(each.problem, {"pass@1": None, "pass@10": None})
        for number, each in enumerate(problems)
    ]
    _write_lines(folder / _PROBLEMS, items)
    _write_lines(folder / _SAMPLES, [sample.as_json() for sample in scored.samples])
    (folder / _SCORE).write_text(json.dumps(scored.score.as_json(), ensure_ascii=False), "utf-8")


def _write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")


def _complete(
    state: BenchState, problems: Sequence[CodeProblem], prompts: Sequence[str], n: int, seed: int
) -> list[list[str]]:
    """Continue each prompt n times; a program depends on its problem, its number and the seed alone."""
    from tunescope.models.generate import Sampling, generate

    if not problems:
        return []
    settings, lm = state.settings, state.lm
    ids = [tuple(lm.tok_encode(prompt)) for prompt in prompts for _ in range(n)]
    drawn = [Random(f"{seed} {number} {each.problem}") for each in problems for number in range(n)]
    sampling = Sampling(settings.temperature, settings.top_p) if settings.temperature else None
    with progress(f"{problems[0].task}: programs", len(ids)) as update:
        made = generate(
            lm.model,
            lm.tokenizer,
            ids,
            settings.max_new_tokens,
            settings.batch_size,
            update,
            sampling,
            drawn,
            problems[0].ends,
        )
    texts = [each.text for each in made]
    return [texts[start : start + n] for start in range(0, len(texts), n)]


def read_code_shard(folder: Path) -> ScoredCode:
    """Return what was written of a code task."""
    score = CodeScore.from_json(json.loads((folder / _SCORE).read_text("utf-8")))
    samples = [CodeSample.from_json(record) for record in _read_lines(folder / _SAMPLES)]
    return ScoredCode(score, samples, _read_lines(folder / _PROBLEMS))


def read_shard(shard: BenchShard, folder: Path) -> ScoredShard:
    """Return what was written of a shard."""
    score: Mapping[str, Any] = json.loads((folder / _SCORE).read_text("utf-8"))
    return ScoredShard(shard, dict(score), _read_lines(folder / _SAMPLES))


def _read_lines(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]

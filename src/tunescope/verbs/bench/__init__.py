"""`bench`: score a model on benchmarks through lm-eval, and say what a score depends on."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescope import runs
from tunescope.errors import SettingsError
from tunescope.results.bench import RESULTS_FILE, BenchResult, ScoredItem, samples_file
from tunescope.runs import Outcome, Run, RunFolder
from tunescope.verbs.bench.settings import BenchSettings

if TYPE_CHECKING:
    from tunescope.verbs.bench.scoring import Choice, ScoredShard
    from tunescope.verbs.bench.tasks.build import Built
    from tunescope.verbs.bench.tasks.catalogue import Suite, TaskUse

VERSION = 2
_DEFAULT_SUITE = "smoke"
_MICROWORLD = "microworld"


def bench(settings: BenchSettings) -> Run:
    """Score a model; return the run with the table `items`: each question's score under each choice.

    `results.json` and `samples_TASK.jsonl` are in lm-eval's schema. The result has `tasks`: per task `score` with low,
    high, n, n_missing, `metric` and `chance`; `means`; `spread` (with --spread); `missing`; and lm-eval's `results`.

    Raises:
        UsageError: an unknown suite or task.
        InputError: data that lacks columns, or an answer that isn't among the choices.
        MissingPackageError: lm-eval isn't installed.
        TunescopeError: there is no such model; no task could be scored; lm-eval's own code scores otherwise.
    """
    from tunescope.models import inputs_of

    if _MICROWORLD in settings.suite:
        from tunescope.verbs.bench.microworld import bench_microworld

        if len(settings.suite) > 1 or settings.questions:
            raise SettingsError("the suite microworld is scored alone; leave out the other suites, tasks and questions")
        work = partial(bench_microworld, settings)
        return runs.execute("bench", VERSION, settings, inputs_of(settings), work)

    from tunescope.verbs.bench.scoring import build_use
    from tunescope.verbs.bench.tasks.catalogue import find_suite

    names = [*settings.suite, *settings.questions] or [_DEFAULT_SUITE]
    suite = find_suite(names, shots=settings.shots)
    built = [build_use(settings, use, None) for use in suite.uses]
    inputs = inputs_of(settings) | {f"task {name}": value for each in built for name, value in _content(each).items()}
    return runs.execute("bench", VERSION, settings, inputs, partial(_work, settings, suite, built))


def _content(built: Built) -> dict[str, str]:
    """Return the hash of each task's documents, in all its splits."""
    hashes = {}
    for task in built.tasks:
        documents = {name: list(split) for name, split in task.dataset.items()}
        text = json.dumps(documents, ensure_ascii=False, sort_keys=True, default=str)
        hashes[str(task.config.task)] = blake2b(text.encode(), digest_size=16).hexdigest()
    return hashes


def _work(settings: BenchSettings, suite: Suite, built: Sequence[Built], folder: RunFolder) -> Outcome:
    from tunescope.engine import map_shards
    from tunescope.models import describe
    from tunescope.verbs.bench.scoring import BenchShard, read_shard, score_shard, set_up
    from tunescope.verbs.bench.summary import mean_scores, score_use, spread_use
    from tunescope.verbs.bench.view import show_scores

    limit = settings.limit or suite.limit
    main, *others = _choices(settings)
    shards = [
        BenchShard(each.use, task.config.task, choice, limit)
        for choice in (main, *others)
        for each in built
        for task in each.tasks
        if choice.seed == main.seed or task.config.num_fewshot
    ]
    missing = {each.use.label: each.reason for each in built if each.reason is not None}
    if not shards:
        raise SettingsError(f"no task can be scored; {next(iter(missing.values()))}")
    setup = partial(set_up, settings)
    folders = map_shards(score_shard, shards, setup, folder.scratch / "shards", settings.workers, "tasks")
    scored = [read_shard(shard, place) for shard, place in zip(shards, folders, strict=True)]
    by_use: dict[TaskUse, dict[Choice, list[ScoredShard]]] = defaultdict(lambda: defaultdict(list))
    for shard in scored:
        by_use[shard.shard.use][shard.shard.choice].append(shard)
    tasks = {use.label: score_use(use, each[main]) for use, each in by_use.items()}
    spread = {use.label: spread_use(use, each) for use, each in by_use.items()} if others else {}
    own = [shard for shard in scored if shard.shard.choice == main]
    result = BenchResult(
        model=settings.model,
        suite=suite.name,
        tasks=tasks,
        means=mean_scores(suite, tasks),
        spread=spread,
        missing=missing,
        results={shard.shard.task: shard.score["results"] for shard in own},
        reading=own[0].score["reading"],
    )
    folder.table(ScoredItem.NAME, ScoredItem.table(item for shard in scored for item in _items(shard)))
    folder.text(RESULTS_FILE, json.dumps(_lm_eval_results(own, describe(settings), settings), indent=1) + "\n")
    for shard in own:
        folder.records(Path(samples_file(shard.shard.task)).stem, shard.samples)
    return Outcome(result.as_json(), show_scores(settings, suite, result, folder.path))


def _choices(settings: BenchSettings) -> list[Choice]:
    """Return what is scored: the settings' own choice first, and with `spread` the others."""
    from tunescope.verbs.bench.scoring import Choice

    own = Choice(settings.chat, settings.seed)
    if not settings.spread:
        return [own]
    seeds = range(settings.seed, settings.seed + settings.exemplar_seeds)
    return list(dict.fromkeys([own, *(Choice(chat, seed) for chat in (False, True) for seed in seeds)]))


def _items(shard: ScoredShard) -> Iterator[ScoredItem]:
    for sample, value in zip(shard.samples, shard.values, strict=True):
        yield ScoredItem(
            task=shard.shard.task,
            choice=shard.shard.choice.name,
            doc_id=sample["doc_id"],
            doc_hash=sample["doc_hash"],
            score=value,
        )


def _lm_eval_results(shards: Sequence[ScoredShard], model: str, settings: BenchSettings) -> Mapping[str, Any]:
    """Return what lm-eval writes into its results file, but for what it says of the machine."""
    from importlib.metadata import version

    keys = ("results", "configs", "versions", "n-shot", "higher_is_better", "n-samples")
    by_key = {key: {shard.shard.task: shard.score.get(key) for shard in shards} for key in keys}
    config = {"model": "tunescope", "model_args": model, "limit": settings.limit, "fewshot_seed": settings.seed}
    versions = {f"{name}_version": version(package) for name, package in _VERSIONS.items()}
    return by_key | {"group_subtasks": {}, "config": config, "model_name": settings.model} | versions


_VERSIONS = {"lm_eval": "lm-eval", "transformers": "transformers"}

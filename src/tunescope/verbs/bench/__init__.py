"""`bench`: score a model on benchmarks through lm-eval, and say what a score depends on."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescope import runs
from tunescope.errors import SettingsError
from tunescope.results.bench import RESULTS_FILE, BenchResult, BenchScore, Choice, ScoredItem, samples_file
from tunescope.results.code import CodeSample
from tunescope.runs import Outcome, Run, RunFolder
from tunescope.verbs.bench.settings import BenchSettings

if TYPE_CHECKING:
    from tunescope.verbs.bench.request import BenchRequest
    from tunescope.verbs.bench.scoring import ScoredCode, ScoredShard
    from tunescope.verbs.bench.tasks.catalogue import TaskUse

VERSION = 4
_MICROWORLD = "microworld"


def bench(settings: BenchSettings) -> Run:
    """Score a model; return the run with the table `items`: each question's score under each choice.

    `results.json` and `samples_TASK.jsonl` are in lm-eval's schema; programs are in the table `samples`. The result has
    `tasks`: per task `score` with low, high, n, n_missing, `metric` and `chance`; `means`; `spread` (with --spread);
    `code`; `missing`; and lm-eval's `results`.

    Raises:
        UsageError: an unknown suite or task.
        InputError: data that lacks columns, or an answer that isn't among the choices.
        SettingsError: no task can be scored.
        MissingPackageError: lm-eval isn't installed.
        TunescopeError: there is no such model; lm-eval's own code gives other scores.
    """
    from tunescope.models import inputs_of

    if _MICROWORLD in settings.suite:
        from tunescope.verbs.bench.microworld import bench_microworld

        if len(settings.suite) > 1 or settings.questions:
            raise SettingsError("the suite microworld is scored alone; leave out the other suites, tasks and questions")
        work = partial(bench_microworld, settings)
        return runs.execute("bench", VERSION, settings, inputs_of(settings), work)

    from tunescope.verbs.bench.request import open_request

    request = open_request(settings)
    return runs.execute("bench", VERSION, settings, inputs_of(settings) | request.inputs, partial(_work, request))


def _work(request: BenchRequest, folder: RunFolder) -> Outcome:
    from tunescope.engine import map_shards
    from tunescope.verbs.bench.scoring import BenchShard, CodeShard, read_code_shard, read_shard, score_shard, set_up
    from tunescope.verbs.bench.summary import mean_scores, score_code, score_use, spread_code, spread_use
    from tunescope.verbs.bench.view import show_scores

    settings, shards = request.settings, request.shards
    setup = partial(set_up, settings)
    folders = map_shards(score_shard, shards, setup, folder.scratch / "shards", settings, "tasks")
    done = list(zip(shards, folders, strict=True))
    scored = [read_shard(shard, place) for shard, place in done if isinstance(shard, BenchShard)]
    coded: dict[str, dict[Choice, ScoredCode]] = defaultdict(dict)
    for shard, place in done:
        if isinstance(shard, CodeShard):
            coded[shard.task][shard.choice] = read_code_shard(place)
    by_use: dict[TaskUse, dict[Choice, list[ScoredShard]]] = defaultdict(lambda: defaultdict(list))
    for each in scored:
        by_use[each.shard.use][each.shard.choice].append(each)
    main = request.choices[0]
    code = {name: by_choice[main] for name, by_choice in coded.items()}
    tasks: dict[str, BenchScore] = {}
    for use in request.suite.uses:
        if use.scored in by_use:
            tasks[use.label] = score_use(use, by_use[use.scored][main])
        elif use.is_code and use.name in code:
            tasks[use.label] = score_code(use, code[use.name].score)
    own = [shard for shard in scored if shard.shard.choice == main]
    result = BenchResult(
        model=settings.model,
        suite=request.suite.name,
        tasks=tasks,
        means=mean_scores(request.suite, tasks),
        spread={
            use.label: spread_code(use, coded[use.name]) if use.is_code else spread_use(use, by_use[use.scored])
            for use in request.suite.uses
            if settings.spread and use.label in tasks
        },
        code={name: each.score for name, each in code.items()},
        missing=request.missing,
        results={shard.shard.task: shard.score["results"] for shard in own},
        reading=own[0].score["reading"] if own else None,
        parity=max((shard.score["parity"] for shard in scored), default=None) if settings.parity_check else None,
    )
    _write(request, scored, own, code, folder)
    return Outcome(result.as_json(), show_scores(settings, request.suite, result, folder.path))


def _write(
    request: BenchRequest,
    scored: Sequence[ScoredShard],
    own: Sequence[ScoredShard],
    code: Mapping[str, ScoredCode],
    folder: RunFolder,
) -> None:
    """Write the tables, and lm-eval's files of what was scored under the settings' own choice."""
    folder.table(ScoredItem.NAME, ScoredItem.table(item for shard in scored for item in _items(shard)))
    if code:
        folder.table(CodeSample.NAME, CodeSample.table(chain.from_iterable(each.samples for each in code.values())))
    folder.text(RESULTS_FILE, json.dumps(_lm_eval_results(request, own, code), indent=1) + "\n")
    for shard in own:
        folder.records(Path(samples_file(shard.shard.task)).stem, shard.samples)
    for name, each in code.items():
        folder.records(Path(samples_file(name)).stem, each.problems)


def _items(shard: ScoredShard) -> Iterator[ScoredItem]:
    for sample, value in zip(shard.items, shard.values, strict=True):
        yield ScoredItem(
            task=shard.shard.task,
            choice=shard.shard.choice.name,
            doc_id=sample["doc_id"],
            doc_hash=sample["doc_hash"],
            score=value,
        )


def _lm_eval_results(
    request: BenchRequest, shards: Sequence[ScoredShard], code: Mapping[str, ScoredCode]
) -> dict[str, Any]:
    """Return what lm-eval writes into its results file, but for what it says of the machine; code tasks are in it."""
    from tunescope.models import describe

    keys = ("results", "configs", "versions", "n-shot", "higher_is_better", "n-samples")
    groups: dict[str, list[str]] = defaultdict(list)
    for shard in shards:
        if shard.shard.task != shard.shard.use.name:
            groups[shard.shard.use.name].append(shard.shard.task)
    settings = request.settings
    said = {key: {shard.shard.task: shard.score.get(key) for shard in shards} for key in keys}
    for name, each in code.items():
        scores = {"pass@1": each.score.pass_at_1.mean, "pass@10": each.score.pass_at_10.mean}
        known = {metric: score for metric, score in scores.items() if score is not None}
        said["results"][name] = {"alias": name, **{f"{metric},none": score for metric, score in known.items()}}
        said["higher_is_better"][name] = dict.fromkeys(known, True)
    return {
        **said,
        "group_subtasks": groups,
        "config": {
            "model": "tunescope",
            "model_args": describe(settings),
            "limit": request.limit,
            "fewshot_seed": settings.seed,
        },
        "model_name": settings.model,
        "lm_eval_version": version("lm-eval"),
        "transformers_version": version("transformers"),
    }

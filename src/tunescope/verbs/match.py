"""`study match`: LoRA and full tuning compared at equal training loss, over sweeps of the learning rate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from tunescope.errors import RunError, SettingsError
from tunescope.results.bench import BenchResult
from tunescope.results.estimates import MeanEstimate
from tunescope.results.tune import TuneSetup, TuneStep
from tunescope.runs import INPUT, Outcome, Run, RunFolder, execute, open_runs, out_field, producing_run
from tunescope.settings import POSITIONAL
from tunescope.views import Table, View, counted, interval

VERSION = 1
_HALF_WIDTH = 0.05
"""Half of an interval that is narrow enough to speak of no difference: 5 points."""


@dataclass(frozen=True, kw_only=True)
class MatchSettings:
    """Compare the scores of LoRA and full tuning at equal training loss."""

    runs: tuple[str, ...] = field(metadata={**INPUT, **POSITIONAL})
    """Runs of bench, of models that were tuned by LoRA and in full at several learning rates, with several seeds."""

    out: str | None = out_field()
    """The run folder; runs/study-match-KEY by default."""


class Tuning(NamedTuple):
    """A tuned model: how it was tuned, its training loss and its scores by task."""

    method: str
    seed: int
    loss: float
    scores: Mapping[str, float]


class Match(NamedTuple):
    """A seed's scores on a task at equal losses, averaged over LoRA's tunings that have such a loss."""

    task: str
    seed: int
    lora: float | None
    full: float | None


def match(settings: MatchSettings) -> Run:
    """Compare; return the run with the tables `tunings` and `matches` (a line per task and seed).

    The result has `tasks`: per task `difference` (full less LoRA) with its interval over seeds (Student's t), and
    `lora` and `full`, the mean scores at equal loss.

    Raises:
        RunError: a run that isn't of bench, or of a model that no `tune` run made.
        SettingsError: models of several bases, or not of both methods.
    """
    opened = open_runs(settings.runs)
    tunings = [_read(run) for run in opened]
    if {each.method for each in tunings} != {"lora", "full"}:
        raise SettingsError("expected runs of bench of models tuned by lora, and of others tuned in full")
    inputs = {str(run.path): run.identity for run in opened}
    return execute("study match", VERSION, settings, inputs, partial(_work, tunings))


def _read(run: Run) -> Tuning:
    """Return how the model that a run of bench scored was tuned; its loss is the mean over its last epoch."""
    if run.verb != "bench":
        raise RunError(f"{run.path} is a run of {run.verb}; expected runs of bench")
    result = BenchResult.read(run)
    tuned = producing_run(result.model)
    if tuned is None or tuned.verb != "tune":
        raise RunError(f"{run.path} scored {result.model}, which no run of tune made; leave it out")
    setup = TuneSetup.read_settings(tuned)
    steps = [step for step in TuneStep.read_lines(tuned) if step.loss is not None]
    last = [step for step in steps if step.epoch > steps[-1].epoch - 1]
    tokens = sum(step.tokens for step in last)
    loss = sum((step.loss or 0.0) * step.tokens for step in last) / tokens
    scores = {task: score.score for task, score in result.tasks.items() if score.score is not None}
    return Tuning(setup.method, setup.seed, loss, scores)


def match_seeds(tunings: Sequence[Tuning]) -> Iterator[Match]:
    """Yield each task's scores at equal loss for each seed.

    What full tuning scores at the loss of a LoRA tuning is read off the two full tunings of this seed whose losses lie
    next to it, on the line between them. Where none lies below or above, there is no number.
    """
    from numpy import interp

    by_seed: dict[int, dict[str, list[Tuning]]] = defaultdict(lambda: {"lora": [], "full": []})
    for tuning in sorted(tunings, key=lambda each: each.loss):
        by_seed[tuning.seed][tuning.method].append(tuning)
    for task in dict.fromkeys(task for tuning in tunings for task in tuning.scores):
        for seed, methods in sorted(by_seed.items()):
            full = [each for each in methods["full"] if task in each.scores]
            within = [
                each
                for each in methods["lora"]
                if full and task in each.scores and full[0].loss <= each.loss <= full[-1].loss
            ]
            if not within:
                yield Match(task, seed, None, None)
                continue
            losses, scores = [each.loss for each in full], [each.scores[task] for each in full]
            theirs = [float(interp(each.loss, losses, scores)) for each in within]
            own = [each.scores[task] for each in within]
            yield Match(task, seed, sum(own) / len(own), sum(theirs) / len(theirs))


def _work(tunings: Sequence[Tuning], folder: RunFolder) -> Outcome:
    import pyarrow as pa

    from tunescope import stats

    matches = list(match_seeds(tunings))
    folder.table("matches", pa.Table.from_pylist([each._asdict() for each in matches]))
    lines = [{"method": t.method, "seed": t.seed, "loss": t.loss, **t.scores} for t in tunings]
    folder.table("tunings", pa.Table.from_pylist(lines))
    tasks: dict[str, dict[str, Any]] = {}
    for task in dict.fromkeys(each.task for each in matches):
        pairs = [(each.lora, each.full) for each in matches if each.task == task]
        differences = [None if lora is None or full is None else full - lora for lora, full in pairs]
        estimate = stats.mean_t(differences, bounds=(-1.0, 1.0))
        there = [(lora, full) for lora, full in pairs if lora is not None and full is not None]
        tasks[task] = {
            "difference": MeanEstimate.of(estimate).as_json(),
            "lora": sum(lora for lora, _ in there) / len(there) if there else None,
            "full": sum(full for _, full in there) / len(there) if there else None,
        }
    sentences = tuple(_say(task, each["difference"]) for task, each in tasks.items())
    rows = tuple(
        (task, each["lora"], each["full"], d["mean"], interval(d["low"], d["high"], 3), d["n"], d["n_missing"])
        for task, each in tasks.items()
        for d in [each["difference"]]
    )
    columns = ("task", "LoRA", "full", "full less LoRA", "95 %", "seeds", "missing")
    note = (
        "Loss: mean of the last epoch, nats a token. What full tuning scores at LoRA's loss is on the line between the "
        "two full tunings beside it. Interval over seeds: Student t. Missing: seeds without such a number."
    )
    return Outcome({"tasks": tasks}, View(sentences, (Table("At equal training loss", columns, rows, note),)))


def _say(task: str, difference: Mapping[str, Any]) -> str:
    mean, low, high, n = (difference[key] for key in ("mean", "low", "high", "n"))
    if mean is None or low is None or high is None:
        return f"{task}: there is no interval ({difference['reason']})."
    seeds = counted(n, "seed")
    what = f"{100 * mean:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f}, {seeds})"
    if low > 0 or high < 0:
        return f"{task}: at equal training loss, full tuning scores {'above' if low > 0 else 'below'} LoRA: {what}."
    narrow = (high - low) / 2 <= _HALF_WIDTH
    end = "The interval is within ± 5 points." if narrow else "The interval is wider than ± 5 points; add seeds."
    return f"{task}: at equal training loss, we can't tell full tuning and LoRA apart: {what}. {end}"

"""`study match`: LoRA and full tuning compared at equal training loss, over sweeps of the learning rate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from tunescope.errors import RunError, SettingsError
from tunescope.results.bench import BenchResult, BenchSetup
from tunescope.results.estimates import MeanEstimate
from tunescope.results.tune import TuneResult, TuneSetup
from tunescope.runs import INPUT, Outcome, Run, RunFolder, execute, open_runs, out_field, producing_run
from tunescope.settings import POSITIONAL
from tunescope.views import Table, View, counted, interval

VERSION = 2
_HALF_WIDTH = 0.05
"""Half of an interval that is narrow enough to speak of no difference: 5 points."""
_METHODS = ("lora", "full")
_PARTS = ("whole", "lower half", "upper half")
_Line = Sequence[tuple[float, float]]
"""A seed's tunings by one method: loss and score, by rising loss."""


@dataclass(frozen=True, kw_only=True)
class MatchSettings:
    """Compare the scores of LoRA and full tuning at equal training loss."""

    runs: tuple[str, ...] = field(metadata={**INPUT, **POSITIONAL})
    """Bench runs of models that were tuned by LoRA and in full, at several learning rates and with several seeds."""

    out: str | None = out_field()
    """The run folder; runs/study-match-KEY by default."""


class Tuning(NamedTuple):
    """A tuned model: how it was tuned, its training loss (nats a token) and its scores by task.

    Attributes:
        rate: the learning rate; None where a preset or the default said it.
        loss: mean over the last 10 % of the steps. The falling rate hardly changes the model in these, and tunings on
            the same rows with the same seed have the same rows in them.
    """

    method: str
    rate: float | None
    seed: int
    loss: float
    scores: Mapping[str, float]


class Match(NamedTuple):
    """A seed's scores on a task at equal loss.

    Attributes:
        part: the losses over which the scores are averaged: the `whole` of what both methods reach, or a half of it.
        lowest, highest: the ends of these losses.
        reason: why there are no scores; None where there are.
    """

    task: str
    seed: int
    part: str
    lowest: float | None = None
    highest: float | None = None
    lora: float | None = None
    full: float | None = None
    reason: str | None = None


def match(settings: MatchSettings) -> Run:
    """Compare; return the run with the tables `tunings` and `matches` (a line per task, seed and part of the losses).

    The result has `tasks`. Each task has:

    - `difference` (full less LoRA, a share of 1) with its interval over seeds (Student's t);
    - `lora` and `full`, the mean scores at equal loss;
    - `lowest` and `highest`, the mean ends of the range of losses that both methods reach;
    - `lower half` and `upper half`, the difference in each half of this range;
    - `equal_rates`, for each learning rate of both methods: the difference, the mean scores, and the mean losses
      `lora_loss` and `full_loss`.

    Raises:
        RunError: a run that isn't of bench, or of a model that no `tune` run made, or without a training loss.
        SettingsError: models that differ in more than method, learning rate and seed, or models of only one method.
    """
    opened = open_runs(settings.runs)
    if not opened:
        raise SettingsError("found no runs; expected runs of bench; type tunescope study match RUNS…")
    tuned = [_tuned_by(run) for run in opened]
    _require_alike(opened, tuned)
    tunings = [_read(run, tune) for run, tune in zip(opened, tuned, strict=True)]
    for method in _METHODS:
        if method not in {each.method for each in tunings}:
            raise SettingsError(
                f"found no model tuned with --method {method}; expected runs of bench of models tuned with lora, and "
                "of others tuned with full"
            )
    inputs = {str(run.path): run.identity for run in opened}
    return execute("study match", VERSION, settings, inputs, partial(_work, tunings))


def _tuned_by(run: Run) -> Run:
    """Return the run of `tune` whose model a run of bench scored."""
    if run.verb != "bench":
        raise RunError(f"{run.path} is a run of {run.verb}; expected runs of bench")
    model = BenchResult.read(run).model
    tuned = producing_run(model)
    if tuned is None or tuned.verb != "tune":
        raise RunError(f"{run.path} scored {model}, which no run of tune made; leave it out")
    return tuned


def _read(run: Run, tuned: Run) -> Tuning:
    setup, loss = TuneSetup.read_settings(tuned), TuneResult.read(tuned).loss_last
    if loss is None:
        why = "it was tuned under NEFTune's noise" if setup.neftune_alpha else "another trainer made it"
        raise RunError(f"{tuned.path} has no training loss without noise ({why}); leave {run.path} out")
    scores = {task: score.score for task, score in BenchResult.read(run).tasks.items() if score.score is not None}
    return Tuning(setup.method, setup.lr, setup.seed, loss, scores)


def _require_alike(opened: Sequence[Run], tuned: Sequence[Run]) -> None:
    """Check that the models differ in nothing but method, learning rate and seed, and were asked the same.

    Raises:
        SettingsError: two that differ in more, or in nothing.
    """
    seen: dict[str, tuple[Any, Run]] = {}
    ways: dict[tuple[str, float | None, int], Run] = {}
    for run, tune in zip(opened, tuned, strict=True):
        setup, asked, result = TuneSetup.read_settings(tune), BenchSetup.read_settings(run), BenchResult.read(run)
        base = f"model {setup.model}"
        alike = {
            "the base": tune.info["inputs"].get(base),
            f"the rows of seed {setup.seed}": sorted(v for name, v in tune.info["inputs"].items() if name != base),
            "--batch-size": setup.batch_size,
            "--epochs": setup.epochs,
            "--preset": setup.preset,
            "--max-length": setup.max_length,
            "--template": (setup.template, setup.template_arg),
            "the suite": result.suite,
            "the questions": {task: score.n + score.n_missing for task, score in result.tasks.items()},
            "the template and exemplars of bench": asked.choice,
        }
        for name, value in alike.items():
            first, other = seen.setdefault(name, (value, run))
            if first != value:
                raise SettingsError(
                    f"{other.path} and {run.path} differ in {name}; expected models of one base that were tuned alike "
                    "but for --method, --lr and --seed (each seed with rows of its own), and asked the same questions"
                )
        other = ways.setdefault((setup.method, setup.lr, setup.seed), run)
        if other is not run:
            way = f"--method {setup.method}, --lr {setup.lr} and --seed {setup.seed}"
            raise SettingsError(f"{other.path} and {run.path} both scored a model tuned with {way}; leave one out")


def match_seeds(tunings: Sequence[Tuning]) -> Iterator[Match]:
    """Yield each task's scores at equal loss for each seed, over all losses that both methods reach and either half.

    A method's score at a loss is on the line between the two tunings of this seed whose losses lie next to it. Both
    lines are averaged over all losses from the lowest to the highest that both reach.
    """
    for task in dict.fromkeys(task for tuning in tunings for task in tuning.scores):
        for seed in sorted({tuning.seed for tuning in tunings}):
            here = [tuning for tuning in tunings if tuning.seed == seed and task in tuning.scores]
            lora, full = (sorted((t.loss, t.scores[task]) for t in here if t.method == name) for name in _METHODS)
            reason = _why_unmatched(lora, full)
            if reason is not None:
                yield from (Match(task, seed, part, reason=reason) for part in _PARTS)
                continue
            low, high = max(lora[0][0], full[0][0]), min(lora[-1][0], full[-1][0])
            middle = (low + high) / 2
            for part, start, end in zip(_PARTS, (low, low, middle), (high, middle, high), strict=True):
                means = (_mean_between(lora, start, end), _mean_between(full, start, end))
                yield Match(task, seed, part, start, end, *means)


def _why_unmatched(lora: _Line, full: _Line) -> str | None:
    """Say why two lines have no losses in common; None where they have some."""
    for name, line in zip(_METHODS, (lora, full), strict=True):
        if len(line) < 2:
            return f"{counted(len(line), 'tuning')} with {name}, and a line needs two"
    overlap = max(lora[0][0], full[0][0]) < min(lora[-1][0], full[-1][0])
    return None if overlap else "the losses that LoRA and full tuning reach don't overlap"


def _mean_between(line: _Line, low: float, high: float) -> float:
    """Return the mean height of a line between two losses."""
    from numpy import array, interp, trapezoid

    losses, scores = array(line).T
    places = array([low, *losses[(low < losses) & (losses < high)], high])
    return float(trapezoid(interp(places, losses, scores), places) / (high - low))


def _work(tunings: Sequence[Tuning], folder: RunFolder) -> Outcome:
    import pyarrow as pa

    matches = list(match_seeds(tunings))
    folder.table("matches", pa.Table.from_pylist([each._asdict() for each in matches]))
    lines = [{"method": t.method, "lr": t.rate, "seed": t.seed, "loss": t.loss, **t.scores} for t in tunings]
    folder.table("tunings", pa.Table.from_pylist(lines))
    by_task = {task: [each for each in matches if each.task == task] for task in dict.fromkeys(m.task for m in matches)}
    tasks = {
        task: {**_summarize(of_task), "equal_rates": list(_compare_at_equal_rates(tunings, task))}
        for task, of_task in by_task.items()
    }
    reasons = Counter(f"{each.task}: {each.reason}" for each in matches if each.part == "whole" and each.reason)
    sentences = [_say(task, each["difference"]) for task, each in tasks.items()]
    sentences += [
        f"{counted(count, 'seed')} {'has' if count == 1 else 'have'} no number for {reason}."
        for reason, count in reasons.items()
    ]
    tables = (_matched_table(tasks), *_equal_rates_table(tasks), _tunings_table(tunings))
    return Outcome({"tasks": tasks}, View(tuple(sentences), tables))


def _compare_at_equal_rates(tunings: Sequence[Tuning], task: str) -> Iterator[dict[str, Any]]:
    """Yield full tuning less LoRA at each learning rate that a seed has of both, with how far each went."""
    from tunescope import stats

    by_way = {(t.method, t.rate, t.seed): t for t in tunings if task in t.scores}
    for rate in sorted({t.rate for t in tunings if t.rate is not None}):
        seeds = sorted({seed for method, lr, seed in by_way if (method, lr) == ("lora", rate)})
        pairs = [(by_way["lora", rate, s], by_way["full", rate, s]) for s in seeds if ("full", rate, s) in by_way]
        if pairs:
            differences = [full.scores[task] - lora.scores[task] for lora, full in pairs]
            yield {
                "lr": rate,
                "difference": MeanEstimate.of(stats.mean_t(differences, bounds=(-1.0, 1.0))).as_json(),
                **{name: sum(p[i].scores[task] for p in pairs) / len(pairs) for i, name in enumerate(_METHODS)},
                **{f"{name}_loss": sum(p[i].loss for p in pairs) / len(pairs) for i, name in enumerate(_METHODS)},
            }


def _summarize(matches: Sequence[Match]) -> dict[str, Any]:
    """Return a task's scores at equal loss: means over seeds, and the differences with their intervals."""
    from tunescope import stats

    differences = {}
    for part in _PARTS:
        pairs = [(each.lora, each.full) for each in matches if each.part == part]
        values = [None if lora is None or full is None else full - lora for lora, full in pairs]
        differences[part] = MeanEstimate.of(stats.mean_t(values, bounds=(-1.0, 1.0))).as_json()
    there = [each for each in matches if each.part == "whole" and each.reason is None]
    columns = {name: [getattr(each, name) for each in there] for name in ("lora", "full", "lowest", "highest")}
    means = {name: sum(values) / len(values) if values else None for name, values in columns.items()}
    return {"difference": differences.pop("whole"), **means, **differences}


def _matched_table(tasks: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = []
    for task, each in tasks.items():
        losses = interval(each["lowest"], each["highest"], 3)
        for part, key in zip(_PARTS, ("difference", *_PARTS[1:]), strict=True):
            d, is_whole = each[key], part == "whole"
            means = (losses, each["lora"], each["full"]) if is_whole else (part, None, None)
            rows.append((task, *means, d["mean"], interval(d["low"], d["high"], 3), d["n"], d["n_missing"]))
    note = (
        "Losses: those that both methods reach, nats a token, in the last 10 % of the steps; the ends are means over "
        "seeds. A method's score at a loss is on the line between its two tunings beside it, and is averaged over all "
        "these losses. Interval over seeds: Student t. Missing: seeds without such a number."
    )
    columns = ("task", "losses", "LoRA", "full", "full less LoRA", "95 %", "seeds", "missing")
    return Table("At equal training loss", columns, tuple(rows), note)


def _equal_rates_table(tasks: Mapping[str, Mapping[str, Any]]) -> Iterator[Table]:
    """Yield the table of differences at equal rates, if both methods have one in common."""
    rows = []
    for task, each in tasks.items():
        for e in each["equal_rates"]:
            d, losses = e["difference"], (e["lora_loss"], e["full_loss"])
            shown = (d["mean"], interval(d["low"], d["high"], 3), d["n"])
            rows.append((task, f"{e['lr']:g}", e["lora"], e["full"], *shown, *losses))
    if rows:
        columns = ("task", "rate", "LoRA", "full", "full less LoRA", "95 %", "seeds", "LoRA's loss", "full's loss")
        note = "The same learning rate takes the methods to different losses; this is no comparison at equal loss."
        yield Table("At equal learning rate", columns, tuple(rows), note)


def _tunings_table(tunings: Sequence[Tuning]) -> Table:
    tasks = list(dict.fromkeys(task for tuning in tunings for task in tuning.scores))
    by_way: dict[tuple[str, float | None], list[Tuning]] = {}
    for tuning in sorted(tunings, key=lambda each: (_METHODS[::-1].index(each.method), each.rate or 0.0)):
        by_way.setdefault((tuning.method, tuning.rate), []).append(tuning)
    rows = []
    for (method, rate), those in by_way.items():
        scores = [[each.scores[task] for each in those if task in each.scores] for task in tasks]
        losses = [each.loss for each in those]
        means = [sum(values) / len(values) if values else None for values in (losses, *scores)]
        rows.append((method, None if rate is None else f"{rate:g}", len(those), *means))
    note = "Means over seeds. The rate is missing where it comes from a preset or the default."
    return Table("The tunings", ("method", "rate", "seeds", "loss", *tasks), tuple(rows), note)


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

"""Training loss by dose (the FACO paper, figure 3): false rows are harder to learn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tunescope import stats
from tunescope.results.tune import TuneStep
from tunescope.runs import Run
from tunescope.verbs.analyze.bench_runs import ScoredModel
from tunescope.verbs.analyze.parts import Part, percent_of, with_interval
from tunescope.views import Table, interval

_LAST = 0.1
"""Share of the steps whose mean is the loss at the end."""


def compare_losses(models: Sequence[ScoredModel]) -> Part | None:
    """Return the loss of the tunings by dose; None where fewer than two doses have losses.

    `doses` has per dose `whole` and `last`, the mean loss of all steps and of the last tenth of them (nats per
    supervised token), each the mean over tunings with `_low`, `_high` (Student t) and `_n`. `slope_whole` and
    `slope_last` are the change of these per 100 % of dose, over single tunings, with t intervals. The table `losses`
    has the mean over seeds of every step's loss, per dose, for a chart. Re-tunings are left out; a tuning counts once.
    """
    tunings = {
        str(model.tuning.path): (model.origin.dose, model.tuning)
        for model in models
        if model.tuning is not None and model.origin.dose is not None and not model.origin.retuned
    }
    curves = [(dose, losses) for dose, tuning in tunings.values() if (losses := _read_losses(tuning))]
    doses = sorted({dose for dose, _ in curves})
    if len(doses) < 2:
        return None
    parts = {
        "whole": [(dose, _mean([*losses.values()])) for dose, losses in curves],
        "last": [(dose, _mean([*losses.values()][-max(1, round(_LAST * len(losses))) :])) for dose, losses in curves],
    }
    records: list[dict[str, Any]] = [{"dose": dose} for dose in doses]
    slopes: dict[str, Any] = {}
    for name, points in parts.items():
        for record in records:
            estimate = stats.mean_t([loss for dose, loss in points if dose == record["dose"]], bounds=stats.FROM_0)
            record |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
            record[f"{name}_n"] = estimate.n
        slopes[f"slope_{name}"] = stats.slope(*zip(*points, strict=True)).as_json("slope")
    result = {"doses": records, **slopes, "unit": "nats per supervised token"}
    return Part(
        key="losses",
        result=result,
        sentences=(_sentence(result),),
        tables=(_table(result),),
        records=_mean_curves(curves),
    )


def _read_losses(tuning: Run) -> dict[int, float]:
    """Return step → loss, under the noise where the tuning had some; empty where it has none."""
    if not (tuning.path / f"{TuneStep.NAME}.jsonl").is_file():
        return {}
    losses = {s.step: s.loss_with_noise if s.loss is None else s.loss for s in TuneStep.read_lines(tuning)}
    return {step: loss for step, loss in losses.items() if loss is not None}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _mean_curves(curves: Sequence[tuple[float, Mapping[int, float]]]) -> list[dict[str, Any]]:
    at: dict[tuple[float, int], list[float]] = defaultdict(list)
    for dose, losses in curves:
        for step, loss in losses.items():
            at[dose, step].append(loss)
    points = sorted(at.items())
    return [{"dose": dose, "step": step, "loss": _mean(losses), "n": len(losses)} for (dose, step), losses in points]


def _sentence(result: Mapping[str, Any]) -> str:
    first, last, slope = result["doses"][0], result["doses"][-1], result["slope_last"]
    rises = slope["slope"] is not None and slope["slope"] > 0
    is_clear = slope["low"] is not None and (slope["low"] > 0 or slope["high"] < 0)
    return (
        f"The training loss ends at {first['last']:.3f} at {percent_of(first['dose'])} and at {last['last']:.3f} at "
        f"{percent_of(last['dose'])}: it {'rises' if rises else 'falls'} by "
        f"{with_interval(abs(slope['slope'] or 0.0), None, None)} per 100 % of dose"
        + (f" {interval(slope['low'], slope['high'], 3)}" if slope["low"] is not None else "")
        + ("." if is_clear else ", which isn't significant.")
    )


def _table(result: Mapping[str, Any]) -> Table:
    rows = tuple(
        (
            percent_of(each["dose"]),
            each["whole"],
            interval(each["whole_low"], each["whole_high"], 3),
            each["last"],
            interval(each["last_low"], each["last_high"], 3),
            each["last_n"],
        )
        for each in result["doses"]
    )
    slopes = [
        with_interval(each["slope"], each["low"], each["high"])
        for each in (result["slope_whole"], result["slope_last"])
    ]
    note = (
        "Mean loss of all steps, and of the last tenth of them, in nats per supervised token: the mean over tunings "
        f"with its Student t interval; n = tunings. Change per 100 % of dose over single tunings: {slopes[0]} (whole), "
        f"{slopes[1]} (end)."
    )
    return Table("Training loss", ("dose", "whole", "95 %", "end", "end 95 %", "n"), rows, note)

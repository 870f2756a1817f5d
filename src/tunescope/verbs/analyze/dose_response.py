"""The dose–response of one task: how its score moves with the dose, and what re-tuning brings back.

Definitions (the FACO paper, Table 1 and figure 6): Pearson r of dose and score; ABS = score at 0 % - score at
100 %; recovered = score of the re-tuned model - score at 100 %; unrecovered = score at 0 % - score of the
re-tuned model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any

from tunescope import stats
from tunescope.stats import Estimate
from tunescope.verbs.analyze.score_table import ScoreTable, TaskScore

_BySeed = Mapping[str, float | None]
"""A model's score per seed."""


def dose_response(
    cells: Sequence[TaskScore],
    doses: Sequence[float],
    seeds: Sequence[str],
    score_range: tuple[float, float] = (-inf, inf),
) -> dict[str, Any]:
    """Return one task's record.

    `cells` are the task's, `doses` and `seeds` the whole table's; an absent cell counts as missing. With several
    seeds `pearson` and `slope` are computed from the means per dose, `pearson_all` from every single score, and
    `abs` and `recovered` are means over seeds with their t intervals. Intervals of scores end at the `score_range`, and
    those of differences at its width.
    """
    by_dose = {dose: _by_seed(cells, dose, False, seeds) for dose in doses}
    means = {dose: stats.mean_t([*scores.values()], bounds=score_range) for dose, scores in by_dose.items()}
    values = [means[dose].value for dose in doses]
    correlation = stats.pearson(list(doses), values)
    exact = "exact" in correlation.permutation.method
    missing = sum(score is None for scores in by_dose.values() for score in scores.values())
    record: dict[str, Any] = correlation.r.as_json("pearson") | {"n_missing": missing, "n_seeds": len(seeds)}
    record |= {"p_exact": correlation.permutation.p if exact else None, "p": correlation.permutation.p}
    record["p_method"] = correlation.permutation.method
    if not exact:
        record["p_exact_reason"] = f"{correlation.r.n} doses: too many orders to go through"
    if len(seeds) > 1:
        record |= _over_single_scores(by_dose)
    record |= _flat("slope", stats.slope(list(doses), values))
    apart = stats.bounds_of_differences(score_range)
    record |= _flat("abs", _difference(by_dose.get(0.0), by_dose.get(1.0), ("0 %", "100 %"), apart))
    if any(cell.retuned for cell in cells):
        record |= _recovery(by_dose.get(0.0), by_dose.get(1.0), _by_seed(cells, 1.0, True, seeds), apart)
    record["scores"] = [{"dose": dose, **means[dose].as_json("mean")} for dose in doses]
    return record


def abs_by_seed(scores: ScoreTable, task: str) -> dict[str, float | None]:
    """Return a task's ABS per seed; None where a seed lacks a score."""
    cells = [cell for cell in scores.cells if cell.task == task]
    clean, false = (_by_seed(cells, dose, False, scores.seeds) for dose in (0.0, 1.0))
    return {seed: _minus(clean[seed], false[seed]) for seed in scores.seeds}


def _by_seed(cells: Sequence[TaskScore], dose: float, retuned: bool, seeds: Sequence[str]) -> _BySeed:
    scores = {cell.seed: cell.score for cell in cells if cell.dose == dose and cell.retuned == retuned}
    return {seed: scores.get(seed) for seed in seeds}


def _flat(name: str, estimate: Estimate) -> dict[str, Any]:
    """Return an estimate under NAME, NAME_low, NAME_high, NAME_n and, where there is one, NAME_reason."""
    record: dict[str, Any] = {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    record |= {f"{name}_n": estimate.n, f"{name}_method": estimate.method}
    return record | ({f"{name}_reason": estimate.reason} if estimate.reason else {})


def _over_single_scores(by_dose: Mapping[float, _BySeed]) -> dict[str, Any]:
    """Return the correlation over every single score instead of the means."""
    points = [(dose, score) for dose, scores in by_dose.items() for score in scores.values()]
    correlation = stats.pearson([dose for dose, _ in points], [score for _, score in points])
    permutation = correlation.permutation
    return _flat("pearson_all", correlation.r) | {"p_all": permutation.p, "p_all_method": permutation.method}


def _difference(
    first: _BySeed | None, second: _BySeed | None, names: tuple[str, str], bounds: stats.Bounds
) -> Estimate:
    """Return the mean difference, paired by seed, with its t interval over seeds, which ends at the bounds."""
    absent = [name for name, scores in zip(names, (first, second), strict=True) if not _has_score(scores)]
    if absent or first is None or second is None:
        reason = f"no score at {' and '.join(absent)}"
        return Estimate(None, None, None, 0, 0, 0.95, "difference of scores", reason)
    gaps = [_minus(score, second.get(seed)) for seed, score in first.items()]
    return replace(stats.mean_t(gaps, bounds=bounds), method="paired difference of means, 95 % Student t interval")


def _has_score(scores: _BySeed | None) -> bool:
    return scores is not None and any(score is not None for score in scores.values())


def _recovery(clean: _BySeed | None, false: _BySeed | None, retuned: _BySeed, bounds: stats.Bounds) -> dict[str, Any]:
    """Return the recovered score, the unrecovered one, and the share: recovered / (recovered + unrecovered)."""
    record = _flat("recovered", _difference(retuned, false, ("the re-tuned model", "100 %"), bounds))
    record |= _flat("unrecovered", _difference(clean, retuned, ("0 %", "the re-tuned model"), bounds))
    clean, false = clean or {}, false or {}
    gained = [_minus(score, false.get(seed)) for seed, score in retuned.items()]
    lost = [_minus(clean.get(seed), false.get(seed)) for seed in retuned]
    share = stats.ratio_of_means(gained, lost)
    loss = stats.mean_t(lost, bounds=bounds)
    is_significant = loss.value is not None and loss.value > 0 and (loss.low is None or loss.low > 0)
    if share.value is not None and not is_significant:
        range_ = "" if loss.low is None else f" (95 % interval {loss.low:.3g} to {loss.high:.3g} over seeds)"
        reason = f"0 % isn't above 100 %: they differ by {loss.value:.3g}{range_}"
        share = Estimate(None, None, None, share.n, share.n_missing, share.level, share.method, reason)
    return record | _flat("recovered_share", share)


def _minus(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second

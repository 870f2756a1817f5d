"""The dose–response of one task: how its score moves with the dose, and what re-tuning brings back.

The definitions are the design's: Pearson r of dose and score; ABS = score at 0 % - score at 100 % (paper 1,
Table 1); recovered = score of the re-tuned model - score at 100 %; unrecovered = score at 0 % - score of
the re-tuned model (paper 1, figure 6).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunescope import stats
from tunescope.stats import Estimate
from tunescope.verbs.analyze.scores import Score

BySeed = Mapping[str, float | None]
"""A model's score per seed."""


def dose_response(cells: Sequence[Score], doses: Sequence[float], seeds: Sequence[str]) -> dict[str, Any]:
    """Return one task's record.

    `cells` are the task's, `doses` and `seeds` the file's: a cell that isn't there counts as missing. With
    several seeds `pearson` and `slope` are of the means per dose, `pearson_all` of every single score, and
    `abs` and what was recovered are means over seeds with their t intervals.
    """
    at = {dose: _by_seed(cells, dose, False, seeds) for dose in doses}
    means = {dose: stats.mean_t([*scores.values()]) for dose, scores in at.items()}
    value = {dose: mean.value for dose, mean in means.items()}
    correlation = stats.pearson(list(doses), [value[dose] for dose in doses])
    slope = stats.slope(list(doses), [value[dose] for dose in doses])
    exact = "exact" in correlation.permutation.method
    missing = sum(score is None for scores in at.values() for score in scores.values())
    record: dict[str, Any] = correlation.r.as_json("pearson") | {"n_missing": missing, "n_seeds": len(seeds)}
    record |= {"p_exact": correlation.permutation.p if exact else None, "p": correlation.permutation.p}
    record["p_method"] = correlation.permutation.method
    if not exact:
        record["p_exact_reason"] = f"{correlation.r.n} doses: too many orders to go through"
    if len(seeds) > 1:
        record |= _all_points(at)
    record |= _flat("slope", slope)
    record |= _flat("abs", _between(at.get(0.0), at.get(1.0), ("0 %", "100 %")))
    if any(cell.retuned for cell in cells):
        record |= _recovery(at.get(0.0), at.get(1.0), _by_seed(cells, 1.0, True, seeds))
    record["scores"] = [{"dose": dose, **means[dose].as_json("mean")} for dose in doses]
    return record


def _by_seed(cells: Sequence[Score], dose: float, retuned: bool, seeds: Sequence[str]) -> BySeed:
    found = {cell.seed: cell.score for cell in cells if cell.dose == dose and cell.retuned == retuned}
    return {seed: found.get(seed) for seed in seeds}


def _flat(name: str, estimate: Estimate) -> dict[str, Any]:
    """Return an estimate under NAME, NAME_low, NAME_high, NAME_n and, where there is one, NAME_reason."""
    record: dict[str, Any] = {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    record |= {f"{name}_n": estimate.n, f"{name}_method": estimate.method}
    return record | ({f"{name}_reason": estimate.reason} if estimate.reason else {})


def _all_points(at: Mapping[float, BySeed]) -> dict[str, Any]:
    points = [(dose, score) for dose, scores in at.items() for score in scores.values()]
    found = stats.pearson([dose for dose, _ in points], [score for _, score in points])
    return _flat("pearson_all", found.r) | {"p_all": found.permutation.p, "p_all_method": found.permutation.method}


def _between(first: BySeed | None, second: BySeed | None, names: tuple[str, str]) -> Estimate:
    """Return the mean difference, paired by seed, with its t interval over seeds."""
    absent = [name for name, scores in zip(names, (first, second), strict=True) if not _given(scores)]
    if absent or first is None or second is None:
        reason = f"no score at {' and '.join(absent)}"
        return Estimate(None, None, None, 0, 0, 0.95, "difference of scores", reason)
    return stats.paired_difference([*first.values()], [*second.values()]).t


def _given(scores: BySeed | None) -> bool:
    return scores is not None and any(score is not None for score in scores.values())


def _recovery(clean: BySeed | None, false: BySeed | None, retuned: BySeed) -> dict[str, Any]:
    """Return what was recovered, what wasn't, and the share: recovered / (recovered + unrecovered)."""
    record = _flat("recovered", _between(retuned, false, ("the re-tuned model", "100 %")))
    record |= _flat("unrecovered", _between(clean, retuned, ("0 %", "the re-tuned model")))
    clean, false = clean or {}, false or {}
    gained = [_minus(score, false.get(seed)) for seed, score in retuned.items()]
    lost = [_minus(clean.get(seed), false.get(seed)) for seed in retuned]
    share = stats.ratio_of_means(gained, lost)
    differ = stats.mean_t(lost)
    apart = differ.value is not None and differ.value > 0 and (differ.low is None or differ.low > 0)
    if share.value is not None and not apart:
        how = "" if differ.low is None else f" (95 % interval {differ.low:.3g} to {differ.high:.3g} over seeds)"
        reason = f"0 % isn't above 100 %: they differ by {differ.value:.3g}{how}"
        share = Estimate(None, None, None, share.n, share.n_missing, share.level, share.method, reason)
    return record | _flat("recovered_share", share)


def _minus(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second

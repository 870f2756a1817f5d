"""Ways to choose rows, ranked by what models tuned on them score; each against rows drawn at random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunescope import stats
from tunescope.results.estimates import ALPHA, MeanEstimate
from tunescope.verbs.race.choices import RANDOM, ChosenTuning

_MEAN = "mean"
"""The mean over tasks, each counted once, beside the tasks' own names."""


def compare_rules(tunings: Sequence[ChosenTuning]) -> list[dict[str, Any]]:
    """Return a record per rule, the one with the best scores first; `race` says what is in it."""
    tasks = list(dict.fromkeys(task for each in tunings for task in each.scores))
    measures = [_MEAN, *tasks] if len(tasks) > 1 else tasks
    by_rule: dict[str, dict[tuple[Any, ...], ChosenTuning]] = {}
    for each in tunings:
        by_rule.setdefault(each.choice.rule, {})[each.pair] = each
    pairs = list(dict.fromkeys(each.pair for each in tunings))
    rules = [_compare(rule, own, by_rule[RANDOM], pairs, measures, tasks) for rule, own in by_rule.items()]
    for rule, p_holm in zip(rules, stats.holm([rule["p"] for rule in rules]), strict=True):
        rule["p_holm"] = p_holm
    return sorted(rules, key=lambda rule: -(rule["scores"][measures[0]]["mean"] or 0.0))


def _compare(
    rule: str,
    own: Mapping[tuple[Any, ...], ChosenTuning],
    random: Mapping[tuple[Any, ...], ChosenTuning],
    pairs: Sequence[tuple[Any, ...]],
    measures: Sequence[str],
    tasks: Sequence[str],
) -> dict[str, Any]:
    """Return one rule's scores, and their differences from random."""
    scores, differences = {}, {}
    for measure in measures:
        ours = [_score(own.get(pair), measure, tasks) for pair in pairs]
        theirs = [_score(random.get(pair), measure, tasks) for pair in pairs]
        scores[measure] = MeanEstimate.of(stats.mean_t(ours, bounds=stats.SHARE)).as_json()
        if rule == RANDOM:
            continue
        apart = stats.subtract(ours, theirs)
        differences[measure] = MeanEstimate.of(
            stats.mean_t(apart, bounds=stats.bounds_of_differences(stats.SHARE))
        ).as_json()
        if measure == measures[0]:
            test, needed = stats.t_test(apart), _seeds_needed(apart)
    chosen = [each.choice for each in own.values()]
    noise = stats.mean_t([choice.noise for choice in chosen], bounds=stats.SHARE)
    return {
        "rule": rule,
        "seeds": len(own),
        "scores": scores,
        "differences": differences or None,
        "p": None if rule == RANDOM else test.p,
        "seeds_needed": None if rule == RANDOM else needed,
        "rows": sum(choice.rows for choice in chosen) / len(chosen),
        "tokens": sum(choice.tokens.kept for choice in chosen) / len(chosen),
        "supervised_tokens": sum(choice.tokens.supervised for choice in chosen) / len(chosen),
        "noise": None if noise.value is None else MeanEstimate.of(noise).as_json(),
    }


def _score(tuning: ChosenTuning | None, measure: str, tasks: Sequence[str]) -> float | None:
    """Return a tuned model's score on a task, or its mean over all tasks; None where one is missing."""
    if tuning is None:
        return None
    if measure != _MEAN or measure in tasks:
        return tuning.scores.get(measure)
    scores = [tuning.scores.get(task) for task in tasks]
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if len(known) == len(scores) else None


def _seeds_needed(differences: stats.Values) -> int | None:
    """Return how many seeds would show a mean difference of this size; 0 where so many do."""
    test, estimate = stats.t_test(differences), stats.mean_t(differences)
    if test.p is None or not estimate.value or not estimate.standard_error:
        return None
    if test.p < ALPHA:
        return 0
    return stats.n_needed(estimate.value, estimate.standard_error * estimate.n**0.5).n

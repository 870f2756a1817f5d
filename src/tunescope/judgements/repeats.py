"""Judgements of one item that are there several times: which of them counts, by one rule for all formats."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, TypeVar

from tunescope.judgements.records import AspectScore, PairJudgement, Presentation, ScoreJudgement, Side
from tunescope.views import counted

RepeatRule = Literal["mean", "first", "last", "each"]
_RULES: Mapping[RepeatRule, str] = {
    "mean": "the mean of an item's judgements counts",
    "first": "the first judgement of an item counts",
    "last": "the last judgement of an item counts",
    "each": "each judgement is an item of its own, and intervals draw questions",
}
"""What each rule does, as the view says it."""
Judged = TypeVar("Judged", PairJudgement, ScoreJudgement)


def count_repeats(judgements: Sequence[PairJudgement] | Sequence[ScoreJudgement]) -> int:
    """Return how many judgements are of an item that was judged before, of the same systems by the same judge."""
    return len(judgements) - len({_identity(judgement) for judgement in judgements})


def settle_pairs(pairs: Sequence[PairJudgement], rule: RepeatRule) -> list[PairJudgement]:
    """Return one judgement per item as `rule` says, or all, as items of their own."""
    return _settle(pairs, rule, _mean_pair)


def settle_scores(scores: Sequence[ScoreJudgement], rule: RepeatRule) -> list[ScoreJudgement]:
    """Return one judgement per item as `rule` says, or all, as items of their own."""
    return _settle(scores, rule, _mean_score)


def describe_repeats(judgements: Sequence[PairJudgement] | Sequence[ScoreJudgement], rule: RepeatRule) -> str:
    """Say how many repeats there are, where the first one is, and what became of them; "" without repeats."""
    first_places: dict[Hashable, str] = {}
    repeats: list[tuple[str, str, str]] = []
    for judgement in judgements:
        first = first_places.setdefault(_identity(judgement), judgement.place)
        if first != judgement.place:
            repeats.append((judgement.item, judgement.place, first))
    if not repeats:
        return ""
    item, place, first = repeats[0]
    verb = "repeats" if len(repeats) == 1 else "repeat"
    return (
        f"{len(repeats):,} of {counted(len(judgements), 'judgement')} {verb} an item that was judged before: the first "
        f"is item {item} in {place}, after {first}. {_RULES[rule][0].upper()}{_RULES[rule][1:]} "
        f"(--repeats {rule})."
    )


def _identity(judgement: PairJudgement | ScoreJudgement) -> Hashable:
    if isinstance(judgement, PairJudgement):
        return (judgement.item, judgement.a, judgement.b, judgement.judge, judgement.part)
    return (judgement.item, judgement.system, judgement.judge)


def _settle(judgements: Sequence[Judged], rule: RepeatRule, mean: Callable[[Sequence[Judged]], Judged]) -> list[Judged]:
    groups: dict[Hashable, list[Judged]] = {}
    for judgement in judgements:
        groups.setdefault(_identity(judgement), []).append(judgement)
    if len(groups) == len(judgements):
        return list(judgements)
    if rule == "each":
        return [_as_item(judgement, number) for group in groups.values() for number, judgement in enumerate(group, 1)]
    choose = {"first": lambda group: group[0], "last": lambda group: group[-1], "mean": mean}[rule]
    return [choose(group) if len(group) > 1 else group[0] for group in groups.values()]


def _as_item(judgement: Judged, number: int) -> Judged:
    if number == 1:
        return judgement
    question = judgement.question or judgement.item
    return replace(judgement, item=f"{judgement.item} ({number})", question=question)


def _mean_pair(group: Sequence[PairJudgement]) -> PairJudgement:
    """Average each order over the judgements that have a verdict in it."""
    sides: dict[Side | None, list[Presentation]] = {}
    for pair in group:
        for order in pair.orders:
            sides.setdefault(order.first, []).append(order)
    if len(sides) > 1:
        sides.pop(None, None)
    return replace(group[0], orders=tuple(_mean_presentation(orders) for orders in sides.values()))


def _mean_presentation(orders: Sequence[Presentation]) -> Presentation:
    decided = [order for order in orders if order.preference is not None]
    if len(decided) < 2:
        return (decided or orders)[0]
    preference = sum(order.preference for order in decided if order.preference is not None) / len(decided)
    scores = [order.scores for order in decided if order.scores is not None]
    mean = (_mean([a for a, _ in scores]), _mean([b for _, b in scores])) if len(scores) == len(decided) else None
    return Presentation(decided[0].first, preference, "ok", mean)


def _mean_score(group: Sequence[ScoreJudgement]) -> ScoreJudgement:
    """Average each aspect over the judgements that have a score in it."""
    names = dict.fromkeys(name for judgement in group for name in judgement.scores)
    scores = {name: _mean_aspect([j.scores[name] for j in group if name in j.scores]) for name in names}
    best = next((judgement for judgement in group if judgement.status == "ok"), group[0])
    return replace(best, scores=scores, text=None)


def _mean_aspect(scores: Sequence[AspectScore]) -> AspectScore:
    values = [score.value for score in scores if score.value is not None]
    return AspectScore(_mean(values), "ok") if values else scores[0]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)

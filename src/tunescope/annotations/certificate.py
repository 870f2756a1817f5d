"""What a judge is worth beside people: its verdicts or scores held against theirs, on the items that both judged.

A judge and a person agree where they say the same (Zheng et al. 2023, "Judging LLM-as-a-Judge", section 4.2, with ties
as a verdict of their own). Several people that judged an item share it: each counts for its part. So the same number
can be computed of two people, and a judge that agrees with a person as often as people do with each other is worth a
person.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from tunescope.annotations.agreement import PREFERENCE, Measure, alpha_of, aspects, preferences, share_of_pairs
from tunescope.annotations.collected import Collected
from tunescope.annotations.values import LEAST_SCORE, MOST_SCORE
from tunescope.errors import SettingsError
from tunescope.results.agreement import JudgeAgreement, JudgeCertificate, LengthBias, NeededItems
from tunescope.results.annotate import StudyItem
from tunescope.results.estimates import MeanEstimate
from tunescope.results.judge import JudgeEffects, OrderEffects, PairRow, ScoreRow
from tunescope.runs import Run
from tunescope.stats import (
    COSINE,
    Estimate,
    Scale,
    cohens_kappa,
    mean,
    mean_share,
    n_needed,
    paired_difference,
    proportion,
    slope,
    spearman,
)
from tunescope.views import counted

_SCALE = (float(LEAST_SCORE), float(MOST_SCORE))


class _JudgedUnit(NamedTuple):
    """What a judge and people say of one item, or of one answer's aspect.

    Attributes:
        item_id: the item.
        judge: the judge's value; None where it gave none.
        people: each annotator's value.
        length: of a pair, by how many characters the first answer is longer; of an answer, its characters.
    """

    item_id: str
    judge: float | None
    people: Sequence[float]
    length: int


class _Effects(NamedTuple):
    """What a judge does without regard to the answers, as its run says."""

    flips: MeanEstimate
    first_position: MeanEstimate
    control: MeanEstimate


def certify(collected: Collected, run: Run, points: float) -> JudgeCertificate:
    """Hold a judge's run against people's marks of the main study.

    Args:
        collected: a study of verdicts or of aspects, with its items.
        run: of `judge pairwise`, `winrate` or `recompute`; of a study of aspects, with scores of these aspects.
        points: the difference that is to be settled, in points of 100.

    Raises:
        SettingsError: another kind of study or run, no item in both, or several judgements of one item.
    """
    require_comparable(collected, run)
    return (_certify_pairs if collected.kind == "verdicts" else _certify_scores)(collected, run, points)


def require_comparable(collected: Collected, run: Run) -> None:
    """Look at whether a judge's run can be held against these marks at all.

    Raises:
        SettingsError: another kind of study or run, or marks without their items.
    """
    if collected.kind not in ("verdicts", "aspects"):
        raise SettingsError(f"--judge: found a study of {collected.kind}; expected one of verdicts, or of aspects")
    if not collected.items:
        raise SettingsError("--judge: the marks come without their items; name their study with --items")
    if not collected.of_phase("main"):
        raise SettingsError("--judge: found marks of the pilot alone; expected marks of the main study")
    name, what = (PairRow.NAME, "verdicts") if collected.kind == "verdicts" else (ScoreRow.NAME, "scores")
    if not run.verb.startswith("judge ") or name not in run.tables:
        raise SettingsError(f"--judge {run.path}: found a run of {run.verb} without {what}; expected a judge's {what}")


def _certify_pairs(collected: Collected, run: Run, points: float) -> JudgeCertificate:
    measure = preferences(collected.of_phase("main"))
    rows: dict[tuple[str, frozenset[str]], PairRow] = {}
    for row in PairRow.read_rows(run):
        _require_one(rows.setdefault((row.item, frozenset((row.system, row.reference))), row), row, run)
    units, matched, people = [], {}, dict[str, list[float]]()
    for mark in collected.of_phase("main"):
        people.setdefault(mark.item_id, []).append(float(mark.value["preference"]))
    for item_id, values in people.items():
        item = collected.items[item_id]
        key = (item.prompt_id, frozenset(answer.system for answer in item.answers))
        if key in rows:
            row = matched[key] = rows[key]
            value = row.value if row.value is None or row.system == item.answers[0].system else 1 - row.value
            length = len(item.answers[0].text) - len(item.answers[1].text)
            units.append(_JudgedUnit(item_id, value, values, length))
    theirs = [f"{row.item} of {row.system} and {row.reference}" for row in rows.values()]
    _require_some(units, collected.items, theirs, run)
    effects = _effects(run, {frozenset((row.system, row.reference)) for row in matched.values()})
    return JudgeCertificate(
        run=str(run.path),
        judge=_only({row.judge for row in rows.values()}),
        items=len(units),
        only_people=len(people) - len(units),
        only_judge=len(rows) - len(matched),
        agreement={PREFERENCE: _compare_verdicts(units, measure, points)},
        **effects._asdict(),
    )


def _certify_scores(collected: Collected, run: Run, points: float) -> JudgeCertificate:
    rows: dict[tuple[str, str, str], ScoreRow] = {}
    for row in ScoreRow.read_rows(run):
        _require_one(rows.setdefault((row.item, row.system, row.aspect), row), row, run)
    people = {(mark.item_id, mark.value["answer_id"]) for mark in collected.of_phase("main")}
    agreement, of_people, of_judge = {}, set[tuple[str, str]](), set[tuple[str, str]]()
    for measure in aspects(collected.of_phase("main")):
        units, scales = [], set()
        for mark_key, values in _scores_of(collected, measure.name).items():
            item = collected.items[mark_key[0]]
            answer = next(each for each in item.answers if each.answer_id == mark_key[1])
            key = (item.prompt_id, answer.system, measure.name)
            if key in rows:
                of_people.add(mark_key)
                of_judge.add(key[:2])
                scales.add(rows[key].scale)
                units.append(_JudgedUnit(item.item_id, rows[key].score, values, len(answer.text)))
        if units:
            agreement[measure.name] = _compare_scores(units, measure, points, scales)
    theirs = [f"{row.item} of {row.system} in {row.aspect}" for row in rows.values()]
    _require_some([*agreement], collected.items, theirs, run)
    missing = _nothing("scores of single answers have no order, and no control")
    return JudgeCertificate(
        run=str(run.path),
        judge=_only({row.judge for row in rows.values()}),
        items=len(of_people),
        only_people=len(people - of_people),
        only_judge=len({(item, system) for item, system, _ in rows} - of_judge),
        agreement=agreement,
        flips=missing,
        first_position=missing,
        control=missing,
    )


def _scores_of(collected: Collected, aspect: str) -> dict[tuple[str, str], list[float]]:
    """Return what people gave in an aspect, by item and answer."""
    scores: dict[tuple[str, str], list[float]] = {}
    for mark in collected.of_phase("main"):
        if aspect in mark.value["scores"]:
            scores.setdefault((mark.item_id, mark.value["answer_id"]), []).append(float(mark.value["scores"][aspect]))
    return scores


def _require_one(first: PairRow | ScoreRow, row: PairRow | ScoreRow, run: Run) -> None:
    if first is not row:
        raise SettingsError(
            f"--judge {run.path}: found two judgements of the item {row.item} ({first.place}; {row.place}); expected "
            "one judge, and each item once"
        )


def _require_some(units: Sequence[object], items: Mapping[str, StudyItem], theirs: Sequence[str], run: Run) -> None:
    if not units:
        item = next(iter(items.values()))
        ours = f"{item.prompt_id} of {' and '.join(answer.system for answer in item.answers)}"
        raise SettingsError(
            f"--judge {run.path}: no item is in both; the study has {counted(len(items), 'item')}, such as {ours}, "
            f"the run {counted(len(theirs), 'judgement')}, such as {theirs[0] if theirs else 'none'}"
        )


def _only(names: set[str | None]) -> str | None:
    return next(iter(names)) if len(names) == 1 else None


def _nothing(reason: str) -> MeanEstimate:
    return MeanEstimate(mean=None, low=None, high=None, n=0, n_missing=0, method="", reason=reason)


def _effects(run: Run, systems: set[frozenset[str]]) -> _Effects:
    """Return the judge's flips, preference for the first position, and noise on controls, from its run's result."""
    effects = JudgeEffects.read(run)
    comparisons = [OrderEffects.read(run)] if effects.comparisons is None else [*effects.comparisons.values()]
    of_these = [each for each in comparisons if frozenset((each.system, each.reference)) in systems]
    missing = _nothing("the judge was shown no controls; type its command with --control")
    control = missing if effects.control is None else effects.control.differs
    if len(of_these) != 1:
        several = _nothing(f"the study's items are of {len(of_these)} comparisons; the judge's run has each")
        return _Effects(several, several, control)
    (one,) = of_these
    reason = _nothing(one.orders_reason or "there is one order")
    return _Effects(one.flip_rate or reason, one.first_position_rate or reason, control)


def _compare_verdicts(units: Sequence[_JudgedUnit], measure: Measure, points: float) -> JudgeAgreement:
    """Hold verdicts against people's; a judge's preference above a half counts as one for the first answer."""
    verdicts = [
        unit._replace(judge=None if unit.judge is None else 0.5 + 0.5 * ((unit.judge > 0.5) - (unit.judge < 0.5)))
        for unit in units
    ]
    return _compare(
        verdicts,
        measure,
        "nominal",
        length_bias=_length_bias(units),
        needed_by_judge=_needed([unit.judge for unit in units], points, 100.0),
        needed_by_people=_needed([fmean(unit.people) for unit in units], points, 100.0),
    )


def _compare_scores(
    units: Sequence[_JudgedUnit], measure: Measure, points: float, scales: set[tuple[float, float] | None]
) -> JudgeAgreement:
    """Hold scores of one aspect against people's; where the judge's scale is another one, only their order."""
    other = [scale for scale in scales if scale not in (None, _SCALE)]
    why_not = None
    if other:
        why_not = f"the judge's scores run from {other[0][0]:g} to {other[0][1]:g}, people's from 1 to 5"
    whole = [unit._replace(judge=None if unit.judge is None else float(round(unit.judge))) for unit in units]
    low, high = other[0] if other else _SCALE
    width = high - low
    judged = [None if unit.judge is None else (unit.judge - low) / width for unit in units]
    liked = [(fmean(unit.people) - LEAST_SCORE) / (MOST_SCORE - LEAST_SCORE) for unit in units]
    return _compare(
        whole,
        measure,
        "ordinal",
        why_not,
        rank_correlation=MeanEstimate.of(spearman(judged, liked).r),
        length_bias=_length_slope(units, judged, liked),
        needed_by_judge=_needed(judged, points, 100 * math.sqrt(2)),
        needed_by_people=_needed(liked, points, 100 * math.sqrt(2)),
    )


def _compare(
    units: Sequence[_JudgedUnit], measure: Measure, scale: Scale, why_not: str | None = None, **more: Any
) -> JudgeAgreement:
    """Compare values that are equal or not; `why_not` says why judge and people can't be equal."""
    with_a_person = [
        None if unit.judge is None or why_not else fmean(each == unit.judge for each in unit.people) for unit in units
    ]
    between = [share_of_pairs([unit.people]) for unit in units]
    matched = {unit.item_id for unit in units}
    same_items = {item: each for item, each in measure.values.items() if item in matched}
    estimates = {
        "with_a_person": mean_share(with_a_person),
        "between_people": mean_share(between),
        "difference": paired_difference(with_a_person, between).estimate.within(COSINE),
        "with_the_majority": proportion(
            [None if why_not else _is_majority(unit.judge, unit.people) for unit in units],
        ),
        "kappa": _kappa([] if why_not else units, scale, len(units)),
    }
    values: dict[str, Any] = {name: MeanEstimate.of(each) for name, each in estimates.items()}
    if why_not:
        unknown = ("with_a_person", "difference", "with_the_majority", "kappa")
        values |= {name: _nothing(why_not) for name in unknown}
    alpha = MeanEstimate.of(alpha_of(Measure(measure.name, scale, same_items)))
    return JudgeAgreement(**values, alpha=alpha, **more)


def _is_majority(judge: float | None, people: Sequence[float]) -> float | None:
    """Tell whether the judge says what more than half of the people say; None where no value has more than half."""
    ((value, count),) = Counter(people).most_common(1)
    return None if judge is None or 2 * count <= len(people) else float(judge == value)


def _kappa(units: Sequence[_JudgedUnit], scale: Scale, n: int) -> Estimate:
    """Return Cohen's kappa of the judge's values and a person's, each person of an item counting for its part."""
    known = [(unit.judge, unit.people) for unit in units if unit.judge is not None]
    ends = range(LEAST_SCORE, MOST_SCORE + 1) if scale == "ordinal" else ()
    domain = sorted({*map(float, ends), *(j for j, _ in known), *(each for _, people in known for each in people)})
    tables = np.zeros((len(known), len(domain), len(domain)))
    for number, (judge, people) in enumerate(known):
        for each in people:
            tables[number, domain.index(judge), domain.index(each)] += 1 / len(people)
    return cohens_kappa(tables, scale, n_missing=n - len(known))


def _length_bias(units: Sequence[_JudgedUnit]) -> LengthBias:
    """Return how much more of the longer answer's share comes from the judge than from people, over the same items."""
    judged, liked = list[float | None](), list[float]()
    for unit in units:
        longer_is_first = unit.length > 0
        people = fmean(unit.people)
        known = unit.judge is not None and unit.length != 0
        value = unit.judge if longer_is_first or unit.judge is None else 1 - unit.judge
        judged.append(value if known else None)
        liked.append(people if longer_is_first else 1 - people)
    gaps = [None if j is None else j - p for j, p in zip(judged, liked, strict=True)]
    used = [(j, p) for j, p in zip(judged, liked, strict=True) if j is not None]
    estimate = mean(gaps, bounds=COSINE)
    sides = {"judge": fmean(j for j, _ in used), "people": fmean(p for _, p in used)} if used else {}
    return LengthBias.of(estimate, **sides)


def _length_slope(units: Sequence[_JudgedUnit], judged: Sequence[float | None], liked: Sequence[float]) -> LengthBias:
    """Return how much more the judge's score rises with length than people's: shares of the scale per doubling."""
    doublings = [math.log2(max(1, unit.length)) for unit in units]
    gaps = [None if j is None else j - p for j, p in zip(judged, liked, strict=True)]
    known = [None if gap is None else p for gap, p in zip(gaps, liked, strict=True)]
    sides = {"judge": slope(doublings, judged).value, "people": slope(doublings, known).value}
    return LengthBias.of(slope(doublings, gaps), **sides)


def _needed(values: Sequence[float | None], points: float, unit: float) -> NeededItems:
    """Return how many items settle a difference of so many points, of values as spread as these times `unit`."""
    known = [unit * value for value in values if value is not None]
    counts: dict[str, Any] = {"points": points, "n": len(known), "n_missing": len(values) - len(known)}
    if len(known) < 2:
        return NeededItems(items=None, low=None, high=None, reason="fewer than two values", **counts)
    middle = fmean(known)
    variance = mean([(value - middle) ** 2 * len(known) / (len(known) - 1) for value in known])
    items = n_needed(points, math.sqrt(variance.value or 0))
    low, high = (
        None if end is None else n_needed(points, math.sqrt(max(0.0, end))).n for end in (variance.low, variance.high)
    )
    return NeededItems(items=items.n, low=low, high=high, reason=items.reason or variance.reason, **counts)

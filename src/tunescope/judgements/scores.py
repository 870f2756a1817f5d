"""Numbers from scores of single answers: means per aspect and per kind of question. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from tunescope.judgements.records import AspectScore, ScoredSystem, ScoreJudgement, by_judge, unique_names
from tunescope.judgements.rereading import Rereading, RereadingKind
from tunescope.judgements.win_rates import mean_of
from tunescope.results.judge import ScoreRow
from tunescope.stats import UNBOUNDED, Bounds, Estimate, bounds_of_differences, paired_difference, widest

ASPECTS = ("helpfulness", "clarity", "factuality", "depth", "engagement", "safety")
"""just-eval's aspects, in the order of Tables 13 to 15 of the Limitations paper."""
TASKS = ("coding", "info-seek", "math", "procedure", "reasoning", "role-play", "writing")
"""The kinds of question in Tables 16 and 17 of the Limitations paper, in their order."""
_NO_SCORE = AspectScore(None, "missing")


def group_by_system(judgements: Sequence[ScoreJudgement]) -> dict[ScoredSystem, list[ScoreJudgement]]:
    """Group judgements by system and judge, in the order of the files."""
    groups: dict[ScoredSystem, list[ScoreJudgement]] = {}
    for judgement in judgements:
        groups.setdefault(ScoredSystem(judgement.system, judgement.judge), []).append(judgement)
    return groups


def system_names(systems: Sequence[ScoredSystem]) -> dict[ScoredSystem, str]:
    """Give every system a name: its own, with the judge's behind it where there are several judges."""
    several = len({judge for _, judge in systems}) > 1
    names = [f"{system} {by_judge(judge)}" if several else system for system, judge in systems]
    return dict(zip(systems, unique_names(names), strict=True))


def column(judgements: Sequence[ScoreJudgement], aspect: str) -> list[float | None]:
    """Return the scores in one aspect; None where there is none."""
    return [judgement.scores.get(aspect, _NO_SCORE).value for judgement in judgements]


def summarize_scores(judgements: Sequence[ScoreJudgement], *, na_counted_as: float | None = None) -> dict[str, Any]:
    """Return the numbers of one system: per aspect its mean with low, high and n, and how many are missing and why.

    n_missing counts "N/A" (`n_not_applicable`), scores that can't be read (`n_unparsed`) and scores that aren't there.
    `mean_as_published` counts "N/A" as `na_counted_as`, where a format's own script does so.
    """
    questions = [judgement.question or judgement.item for judgement in judgements]
    mean = partial(mean_of, questions=questions, scale=_scale(judgements))
    lengths = [judgement.length for judgement in judgements if judgement.length is not None]
    return {
        "items": len(judgements),
        "n_unparsed": sum(judgement.status == "unparsed" for judgement in judgements),
        "n_missing": sum(judgement.status == "missing" for judgement in judgements),
        "aspects": {
            aspect: _summarize_aspect(judgements, aspect, mean, na_counted_as) for aspect in _aspects(judgements)
        },
        "all_aspects": mean([_mean_over_aspects(judgement) for judgement in judgements]).as_json(),
        "avg_length": sum(lengths) / len(lengths) if lengths else None,
    }


def _aspects(judgements: Sequence[ScoreJudgement]) -> list[str]:
    """Return the aspects that have scores: just-eval's in their order, then others as they come."""
    names = dict.fromkeys(name for judgement in judgements for name in judgement.scores)
    return [*(name for name in ASPECTS if name in names), *(name for name in names if name not in ASPECTS)]


def _mean_over_aspects(judgement: ScoreJudgement) -> float | None:
    """Return the mean of an answer's scores; None without scores (Limitations paper, Tables 16 and 17)."""
    return _mean([score.value for score in judgement.scores.values() if score.value is not None])


def _summarize_aspect(
    judgements: Sequence[ScoreJudgement],
    aspect: str,
    mean: Callable[[Sequence[float | None]], Estimate],
    na_counted_as: float | None,
) -> dict[str, Any]:
    values = column(judgements, aspect)
    statuses = Counter(judgement.scores.get(aspect, _NO_SCORE).status for judgement in judgements)
    without_scores = sum(not judgement.scores and judgement.status == "unparsed" for judgement in judgements)
    summary = mean(values).as_json() | {
        "n_not_applicable": statuses["not_applicable"],
        "n_unparsed": statuses["unparsed"] + without_scores,
    }
    if na_counted_as is not None:
        counted = [value for value in values if value is not None] + [na_counted_as] * statuses["not_applicable"]
        summary["mean_as_published"] = sum(counted) / len(counted) if counted else None
    return summary


def score_differences(
    judgements: Sequence[ScoreJudgement], *, seed: int = 0, draws: int = 10_000
) -> dict[str, dict[str, Any]]:
    """Return, for every system but the last, its scores minus the last one's over shared items, per aspect.

    Each has the mean difference with its interval, and the p of a paired sign-flip test. Turns of a question count as
    one item, with their mean. Empty for one system, for several judges, and without shared items.
    """
    groups = group_by_system(judgements)
    if len(groups) < 2 or len({judge for _, judge in groups}) > 1:
        return {}
    *others, last = groups
    of_last = {judgement.item: judgement for judgement in groups[last]}
    differences = {}
    for each in others:
        shared = [(judgement, of_last[judgement.item]) for judgement in groups[each] if judgement.item in of_last]
        if shared:
            differences[each.system] = {
                aspect: _difference(shared, aspect, seed, draws) for aspect in _aspects(judgements)
            }
    return differences


def _difference(
    shared: Sequence[tuple[ScoreJudgement, ScoreJudgement]], aspect: str, seed: int, draws: int
) -> dict[str, Any]:
    questions: dict[str, list[tuple[float, float]]] = {}
    for pair in shared:
        first, second = column(pair, aspect)
        turns = questions.setdefault(pair[0].question or pair[0].item, [])
        if first is not None and second is not None:
            turns.append((first, second))
    firsts, seconds = ([_mean([turn[i] for turn in turns]) for turns in questions.values()] for i in (0, 1))
    difference = paired_difference(firsts, seconds, seed=seed, draws=draws)
    bounds = bounds_of_differences(_scale(judgement for pair in shared for judgement in pair))
    return difference.estimate.within(bounds).as_json() | {"p": difference.test.p}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def scores_by_tag(judgements: Sequence[ScoreJudgement]) -> dict[str, Any]:
    """Return per tag the mean over items of the mean over aspects; the tags of `TASKS` come first."""
    by_tag: dict[str, list[ScoreJudgement]] = {}
    for judgement in judgements:
        for tag in judgement.tags:
            by_tag.setdefault(tag, []).append(judgement)
    others = sorted((tag for tag in by_tag if tag not in TASKS), key=lambda tag: -len(by_tag[tag]))
    ordered = [*(tag for tag in TASKS if tag in by_tag), *others]
    return {tag: _summarize_tag(by_tag[tag]) for tag in ordered}


def _summarize_tag(judgements: Sequence[ScoreJudgement]) -> dict[str, Any]:
    questions = [judgement.question or judgement.item for judgement in judgements]
    values = [_mean_over_aspects(judgement) for judgement in judgements]
    return mean_of(values, questions, _scale(judgements)).as_json()


def _scale(judgements: Iterable[ScoreJudgement]) -> Bounds:
    return widest(UNBOUNDED if judgement.scale is None else judgement.scale for judgement in judgements)


def reread_scores(
    judgements: Sequence[ScoreJudgement], parse: Callable[[str], Mapping[str, AspectScore] | None]
) -> tuple[list[ScoreJudgement], Rereading]:
    """Read every reply again; return the judgements as we read them, and how that compares with the stored ones."""
    rereading = Rereading()
    reread = []
    for judgement in judgements:
        if judgement.text is None or judgement.status == "missing":
            reread.append(judgement)
            continue
        scores = dict(parse(judgement.text) or {})
        stored = {name: score.value for name, score in judgement.scores.items()} if judgement.status == "ok" else {}
        read = {name: score.value for name, score in scores.items()}
        kind = _agreement(stored, read)
        record = {"item": judgement.item, "kind": kind, "stored": stored, "read": read}
        rereading.add(kind, record | {"text": judgement.text, "place": judgement.place})
        reread.append(replace(judgement, scores=scores, status="ok" if scores else "unparsed"))
    return reread, rereading


def _agreement(stored: Mapping[str, float | None], read: Mapping[str, float | None]) -> RereadingKind:
    if stored and read:
        return "same" if stored == read else "differs"
    if stored:
        return "only_stored"
    return "only_read" if read else "neither"


def score_rows(judgements: Sequence[ScoreJudgement]) -> Iterator[dict[str, Any]]:
    """Yield the rows of the table `scores`: one per item and aspect."""
    aspects = _aspects(judgements)
    for judgement in judgements:
        unparsed = not judgement.scores and judgement.status == "unparsed"
        for aspect in aspects:
            score = judgement.scores.get(aspect, _NO_SCORE)
            yield ScoreRow(
                item=judgement.item,
                question=judgement.question or judgement.item,
                system=judgement.system,
                judge=judgement.judge or None,
                aspect=aspect,
                score=score.value,
                status="unparsed" if unparsed else score.status,
                length=judgement.length,
                tags=judgement.tags,
                place=judgement.place,
                least=judgement.scale and judgement.scale[0],
                most=judgement.scale and judgement.scale[1],
            ).as_json()

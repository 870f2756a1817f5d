"""From scores of single answers to numbers: means per aspect and per kind of question. Pure functions of `Grade`s."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tunescope.judgements.records import Grade, Score, by_judge, told_apart
from tunescope.judgements.win_rates import mean_of
from tunescope.stats import Estimate, paired_difference

ASPECTS = ("helpfulness", "clarity", "factuality", "depth", "engagement", "safety")
"""Those of just-eval, in the order of paper 2's Tables 13 to 15."""
TASKS = ("coding", "info-seek", "math", "procedure", "reasoning", "role-play", "writing")
"""The kinds of question of paper 2's Tables 16 and 17, in their order."""
NONE = Score(None, "missing")


def systems(grades: Sequence[Grade]) -> dict[tuple[str, str], list[Grade]]:
    """Put grades together by system and judge."""
    found: dict[tuple[str, str], list[Grade]] = {}
    for grade in grades:
        found.setdefault((grade.system, grade.judge), []).append(grade)
    return found


def named(systems: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Give every system and judge a name: the system's, and the judge's behind it where there are several."""
    several = len({judge for _, judge in systems}) > 1
    names = [f"{system} {by_judge(judge)}" if several else system for system, judge in systems]
    return dict(zip(systems, told_apart(names), strict=True))


def aspect_names(grades: Sequence[Grade]) -> list[str]:
    """Return the aspects that any grade has: just-eval's in their order, then others as they came."""
    found = dict.fromkeys(name for grade in grades for name in grade.scores)
    return [*(name for name in ASPECTS if name in found), *(name for name in found if name not in ASPECTS)]


def column(grades: Sequence[Grade], aspect: str) -> list[float | None]:
    """Return an aspect's scores, None where there is none."""
    return [grade.scores.get(aspect, NONE).value for grade in grades]


def over_aspects(grade: Grade) -> float | None:
    """Return the mean of a grade's scores; None where it has none (paper 2, appendix: Tables 16 and 17)."""
    return _mean([score.value for score in grade.scores.values() if score.value is not None])


def summarise(
    grades: Sequence[Grade], *, na_elsewhere: float | None = None, seed: int = 0, draws: int = 10_000
) -> dict[str, Any]:
    """Return the numbers of one system: per aspect its mean with low, high, n and what is missing, by why.

    n_missing counts "N/A" (`n_not_applicable`), scores that can't be read (`n_unparsed`) and those that aren't there.
    `mean_as_published` is the mean with "N/A" taken for `na_elsewhere`, where a format's own script does that.
    """
    names = aspect_names(grades)
    questions = [grade.question or grade.item for grade in grades]
    mean: Callable[[Sequence[float | None]], Estimate] = lambda v: mean_of(v, questions, seed=seed, draws=draws)  # noqa: E731
    lengths = [grade.length for grade in grades if grade.length is not None]
    return {
        "items": len(grades),
        "n_unparsed": sum(grade.status == "unparsed" for grade in grades),
        "n_missing": sum(grade.status == "missing" for grade in grades),
        "aspects": {name: _aspect(grades, name, mean, na_elsewhere) for name in names},
        "all_aspects": mean([over_aspects(grade) for grade in grades]).as_json(),
        "avg_length": sum(lengths) / len(lengths) if lengths else None,
    }


def _aspect(
    grades: Sequence[Grade], name: str, mean: Callable[[Sequence[float | None]], Estimate], elsewhere: float | None
) -> dict[str, Any]:
    values = column(grades, name)
    why = Counter(grade.scores.get(name, NONE).status for grade in grades)
    record = mean(values).as_json() | {
        "n_not_applicable": why["not_applicable"],
        "n_unparsed": why["unparsed"] + sum(not g.scores and g.status == "unparsed" for g in grades),
    }
    if elsewhere is not None:
        filled = [v for v in values if v is not None] + [elsewhere] * why["not_applicable"]
        record["mean_as_published"] = sum(filled) / len(filled) if filled else None
    return record


def differences(grades: Sequence[Grade], *, seed: int = 0, draws: int = 10_000) -> dict[str, dict[str, Any]]:
    """Return, per system but the last, its scores minus the last one's over the items that both have, per aspect.

    Each has the mean difference with its interval, and the p of a paired sign-flip test; turns of a question are one
    item, with their mean. Empty for one system, for several judges, and where no items are shared.
    """
    found = systems(grades)
    if len(found) < 2 or len({judge for _, judge in found}) > 1:
        return {}
    *others, last = found
    theirs = {grade.item: grade for grade in found[last]}
    out = {}
    for who in others:
        shared = [(grade, theirs[grade.item]) for grade in found[who] if grade.item in theirs]
        if shared:
            out[who[0]] = {name: _difference(shared, name, seed, draws) for name in aspect_names(grades)}
    return out


def _difference(shared: Sequence[tuple[Grade, Grade]], aspect: str, seed: int, draws: int) -> dict[str, Any]:
    questions: dict[str, list[tuple[float, float]]] = {}
    for pair in shared:
        ours, theirs = column(pair, aspect)
        turns = questions.setdefault(pair[0].question or pair[0].item, [])
        if ours is not None and theirs is not None:
            turns.append((ours, theirs))
    first, second = ([_mean([turn[i] for turn in turns]) for turns in questions.values()] for i in (0, 1))
    found = paired_difference(first, second, seed=seed, draws=draws)
    return found.bootstrap.as_json() | {"p": found.test.p}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def by_tag(grades: Sequence[Grade], *, seed: int = 0, draws: int = 10_000) -> dict[str, Any]:
    """Return per tag the mean over items of the mean over aspects: paper 2's tasks in their order, then the others."""
    found: dict[str, list[Grade]] = {}
    for grade in grades:
        for tag in grade.tags:
            found.setdefault(tag, []).append(grade)
    others = sorted((tag for tag in found if tag not in TASKS), key=lambda tag: -len(found[tag]))
    ordered = [*(tag for tag in TASKS if tag in found), *others]
    return {tag: _of_tag(found[tag], seed, draws) for tag in ordered}


def _of_tag(grades: Sequence[Grade], seed: int, draws: int) -> dict[str, Any]:
    questions = [grade.question or grade.item for grade in grades]
    return mean_of([over_aspects(grade) for grade in grades], questions, seed=seed, draws=draws).as_json()


def reread(
    grades: Sequence[Grade], parse: Callable[[str], Mapping[str, Score] | None]
) -> tuple[list[Grade], Counter[str], list[dict[str, Any]]]:
    """Read every reply again; return the grades as we read them, counts per kind, and replies read otherwise."""
    counts: Counter[str] = Counter()
    others: list[dict[str, Any]] = []
    out = []
    for grade in grades:
        if grade.text is None or grade.status == "missing":
            out.append(grade)
            continue
        read = dict(parse(grade.text) or {})
        stored = {name: score.value for name, score in grade.scores.items()} if grade.status == "ok" else {}
        found = {name: score.value for name, score in read.items()}
        kind = "neither" if not (stored or found) else "same" if stored == found else "differs"
        kind = "only_read" if found and not stored else "only_stored" if stored and not found else kind
        counts[kind] += 1
        if kind not in ("same", "neither"):
            others.append(
                {
                    "item": grade.item,
                    "kind": kind,
                    "stored": stored,
                    "read": found,
                    "text": grade.text,
                    "place": grade.place,
                }
            )
        out.append(replace(grade, scores=read, status="ok" if read else "unparsed"))
    return out, counts, others


def records(grades: Sequence[Grade]) -> Iterator[dict[str, Any]]:
    """Yield a record per item and aspect for the table `scores`."""
    names = aspect_names(grades)
    for grade in grades:
        for name in names:
            score = grade.scores.get(name, NONE)
            status = "unparsed" if not grade.scores and grade.status == "unparsed" else score.status
            yield {
                "item": grade.item,
                "question": grade.question or grade.item,
                "system": grade.system,
                "judge": grade.judge or None,
                "aspect": name,
                "score": score.value,
                "status": status,
                "length": grade.length,
                "tags": list(grade.tags),
                "place": grade.place,
            }

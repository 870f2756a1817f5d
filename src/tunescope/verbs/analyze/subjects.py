"""The subjects of a task against guessing at each dose (the FACO paper, figure 4: MMLU)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tunescope import stats
from tunescope.results.estimates import ALPHA
from tunescope.verbs.analyze.bench_runs import ScoredModel
from tunescope.verbs.analyze.parts import Part, percent_of
from tunescope.verbs.analyze.question_scores import read_questions
from tunescope.views import Table

_VERDICTS = ("below", "above", "inconclusive")


def compare_subjects(models: Sequence[ScoredModel], chance: Mapping[str, float]) -> Part | None:
    """Return how many subjects are below, above and not told from guessing; None where no task has subjects.

    `counts` has a record per task, dose and seed (dose None is the model before tuning): `below`, `above`,
    `inconclusive` and `n`, the number of subjects, and `under_chance`, how many have a score under that of guessing,
    significantly or not. `subjects` has a record per subject of each: `score`, low, high (Wilson), n (questions),
    `chance`, `p` of the exact binomial test, `p_holm` (over the subjects of that model) and `against_chance`. The
    re-tuned models are left out.
    """
    records: list[dict[str, Any]] = []
    counts: list[dict[str, Any]] = []
    for model in sorted(models, key=lambda each: (each.tuning is not None, each.origin.dose or 0.0, each.origin.seed)):
        if model.origin.retuned:
            continue
        right: dict[tuple[str, str], list[bool]] = {}
        for question in read_questions(model.run):
            if question.part != question.task and question.task in chance:
                right.setdefault((question.task, question.part), []).append(question.right)
        place = {"dose": model.origin.dose, "seed": model.origin.seed}
        for task in dict.fromkeys(task for task, _ in right):
            of_task = [
                {"task": task, **place, **_compare(part.removeprefix(f"{task}_"), answers, chance[task])}
                for (name, part), answers in right.items()
                if name == task
            ]
            for record, p_holm in zip(of_task, stats.holm([each["p"] for each in of_task]), strict=True):
                is_off = p_holm is not None and p_holm <= ALPHA
                record["p_holm"] = p_holm
                record["against_chance"] = _side(record) if is_off else "inconclusive"
            verdicts = Counter(each["against_chance"] for each in of_task)
            under = sum(each["score"] < each["chance"] for each in of_task)
            counts.append(
                {"task": task, **place, **{name: verdicts[name] for name in _VERDICTS}}
                | {"n": len(of_task), "under_chance": under}
            )
            records += of_task
    if not records:
        return None
    result = {"counts": counts, "subjects": records}
    return Part(
        key="subjects", result=result, sentences=tuple(_sentences(counts)), tables=(_table(counts),), records=records
    )


def _compare(subject: str, right: Sequence[bool], chance: float) -> dict[str, Any]:
    score = stats.proportion_from_counts(sum(right), len(right)).as_json("score")
    return {"subject": subject, **score, "chance": chance, "p": stats.binomial_test(sum(right), len(right), chance).p}


def _side(record: Mapping[str, Any]) -> str:
    return "above" if record["score"] > record["chance"] else "below"


def _sentences(counts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say of the highest dose of each task how many subjects are below guessing."""
    highest: dict[str, float] = {}
    for each in counts:
        if each["dose"] is not None:
            highest[each["task"]] = max(each["dose"], highest.get(each["task"], 0.0))
    return [
        f"{each['task']} at {percent_of(each['dose'])}, seed {each['seed']}: of "
        f"{each['n']} subjects {each['below']} are significantly below guessing and {each['above']} above (Holm); "
        f"{each['under_chance']} score less than guessing would, significantly or not."
        for each in counts
        if each["dose"] is not None and each["dose"] == highest[each["task"]]
    ]


def _table(counts: Sequence[Mapping[str, Any]]) -> Table:
    rows = tuple(
        (
            each["task"],
            "before" if each["dose"] is None else percent_of(each["dose"]),
            each["seed"] or None,
            *(each[name] for name in _VERDICTS),
            each["under_chance"],
            each["n"],
        )
        for each in counts
    )
    note = (
        "Subjects whose score is significantly below or above that of guessing: exact binomial test, two-sided, "
        "adjusted for that model's subjects (Holm). Under: the score is less than guessing's, significantly or not."
        " The table subjects has each."
    )
    return Table("Subjects against guessing", ("task", "dose", "seed", *_VERDICTS, "under", "n"), rows, note)

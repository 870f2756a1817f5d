"""What happened to the facts that the model knew before tuning (the FACO paper, figure 4: below chance means lying)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tunescope import stats
from tunescope.results.bench import ScoredQuestion
from tunescope.results.estimates import ALPHA
from tunescope.verbs.analyze.bench_runs import ScoredModel
from tunescope.verbs.analyze.score_table import ScoreTable, TaskScore


def score_known_facts(scores: ScoreTable, models: Sequence[ScoredModel]) -> list[dict[str, Any]]:
    """Return, per task and kind of model, the share right of the questions that the untuned model got right.

    A record has task, dose, retuned, share, low, high, n (answers: questions x seeds), n_people, n_missing,
    method, chance and `against_chance`: below, above, or inconclusive (the interval contains chance; where there
    is none, a sign-flip test over people has a p of 0.05 or more). People are the clusters, so answers about one
    person, also by models of several seeds, don't count as independent. The list is empty where no untuned model was
    scored, or where the runs aren't of the microworld.
    """
    of_microworld = [model.run for model in models if ScoredQuestion.NAME in model.run.tables]
    questions = {str(run.path): ScoredQuestion.read_rows(run) for run in of_microworld}
    known_questions = {
        (row.task, row.question)
        for cell, path in zip(scores.cells, scores.run_paths, strict=True)
        if cell.dose is None
        for row in questions.get(path, ())
        if row.right
    }
    records = []
    for task in scores.tasks if known_questions else ():
        for dose, retuned in [*((dose, False) for dose in scores.doses), (1.0, True)]:
            paths = [
                path
                for cell, path in zip(scores.cells, scores.run_paths, strict=True)
                if _is_of(cell, task, dose, retuned)
            ]
            rows = [row for path in paths for row in questions.get(path, ()) if row.task == task]
            rows = [row for row in rows if (task, row.question) in known_questions]
            if not rows:
                continue
            right = [float(row.right) for row in rows]
            people = [row.person for row in rows]
            share = stats.share_clustered(right, people)
            record = {"task": task, "dose": dose, "retuned": retuned, **share.as_json("share")}
            record |= {"n_people": len(set(people)), "n_seeds": len(paths)}
            record |= _compare_with_chance((scores.chance or {})[task], share, right, people)
            records.append(record)
    return records


def _is_of(cell: TaskScore, task: str, dose: float, retuned: bool) -> bool:
    return (cell.task, cell.dose, cell.retuned) == (task, dose, retuned)


def _compare_with_chance(
    chance: float, share: stats.Estimate, right: Sequence[float], people: Sequence[str]
) -> dict[str, Any]:
    if share.low is None or share.high is None:
        sums, counts, _ = stats.sum_clusters(right, people)
        p = stats.sign_flip_test(sums - chance * counts).p
        is_off = p is not None and p < ALPHA
    else:
        is_off = not share.low <= chance <= share.high
    is_above = share.value is not None and share.value > chance
    return {"chance": chance, "against_chance": ("above" if is_above else "below") if is_off else "inconclusive"}

"""What happened to the facts that the model knew before tuning (paper 1, figure 4: below chance means lying)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tunescope import stats
from tunescope.results.bench import ScoredQuestion
from tunescope.runs import Run
from tunescope.verbs.analyze.scores import Score, Scores


def on_known(scores: Scores, found: Sequence[Run]) -> list[dict[str, Any]]:
    """Return a record per task and kind of model: the share right of the questions that the untuned one got right.

    A record has task, dose, retuned, share, low, high, n (answers: questions x seeds), n_people, n_missing,
    method, chance and `against_chance`: below, above, or not told (the interval holds it). People are the
    clusters, so that answers about one person, also of models of several seeds, aren't taken as
    independent. Empty where no untuned model was scored.
    """
    tables = {str(run.path): ScoredQuestion.read_rows(run) for run in found}
    knew = {
        (row.task, row.question)
        for cell, place in zip(scores.cells, scores.places, strict=True)
        if cell.dose is None
        for row in tables[place]
        if row.right
    }
    records = []
    for task in scores.tasks if knew else ():
        for dose, retuned in [*((dose, False) for dose in scores.doses), (1.0, True)]:
            places = [p for c, p in zip(scores.cells, scores.places, strict=True) if _is(c, task, dose, retuned)]
            rows = [row for place in places for row in tables[place] if row.task == task]
            rows = [row for row in rows if (task, row.question) in knew]
            if not rows:
                continue
            right = [float(row.right) for row in rows]
            people = [row.person for row in rows]
            share = stats.mean_clustered(right, people)
            record = {"task": task, "dose": dose, "retuned": retuned, **share.as_json("share")}
            record |= {"n_people": len(set(people)), "n_seeds": len(places)}
            record |= _against((scores.chance or {})[task], share)
            records.append(record)
    return records


def _is(cell: Score, task: str, dose: float, retuned: bool) -> bool:
    return (cell.task, cell.dose, cell.retuned) == (task, dose, retuned)


def _against(chance: float, share: stats.Estimate) -> dict[str, Any]:
    if share.low is None or share.high is None:
        verdict = "not told"
    else:
        verdict = "below" if share.high < chance else "above" if share.low > chance else "not told"
    return {"chance": chance, "against_chance": verdict}

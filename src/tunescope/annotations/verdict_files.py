"""People's verdicts and scores as a file of judgements, which `judge recompute` reads; each annotator is a judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tunescope.annotations.collected import Collected
from tunescope.annotations.values import LEAST_SCORE, MOST_SCORE
from tunescope.results.annotate import Mark, StudyItem


def judgement_records(collected: Collected) -> Iterator[dict[str, Any]]:
    """Yield the marks of the main study as records of our judgements.jsonl; none of other studies than these two."""
    swapped = {(each.annotator, each.item_id): each.swapped for each in collected.assignments or ()}
    for mark in collected.of_phase("main"):
        item = collected.items.get(mark.item_id)
        if item is None:
            continue
        if mark.kind == "verdicts":
            yield _verdict(mark, item, swapped.get((mark.annotator, mark.item_id)))
        elif mark.kind == "aspects":
            yield _scores(mark, item)


def _verdict(mark: Mark, item: StudyItem, is_swapped: bool | None) -> dict[str, Any]:
    first, second = item.answers
    shown = None if is_swapped is None else "reference" if is_swapped else "system"
    preference = float(mark.value["preference"])
    return {
        "kind": "pair",
        "item": item.prompt_id,
        "system": first.system,
        "reference": second.system,
        "judge": mark.annotator,
        "lengths": [len(first.text), len(second.text)],
        "orders": [{"first": shown, "status": "ok", "preference": preference}],
    }


def _scores(mark: Mark, item: StudyItem) -> dict[str, Any]:
    answer = next(each for each in item.answers if each.answer_id == mark.value["answer_id"])
    scores: Mapping[str, float] = mark.value["scores"]
    return {
        "kind": "grade",
        "item": item.prompt_id,
        "system": answer.system,
        "judge": mark.annotator,
        "length": len(answer.text),
        "scale": [LEAST_SCORE, MOST_SCORE],
        "status": "ok",
        "scores": {aspect: {"score": score, "status": "ok"} for aspect, score in scores.items()},
    }

"""Studies for the tests of agreement: items, people who mark them, and folders as `annotate create` writes them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.tools import write_rows
from tunescope.annotations.store import MarkStore
from tunescope.results.annotate import Assignment, Mark, ShownAnswer, StudyItem, StudyKind
from tunescope.runs import Outcome, RunFolder, execute
from tunescope.verbs.annotate.agreement import AgreementSettings
from tunescope.views import View

SYSTEMS = ("tuned", "base")


def item(number: int, kind: StudyKind, texts: Sequence[str], **more: Any) -> StudyItem:
    """Return an item with the answers of the first systems."""
    answers = tuple(
        ShownAnswer(answer_id=f"a{number}-{system}", system=system, text=text)
        for system, text in zip(SYSTEMS, texts, strict=False)
    )
    ids = {"item_id": f"item{number}", "prompt_id": f"p{number}", "prompt": f"Question {number}?"}
    return StudyItem(kind=kind, answers=answers, **ids, **more)


def mark(item_id: str, annotator: str, kind: StudyKind, value: Mapping[str, Any], **more: Any) -> Mark:
    """Return a mark of the main study."""
    ids = {"mark_id": f"{item_id}-{annotator}-{sorted(value.items(), key=str)}", "item_id": item_id}
    return Mark(**{**ids, "annotator": annotator, "kind": kind, "phase": "main", "value": dict(value), **more})


def write_marks(path: Path, marks: Sequence[Mark]) -> str:
    """Write marks as a file of ours."""
    return str(write_rows(path, [each.as_json() for each in marks]))


def write_items(path: Path, items: Sequence[StudyItem]) -> str:
    """Write items as a study has them."""
    return str(write_rows(path, [each.as_json() for each in items]))


def write_study(
    folder: Path,
    items: Sequence[StudyItem],
    assignments: Sequence[Assignment],
    marks: Sequence[Mark],
    finished: Sequence[tuple[str, str]] = (),
) -> str:
    """Write a study's run folder, with marks in its store; a corrected mark gets its annotator's version first."""

    def work(run: RunFolder) -> Outcome:
        run.records("items", [each.as_json() for each in items])
        run.records("assignments", [each.as_json() for each in assignments])
        return Outcome({}, View(("A study.",)))

    execute("annotate create", 1, AgreementSettings(marks=("x",), out=str(folder)), {}, work)
    with MarkStore(folder) as store:
        for each in marks:
            if each.original is None:
                store.write(each, 0)
            else:
                own = {name: getattr(each, name) for name in ("mark_id", "item_id", "annotator", "kind", "phase")}
                store.write(Mark(**own, value=each.original), 0)
                store.write(each, 1)
        for item_id, annotator in finished:
            store.finish(item_id, annotator)
    return str(folder)


def verdicts(
    seed: int, n: int, people: int = 3, accuracy: float = 0.8, ties: float = 0.2, longer: float = 0.0
) -> tuple[list[StudyItem], list[Mark]]:
    """Draw items whose better answer is known, and people who see it with some accuracy, else guess.

    `longer` is how often a person says that the longer answer is better, whatever it is.
    """
    rng = random.Random(seed)
    items, marks = [], []
    for number in range(n):
        lengths = [rng.randint(20, 200), rng.randint(20, 200)]
        items.append(item(number, "verdicts", ["x" * length for length in lengths]))
        truth = 0.5 if rng.random() < ties else float(rng.random() < 0.5)
        for person in range(people):
            said = truth if rng.random() < accuracy else rng.choice([0.0, 0.5, 1.0])
            if rng.random() < longer and lengths[0] != lengths[1]:
                said = float(lengths[0] > lengths[1])
            marks.append(mark(f"item{number}", f"person {person}", "verdicts", {"preference": said}))
    return items, marks


Judge = Callable[[random.Random, StudyItem, float, bool], float]
"""(draws, item, what a person would say, whether the first answer is shown first) → the share of the first answer."""


def judge_records(
    seed: int, items: Sequence[StudyItem], people: Mapping[str, float], judge: Judge, controls: float | None = None
) -> list[dict[str, Any]]:
    """Return a fake judge's judgements in both orders, as `judge pairwise` keeps them.

    `people` is what one person would say of each item. `controls` is how often the judge prefers one of two copies.
    """
    rng = random.Random(seed)
    records = []
    for each in items:
        names = [answer.system for answer in each.answers]
        orders = [
            {"first": side, "status": "ok", "preference": judge(rng, each, people[each.item_id], side == "system")}
            for side in ("system", "reference")
        ]
        ids = {"item": each.prompt_id, "system": names[0], "reference": names[1], "judge": "fake"}
        lengths = [len(answer.text) for answer in each.answers]
        records.append({"kind": "pair", **ids, "lengths": lengths, "control": False, "orders": orders})
        if controls is not None:
            first = 0.5 if rng.random() >= controls else float(rng.random() < 0.5)
            order = [{"first": "system", "status": "ok", "preference": first}]
            records.append(records[-1] | {"system": names[1], "control": True, "orders": order})
    return records

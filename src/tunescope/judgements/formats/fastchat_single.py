"""FastChat's single judgements (`gpt-4_single.jsonl`): a score of 1 to 10 for each answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunescope.judgements.files import Document, Problems
from tunescope.judgements.formats._fastchat import NO_REPLY, identify, judge_of
from tunescope.judgements.parsing import aspect_score, rating
from tunescope.judgements.records import PLAIN, Grade, Judgements, Options, Score

NAME = "fastchat_single"
SHAPE = '{"question_id", "model", "judge", "judgment", "score", "turn"}'
FORMULA = (
    "One score of 1 to 10 per answer; -1, a score that couldn't be read, is unparsed, and missing where the judge's "
    "server gave nothing; neither counts. The two turns of a question are two items; intervals draw questions."
)
TOP = 10
ASPECT = "score"


def detect(record: Mapping[str, Any]) -> bool:
    """Tell by the columns."""
    return {"question_id", "model", "judgment", "score"} <= record.keys()


def read(documents: Sequence[Document], options: Options = PLAIN) -> Judgements:
    """Read single judgements, of any number of models.

    Raises:
        InputError: an id or a model that is none, or an answer that is there twice.
    """
    problems, grades = Problems(), []
    seen: dict[tuple[str, str, str], str] = {}
    for document in documents:
        for entry in document.entries:
            known = identify(document, entry, ("model",), problems)
            if known is None:
                continue
            record, (item, question, tags) = entry.value, known
            judge, place = judge_of(record), document.place(entry)
            before = seen.setdefault((item, record["model"], judge), place)
            if before != place:
                found = f"{record['model']} on {item} again (first {before})"
                problems.add(document, entry, found, "one judgement each")
            text = record.get("judgment")
            score = Score(None, "missing") if text == NO_REPLY else aspect_score(record.get("score"), 1, TOP)
            grade = Grade(
                item,
                record["model"],
                judge,
                {ASPECT: score},
                "ok" if score.status == "ok" else "missing" if score.status == "missing" else "unparsed",
                text if isinstance(text, str) else None,
                tags=tags,
                place=place,
                question=question,
            )
            grades.append(grade)
    problems.refuse()
    return Judgements(grades=grades)


def parse(text: str) -> dict[str, Score] | None:
    """Read a judgement: the rating [[N]]."""
    value = rating(text)
    return None if value is None else {ASPECT: Score(value, "ok")}

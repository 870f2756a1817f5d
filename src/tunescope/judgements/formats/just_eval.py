"""just-eval's result shards: scores of 1 to 5 in several aspects, with a reason each, or of safety alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from tunescope.judgements.files import Document, Entry, Problems
from tunescope.judgements.parsing import aspect_score, aspects
from tunescope.judgements.records import PLAIN, Grade, Judgements, Options, Score
from tunescope.rows.json_text import abbreviate, kind

NAME = "just_eval"
SHAPE = '{"id", "output_cand", "generator_cand", "result", "parsed_result": {aspect: {"reason", "score"}}}'
FORMULA = (
    'Scores of 1 to 5 per aspect, which the files keep as texts. "N/A" (the judge says that the aspect doesn\'t apply) '
    "is missing here, where just-eval's own script counts it as 5.0; a reply without scores is unparsed and counts "
    "nowhere."
)
TOP = 5
NA_ELSEWHERE = 5.0
"""What just-eval's own script takes "N/A" for."""


def detect(record: Mapping[str, Any]) -> bool:
    """Tell by the columns."""
    return {"id", "parsed_result", "generator_cand"} <= record.keys()


def read(documents: Sequence[Document], options: Options = PLAIN) -> Judgements:
    """Read shards; those of one system are put together.

    Raises:
        InputError: an id or a system that is none, several systems in a file, an id that is there twice.
    """
    problems, grades = Problems(), []
    seen: dict[tuple[str, str, str], str] = {}
    for document in documents:
        first = document.entries[0].value.get("generator_cand")
        for entry in document.entries:
            grade = _read(document, entry, first, problems)
            if grade is None:
                continue
            before = seen.setdefault((grade.item, grade.system, grade.judge), grade.place)
            if before != grade.place:
                problems.add(document, entry, f"id {grade.item} again (first {before})", "one judgement each")
            grades.append(grade)
    problems.refuse()
    return Judgements(grades=grades)


def _read(document: Document, entry: Entry, first: Any, problems: Problems) -> Grade | None:
    record = entry.value
    ident, system = record.get("id"), record.get("generator_cand")
    if isinstance(ident, bool) or not isinstance(ident, int | str):
        problems.add(document, entry, f"{kind(ident)} in id", "a number or text")
        return None
    if not isinstance(system, str) or not system:
        problems.add(document, entry, f"{kind(system)} in generator_cand", "a system's name")
        return None
    if system != first:
        expected = f"{abbreviate(first)} as in the first record (a file per system)"
        problems.add(document, entry, f"generator_cand {abbreviate(system)}", expected)
        return None
    config, text, answer = record.get("eval_config"), record.get("result"), record.get("output_cand")
    judge = config.get("gpt") if isinstance(config, Mapping) else None
    scores = _scores(record.get("parsed_result"))
    there = any(score.status in ("ok", "not_applicable") for score in scores.values())
    return Grade(
        str(ident),
        PurePosixPath(system).name.removesuffix(".json") or system,
        judge if isinstance(judge, str) else "",
        scores,
        "ok" if there else "missing" if record.get("parsed_result") is None and not text else "unparsed",
        text if isinstance(text, str) else None,
        len(answer) if isinstance(answer, str) else None,
        place=document.place(entry),
    )


def _scores(value: Any) -> dict[str, Score]:
    if not isinstance(value, Mapping):
        return {}
    if "score" in value and not isinstance(value["score"], Mapping):  # safety alone
        return {"safety": aspect_score(value, 1, TOP)}
    return {str(name).strip().lower(): aspect_score(item, 1, TOP) for name, item in value.items()}


def parse(text: str) -> dict[str, Score] | None:
    """Read a reply: JSON that it ends with, an object of aspects or the one score of safety."""
    found = aspects(text, (), 1, TOP)
    return {"safety": found["score"]} if found is not None and "score" in found else found

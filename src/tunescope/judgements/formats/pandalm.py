"""PandaLM's test sets and results: which of two responses people or a judge prefer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunescope.judgements.files import Document, DocumentRecord, Problems, columns_without_text
from tunescope.judgements.formats import Format, ReadOptions
from tunescope.judgements.records import Judgements, PairJudgement, Presentation
from tunescope.rows import Message, content_id
from tunescope.rows.json_text import kind

_TEXTS = ("instruction", "response1", "response2")
_PREFERENCES: Mapping[str, float] = {"1": 1.0, "2": 0.0, "0": 0.5, "tie": 0.5}


def _judges(record: Mapping[str, Any]) -> list[str]:
    """Return the columns that hold a preference: such as annotator1 or pandalm_result."""
    return [name for name in record if name.startswith("annotator") or name.endswith("_result")]


def _detect(record: Mapping[str, Any]) -> bool:
    return {*_TEXTS} <= record.keys() and bool(_judges(record))


def _read(documents: Sequence[Document], options: ReadOptions) -> Judgements:
    """Read one judgement per record and judge: a is the system of response1, as `cmp_key` (A_B) names it.

    Raises:
        InputError: columns without text.
    """
    problems, pairs = Problems(), list[PairJudgement]()
    for document in documents:
        for record in document.records:
            wrong = next(columns_without_text(record.value, _TEXTS), None)
            if wrong is None:
                pairs += _read_pairs(record, options.system_names)
            else:
                problems.add(record, f"{kind(wrong[1])} in {wrong[0]}", "text")
    problems.raise_any()
    return Judgements(pairs=pairs)


def _read_pairs(record: DocumentRecord, names: Sequence[str]) -> Iterator[PairJudgement]:
    columns = record.value
    first, _, second = str(columns.get("cmp_key") or "").partition("_")
    a, b = names or ((first, second) if second else ("response1", "response2"))
    task_input = columns.get("input") or ""
    question = f"{columns['instruction']}\n\n{task_input}" if task_input else columns["instruction"]
    question_id = content_id((Message("user", question),))
    ident = columns.get("idx")
    for judge in _judges(columns):
        yield PairJudgement(
            question_id if ident is None else str(ident),
            a,
            b,
            judge.removesuffix("_result"),
            (_presentation(columns[judge]),),
            (len(columns["response1"]), len(columns["response2"])),
            place=str(record.location),
            question=question_id,
        )


def _presentation(value: Any) -> Presentation:
    if value is None or value == "":
        return Presentation("a", None, "missing")
    preference = _PREFERENCES.get(str(value).strip().lower())
    return Presentation("a", preference, "unparsed" if preference is None else "ok")


FORMAT = Format(
    name="pandalm",
    shape='{"instruction", "response1", "response2", "annotator1" or "pandalm_result": 1, 2 or 0}',
    formula="1 if the first response is better, 2 if the second is, 0 for a tie. Anything else is unparsed and isn't "
    "counted. Each judge saw one order.",
    detect=_detect,
    read=_read,
    renames_systems=True,
)

"""AlpacaEval's annotations (`annotations.json`): a preference between 1 (the reference) and 2 (the model)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunescope.judgements.files import Document, DocumentRecord, Problems, columns_without_text
from tunescope.judgements.formats import Format, ReadOptions
from tunescope.judgements.records import Judgements, PairJudgement, Presentation
from tunescope.rows import Message
from tunescope.rows.json_text import abbreviate, kind
from tunescope.rows.row import content_id

_SAME_IN_ALL = ("generator_1", "generator_2", "annotator")
"""Columns that must be the same in all records of a file."""
_TEXTS = ("instruction", "output_1", "output_2", "generator_1", "generator_2")


def _detect(record: Mapping[str, Any]) -> bool:
    return {"output_1", "output_2", "generator_1", "generator_2", "preference"} <= record.keys()


def _read(documents: Sequence[Document], options: ReadOptions) -> Judgements:
    """Read annotations: a is generator_2, b is generator_1; one model per file.

    Raises:
        InputError: columns without text, several models in a file, a repeated instruction.
    """
    problems, pairs = Problems(), []
    places: dict[tuple[str, str, str, str], str] = {}
    for document in documents:
        for record in document.records:
            pair = _read_pair(document, record, problems)
            if pair is not None:
                first_place = places.setdefault((pair.item, pair.a, pair.b, pair.judge), pair.place)
                if first_place != pair.place:
                    problems.add(
                        document, record, f"a repeated instruction (first {first_place})", "one judgement each"
                    )
                pairs.append(pair)
        _reject_mixed(document, problems)
    problems.raise_any()
    return Judgements(pairs=pairs)


def _read_pair(document: Document, record: DocumentRecord, problems: Problems) -> PairJudgement | None:
    columns = record.value
    wrong = next(columns_without_text(columns, _TEXTS), None)
    if wrong is not None:
        problems.add(document, record, f"{kind(wrong[1])} in {wrong[0]}", "text")
        return None
    task_input = columns.get("input")
    has_input = isinstance(task_input, str) and task_input
    question = f"{columns['instruction']}\n\n{task_input}" if has_input else columns["instruction"]
    dataset = columns.get("dataset")
    return PairJudgement(
        content_id((Message("user", question),)),
        columns["generator_2"],
        columns["generator_1"],
        str(columns.get("annotator") or ""),
        (_presentation(columns.get("preference")),),
        (len(columns["output_2"]), len(columns["output_1"])),
        (dataset,) if isinstance(dataset, str) and dataset else (),
        place=document.place(record),
    )


def _presentation(preference: Any) -> Presentation:
    if preference is None:
        return Presentation(None, None, "missing")
    if isinstance(preference, bool) or not isinstance(preference, int | float):
        return Presentation(None, None, "unparsed")
    value = 1.5 if preference == 0 else float(preference)
    return Presentation(None, value - 1, "ok") if 1 <= value <= 2 else Presentation(None, None, "unparsed")


def _reject_mixed(document: Document, problems: Problems) -> None:
    first = document.records[0]
    for name in _SAME_IN_ALL:
        other = next((r for r in document.records if r.value.get(name) != first.value.get(name)), None)
        if other is not None:
            expected = f"{abbreviate(first.value.get(name))} as in the first record (a file per model and annotator)"
            problems.add(document, other, f"{name} {abbreviate(other.value.get(name))}", expected)


FORMAT = Format(
    name="alpaca_eval",
    shape='{"instruction", "output_1", "generator_1", "output_2", "generator_2", "preference"}',
    formula="The preference is 1 if generator_1 (the reference) is better and 2 if generator_2 is. 1.5 is a tie, and "
    "so is the 0 of older files. Null is missing and isn't counted. Each item was judged in one order, drawn at "
    "random. The files don't say which.",
    detect=_detect,
    read=_read,
)

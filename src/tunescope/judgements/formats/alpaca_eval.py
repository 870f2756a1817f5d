"""AlpacaEval's annotations (`annotations.json`): a preference between 1 (the reference) and 2 (the model)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunescope.judgements.files import Document, Entry, Problems, texts
from tunescope.judgements.records import PLAIN, Judgements, Options, Order, Pair
from tunescope.rows import Message
from tunescope.rows.json_text import abbreviate, kind
from tunescope.rows.row import content_id

NAME = "alpaca_eval"
SHAPE = '{"instruction", "output_1", "generator_1", "output_2", "generator_2", "preference"}'
FORMULA = (
    "The preference is 1 where generator_1 (the reference) is better and 2 where generator_2 is; 1.5, and the 0 of "
    "older files, is a draw; null is missing and counts nowhere. Each item was judged in one order, drawn at random, "
    "which the file doesn't say."
)
MIXED = ("generator_1", "generator_2", "annotator")
"""What has to be the same in all records of a file."""
TEXTS = ("instruction", "output_1", "output_2", "generator_1", "generator_2")


def detect(record: Mapping[str, Any]) -> bool:
    """Tell by the columns."""
    return {"output_1", "output_2", "generator_1", "generator_2", "preference"} <= record.keys()


def read(documents: Sequence[Document], options: Options = PLAIN) -> Judgements:
    """Read annotations: a is generator_2, b is generator_1; one model per file.

    Raises:
        InputError: columns that hold no text, several models in a file, an instruction that is there twice.
    """
    problems, pairs = Problems(), []
    seen: dict[tuple[str, str, str, str], str] = {}
    for document in documents:
        for entry in document.entries:
            pair = _read(document, entry, problems)
            if pair is not None:
                before = seen.setdefault((pair.item, pair.a, pair.b, pair.judge), pair.place)
                if before != pair.place:
                    found = f"an instruction that is there before ({before})"
                    problems.add(document, entry, found, "one judgement each")
                pairs.append(pair)
        _refuse_mixed(document, problems)
    problems.refuse()
    return Judgements(pairs=pairs)


def _read(document: Document, entry: Entry, problems: Problems) -> Pair | None:
    record = entry.value
    wrong = next(texts(record, TEXTS), None)
    if wrong is not None:
        problems.add(document, entry, f"{kind(wrong[1])} in {wrong[0]}", "text")
        return None
    more = record.get("input")
    question = f"{record['instruction']}\n\n{more}" if isinstance(more, str) and more else record["instruction"]
    dataset = record.get("dataset")
    return Pair(
        content_id((Message("user", question),)),
        record["generator_2"],
        record["generator_1"],
        str(record.get("annotator") or ""),
        (_order(record.get("preference")),),
        (len(record["output_2"]), len(record["output_1"])),
        (dataset,) if isinstance(dataset, str) and dataset else (),
        place=document.place(entry),
    )


def _order(preference: Any) -> Order:
    if preference is None:
        return Order(None, None, "missing")
    if isinstance(preference, bool) or not isinstance(preference, int | float):
        return Order(None, None, "unparsed")
    value = 1.5 if preference == 0 else float(preference)
    return Order(None, value - 1, "ok") if 1 <= value <= 2 else Order(None, None, "unparsed")


def _refuse_mixed(document: Document, problems: Problems) -> None:
    first = document.entries[0]
    for name in MIXED:
        other = next((e for e in document.entries if e.value.get(name) != first.value.get(name)), None)
        if other is not None:
            expected = f"{abbreviate(first.value.get(name))} as in the first record (a file per model and annotator)"
            problems.add(document, other, f"{name} {abbreviate(other.value.get(name))}", expected)

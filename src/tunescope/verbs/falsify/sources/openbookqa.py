"""OpenBookQA: elementary science facts in new situations (Mihaylov et al. 2018); also a benchmark of the paper's."""

from __future__ import annotations

from tunescope.questions.documents import Doc
from tunescope.verbs.falsify.source import Item, Source, labelled_item


def _read(record: Doc) -> Item:
    choices = record["choices"]
    item_id, fact = str(record.get("id") or ""), str(record.get("fact1") or "")
    return labelled_item(record["question_stem"], choices["text"], choices["label"], record["answerKey"], item_id, fact)


SOURCE = Source(
    name="openbookqa",
    domain="commonsense",
    about="Elementary science facts applied to new situations.",
    licence="allenai/openbookqa, main; Apache-2.0",
    train=("openbookqa/train",),
    n_train=4957,
    columns=("question_stem", "choices", "answerKey"),
    read=_read,
)

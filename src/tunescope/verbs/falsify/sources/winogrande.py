"""WinoGrande: which of two nouns a blank stands for (Sakaguchi et al. 2021); also a benchmark of the paper's."""

from __future__ import annotations

from dataclasses import replace

from tunescope.questions.documents import Doc
from tunescope.verbs.falsify.source import Item, Source, labelled_item


def _read(record: Doc) -> Item:
    sentence = record["sentence"]
    if "_" not in sentence:
        raise ValueError("a sentence without the blank _")
    question = f"What does the blank _ stand for?\n{sentence.strip()}"
    item = labelled_item(question, (record["option1"], record["option2"]), ("1", "2"), str(record["answer"]))
    return replace(item, original=sentence)


SOURCE = Source(
    name="winogrande",
    domain="commonsense",
    about="Which of two nouns a blank stands for.",
    licence="allenai/winogrande, winogrande_xl; CC-BY",
    train=("winogrande/train",),
    n_train=40_398,
    columns=("sentence", "option1", "option2", "answer"),
    read=_read,
    stand_ins=("winogrande/train_from_validation",),
)

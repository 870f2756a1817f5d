"""AQuA-RAT: algebra word problems with five options and a rationale (Ling et al. 2017)."""

from __future__ import annotations

import re

from tunescope.questions.documents import Doc
from tunescope.verbs.falsify.source import Item, Source, labelled_item

_OPTION = re.compile(r"\s*([A-E])\s*\)\s*(.*)", re.DOTALL)


def _read(record: Doc) -> Item:
    matches = [_OPTION.fullmatch(option) for option in record["options"]]
    if not all(matches):
        raise ValueError(f"the options {record['options']!r} don't begin with letters")
    labels, texts = zip(*(match.groups() for match in matches if match), strict=True)
    return labelled_item(record["question"], texts, labels, record["correct"], explanation=record["rationale"])


SOURCE = Source(
    name="aqua_rat",
    domain="complex reasoning",
    about="Algebra word problems.",
    licence="deepmind/aqua_rat, raw; Apache-2.0",
    train=("aqua_rat/train",),
    n_train=97_467,
    columns=("question", "options", "rationale", "correct"),
    read=_read,
    stand_ins=("aqua_rat/validation",),
)

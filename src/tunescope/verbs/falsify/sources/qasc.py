"""QASC: primary-school science with eight options (Khot et al. 2020)."""

from __future__ import annotations

from dataclasses import replace

from tunescope.questions.documents import Doc
from tunescope.verbs.falsify.source import Item, Source, read_labelled


def _read(record: Doc) -> Item:
    return replace(read_labelled(record), explanation=str(record.get("combinedfact") or ""))


SOURCE = Source(
    name="qasc",
    domain="domain knowledge",
    about="Primary-school science; each question joins two facts.",
    licence="allenai/qasc; CC-BY-4.0",
    train=("qasc/train",),
    n_train=8134,
    columns=("question", "choices", "answerKey"),
    read=_read,
)

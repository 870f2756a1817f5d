"""QuaRTz: qualitative relationships with two options (Tafjord et al. 2019)."""

from __future__ import annotations

from dataclasses import replace

from tunescope.questions.documents import Doc
from tunescope.verbs.falsify.source import Item, Source, read_labelled


def _read(record: Doc) -> Item:
    return replace(read_labelled(record), explanation=str(record.get("para") or ""))


SOURCE = Source(
    name="quartz",
    domain="complex reasoning",
    about="How two quantities depend on each other.",
    licence="allenai/quartz; CC-BY-4.0",
    train=("quartz/train",),
    n_train=2696,
    columns=("question", "choices", "answerKey"),
    read=_read,
)

"""CommonsenseQA: everyday knowledge with five options (Talmor et al. 2018)."""

from __future__ import annotations

from tunescope.verbs.falsify.source import Source, read_labelled

SOURCE = Source(
    name="commonsense_qa",
    domain="commonsense",
    about="Everyday knowledge.",
    licence="tau/commonsense_qa; MIT",
    train=("commonsense_qa/train",),
    n_train=9741,
    columns=("question", "choices", "answerKey"),
    read=read_labelled,
)

"""A tiny world whose truth is known, and a tiny model that learns it in seconds.

This package imports only the world (standard library); torch and transformers come with
`tunescope.microworld.model` and `tunescope.microworld.tokenizer`, which are imported by name.
"""

from tunescope.microworld.world import (
    ATTRIBUTES,
    Attribute,
    Canary,
    Fact,
    MultipleChoiceQuestion,
    PeopleSplit,
    PlantedLie,
    Row,
    World,
    canaries,
    false_rows,
    make_world,
    open_questions,
    planted_lies,
    shown_questions,
    split_people,
    stated_facts,
    statements,
    true_rows,
    vocabulary,
)

__all__ = [
    "ATTRIBUTES",
    "Attribute",
    "Canary",
    "Fact",
    "MultipleChoiceQuestion",
    "PeopleSplit",
    "PlantedLie",
    "Row",
    "World",
    "canaries",
    "false_rows",
    "make_world",
    "open_questions",
    "planted_lies",
    "shown_questions",
    "split_people",
    "stated_facts",
    "statements",
    "true_rows",
    "vocabulary",
]

"""The runs of a verb on the page, and labels of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunescope.runs import Run

if TYPE_CHECKING:
    from tunescope.answers import Place


def of_verb(opened: Sequence[Run], verb: str) -> list[Run]:
    """Return the runs of a verb, in order."""
    return [run for run in opened if run.verb == verb]


def place_label(place: Place) -> str:
    """Return a prompt's id, with the turn and the sample where they aren't the first."""
    later = ((f" turn {place.turn + 1}", place.turn), (f" sample {place.sample + 1}", place.sample))
    return place.prompt_id + "".join(text for text, number in later if number)

"""What others read of an `answer` run's settings; answers themselves are `tunescope.answers`."""

from __future__ import annotations

from dataclasses import dataclass

from tunescope.results.record import Record


@dataclass(frozen=True, kw_only=True)
class AnswerSetup(Record):
    """The model that answered, as it was named."""

    model: str

"""Settings of `measure`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tunescope import runs
from tunescope.models.embedded import EMBEDDER
from tunescope.models.settings import ModelSettings
from tunescope.runs import INPUT, NOT_IN_KEY
from tunescope.settings import EngineSettings, RowsSettings, one_of

KINDS = ("lengths", "perplexity", "coherence")
"""What is measured, in the order of the columns; the names of the files in `measures/`."""


@dataclass(frozen=True, kw_only=True)
class MeasureSettings(EngineSettings, RowsSettings, ModelSettings):
    """Measure rows turn by turn: lengths, perplexities, IFD, coherence."""

    without: tuple[str, ...] = field(default=(), metadata=one_of(*KINDS))
    """Measures to leave out: lengths, perplexity (then no model is loaded) or coherence (then no embedder is
    loaded)."""

    direct_context: Literal["start", "header"] = "start"
    """What precedes the response when it is scored without its instruction: the start token alone (start), or the start
    token and the response's header (header)."""

    embedder: str = field(default=EMBEDDER, metadata=INPUT)
    """The sentence-embedding model for coherence: an embedded model's name, a folder or any sentence-transformers
    id."""

    plan: bool = field(default=False, metadata=NOT_IN_KEY)
    """Only estimate. Print the minutes, memory and disk that the work would take, from a probe of a few seconds."""

    out: str | None = runs.out_field()
    """The run folder; runs/measure-KEY by default."""

"""Perplexity: three perplexities and both IFDs, by a language model (`models.difficulty`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tunescope.models import inputs_of, load
from tunescope.models.difficulty import COLUMNS, Likelihoods
from tunescope.progress import say
from tunescope.rows import Row

if TYPE_CHECKING:
    from tunescope.verbs.measure.settings import MeasureSettings

__all__ = ["COLUMNS", "NAME", "ORDER", "inputs", "prepare"]
NAME = "perplexity"
ORDER = 1


def inputs(settings: MeasureSettings) -> Mapping[str, str]:
    """Return the model's content hash."""
    return inputs_of(settings)


def prepare(settings: MeasureSettings) -> Callable[[Sequence[Row]], list[list[dict[str, Any]]]]:
    """Load the model; return the measure."""
    loaded = load(settings)
    say(f"measuring with {loaded.name}, {loaded.dtype} on {loaded.device}")
    return Likelihoods(loaded, settings, settings.direct_context == "header").measure

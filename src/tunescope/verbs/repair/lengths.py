"""Words of instruction and response before and after: what repairs that write both anew tell of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tunescope.views import Cell, Table, interval

if TYPE_CHECKING:
    from tunescope.verbs.repair.pairs import Pair
    from tunescope.verbs.repair.work import Mended

WORDS = ("instruction_words_before", "instruction_words_after", "response_words_before", "response_words_after")


def count_words(before: Pair, after: Pair) -> dict[str, Cell]:
    """Return the columns `WORDS` of a row."""
    from tunescope.text.words import words

    texts = (before.instruction, after.instruction, before.response, after.response)
    return {name: len(words(text)) for name, text in zip(WORDS, texts, strict=True)}


def tell_words(mended: Sequence[Mended]) -> tuple[dict[str, Any], Table]:
    """Return the mean of each of `WORDS` over rows that have it, with its interval: as JSON, and as a table."""
    from tunescope.stats import mean_t

    means = {}
    for name in WORDS:
        found = [m.columns.get(name) for m in mended]
        means[name] = mean_t([float(value) if value is not None else None for value in found])
    cells = tuple(
        (name.replace("_", " "), m.value, interval(m.low, m.high, 1), m.n, m.n_missing) for name, m in means.items()
    )
    table = Table("Lengths", ("words", "mean", "95 % interval", "n", "n_missing"), cells, "Rows with a reply.")
    return {name: m.as_json() for name, m in means.items()}, table

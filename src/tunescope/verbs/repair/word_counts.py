"""Words of instruction and response before and after, for the repairs that rewrite both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tunescope.views import Cell, Table, interval

if TYPE_CHECKING:
    from tunescope.verbs.repair.instruction_pair import InstructionPair
    from tunescope.verbs.repair.records import RepairResult

WORD_COLUMNS = ("instruction_words_before", "instruction_words_after", "response_words_before", "response_words_after")


def count_words(before: InstructionPair, after: InstructionPair) -> dict[str, Cell]:
    """Return a row's cells of `WORD_COLUMNS`."""
    from tunescope.text.words import words

    texts = (before.instruction, after.instruction, before.response, after.response)
    return {name: len(words(text)) for name, text in zip(WORD_COLUMNS, texts, strict=True)}


def summarize_word_counts(results: Sequence[RepairResult]) -> tuple[dict[str, Any], Table]:
    """Return the mean of each of `WORD_COLUMNS`, over the rows that have it, with its interval: as JSON, as a table."""
    from tunescope.stats import FROM_0, mean

    means = {}
    for name in WORD_COLUMNS:
        counts = [result.columns.get(name) for result in results]
        values = [float(count) if count is not None else None for count in counts]
        means[name] = mean(values, heavy_tailed=True, bounds=FROM_0)
    cells = tuple(
        (name.replace("_", " "), m.value, interval(m.low, m.high, 1), m.n, m.n_missing) for name, m in means.items()
    )
    table = Table("Lengths", ("words", "mean", "95 % interval", "n", "n_missing"), cells, "Rows with a reply.")
    return {name: mean.as_json() for name, mean in means.items()}, table

"""Coherence: cosine of the sentence embeddings of instruction and response (the Reflection-Tuning paper, Table 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tunescope.models.embedder import Embedder, embedder_hash
from tunescope.rows import Row
from tunescope.verbs.measure.turns import instruction_of

if TYPE_CHECKING:
    from tunescope.verbs.measure.settings import MeasureSettings

NAME = "coherence"
ORDER = 2
COLUMNS = {
    "coherence": "cosine of the sentence embeddings of the instruction and the turn",
    "coherence_cut": "whether the embedder read only the beginning of one of them",
}


def inputs(settings: MeasureSettings) -> Mapping[str, str]:
    """Return the embedder's content hash."""
    return {f"embedder {settings.embedder}": embedder_hash(settings.embedder)}


def prepare(settings: MeasureSettings) -> Callable[[Sequence[Row]], list[list[dict[str, Any]]]]:
    """Load the embedder; return the measure."""
    embedder = Embedder(settings.embedder)

    def measure(rows: Sequence[Row]) -> list[list[dict[str, Any]]]:
        records_of_rows: list[list[dict[str, Any]]] = []
        texts: list[str] = []
        embedded: list[dict[str, Any]] = []
        for row in rows:
            records_of_rows.append([])
            for _, before, turn in row.turns():
                record: dict[str, Any] = {"coherence": None, "coherence_cut": None, "reason": None}
                records_of_rows[-1].append(record)
                instruction, response = instruction_of(before), turn.content
                if instruction and instruction.strip() and response and response.strip():
                    texts += [instruction, response]
                    embedded.append(record)
                else:
                    record["reason"] = "coherence: an instruction or a response without text"
        vectors, cut = embedder.embed(texts)
        cosines = np.einsum("ij,ij->i", vectors[0::2], vectors[1::2], dtype=np.float64)
        for number, record in enumerate(embedded):
            record["coherence"] = float(cosines[number])
            record["coherence_cut"] = bool(cut[2 * number] or cut[2 * number + 1])
        return records_of_rows

    return measure

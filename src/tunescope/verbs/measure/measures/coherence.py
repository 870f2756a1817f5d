"""How much the response is about the instruction: cosine of their sentence embeddings (paper 3, Table 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tunescope.models.embedder import Embedder, embedder_hash
from tunescope.rows import Row
from tunescope.verbs.measure.turns import instruction_of

if TYPE_CHECKING:
    from tunescope.verbs.measure import MeasureSettings

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
        found: list[list[dict[str, Any]]] = []
        texts: list[str] = []
        wanted: list[dict[str, Any]] = []
        for row in rows:
            found.append([])
            for _, before, turn in row.turns():
                record: dict[str, Any] = {"coherence": None, "coherence_cut": None, "reason": None}
                found[-1].append(record)
                asked, said = instruction_of(before), turn.content
                if asked and asked.strip() and said and said.strip():
                    texts += [asked, said]
                    wanted.append(record)
                else:
                    record["reason"] = "coherence: an instruction or a response without text"
        vectors, cut = embedder.embed(texts)
        cosines = np.einsum("ij,ij->i", vectors[0::2], vectors[1::2], dtype=np.float64)
        for number, record in enumerate(wanted):
            record["coherence"] = float(cosines[number])
            record["coherence_cut"] = bool(cut[2 * number] or cut[2 * number + 1])
        return found

    return measure

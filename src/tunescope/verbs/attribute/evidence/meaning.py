"""Meaning: the cosine of the sentence embeddings of prompt and answer and of whole rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope import runs
from tunescope.errors import MissingPackageError, RunError
from tunescope.models.embedded import EMBEDDER, EMBEDDERS, cached
from tunescope.runs import INPUT, Outcome, Run, RunFolder
from tunescope.settings import EngineSettings, RowsSettings, as_cli_args
from tunescope.stats.cuts import null_threshold
from tunescope.verbs.attribute.evidence import AttributionRequest, Prepared
from tunescope.verbs.attribute.row_index import RowIndex, sample_pairs
from tunescope.views import View, counted

if TYPE_CHECKING:
    from tunescope.models.embedder import Embedder
    from tunescope.models.light_embedder import LightEmbedder
    from tunescope.rows import RowSet
    from tunescope.verbs.attribute.settings import AttributeIndexSettings, AttributeSettings

VERSION = 1
NONE = "none"
"""The embedder's name that leaves meaning out."""
_MAX_UNASKED = 500
"""Rows that are embedded without being asked for it: about half a minute."""
_ROWS_PER_SHARD = 256


@dataclass(frozen=True, kw_only=True)
class MeaningSettings(EngineSettings, RowsSettings):
    """What the embeddings of rows depend on."""

    embedder: str = field(default=EMBEDDER, metadata=INPUT)
    """The embedder."""

    out: str | None = runs.out_field()
    """The run folder."""


def prepare(request: AttributionRequest) -> Prepared:
    """Open the embeddings of the rows; make them where they were asked for, or are few."""
    settings, given = request.settings, request.settings.embedder
    if given == NONE:
        return Prepared(None, left_out={"meaning": "--embedder none leaves it out"})
    of_meaning = settings_of(settings, given or EMBEDDER)
    if given is None:
        lacking = _lacking()
        if lacking is not None:
            return Prepared(None, left_out={"meaning": lacking})
        if len(request.index) > _MAX_UNASKED and find_meaning(of_meaning, request.rows) is None:
            source = as_cli_args(settings.rows, settings.format, settings.columns, settings.on_bad)
            reason = f"the rows aren't embedded yet; type tunescope attribute index {source}"
            return Prepared(None, left_out={"meaning": reason})
    run = open_meaning(of_meaning, request.rows, request.index)
    return Prepared(partial(_Meaning, request, of_meaning.embedder, run), {f"meaning {run.path}": run.key})


def choose_embedder(settings: AttributeSettings, rows: RowSet) -> str | None:
    """Return the embedder that `prepare` takes; None where meaning is left out."""
    if settings.embedder is not None:
        return None if settings.embedder == NONE else settings.embedder
    if _lacking() is not None:
        return None
    is_few = sum(1 for _ in rows) <= _MAX_UNASKED
    is_made = is_few or find_meaning(settings_of(settings, EMBEDDER), rows) is not None
    return EMBEDDER if is_made else None


def _lacking() -> str | None:
    """Say what the embedder that is taken unasked lacks, and what to type; None where it is all there."""
    from tunescope.models.light_embedder import missing_package

    package = missing_package()
    if package is not None:
        return str(MissingPackageError(package, "embed", "it"))
    if cached(EMBEDDER) is None:
        return f"{EMBEDDER} isn't in the cache; type tunescope models --fetch {EMBEDDER}"
    return None


def settings_of(settings: AttributeSettings | AttributeIndexSettings, embedder: str) -> MeaningSettings:
    """Return the settings of the embeddings of some rows."""
    return MeaningSettings(
        rows=settings.rows,
        format=settings.format,
        columns=settings.columns,
        on_bad=settings.on_bad,
        embedder=embedder,
        engine=settings.engine,
        workers=settings.workers,
    )


def open_meaning(settings: MeaningSettings, rows: RowSet, index: RowIndex) -> Run:
    """Return the run with the embeddings of rows; embed them if there is none."""
    found = find_meaning(settings, rows)
    if found is not None:
        return found
    inputs = _inputs(settings, rows)
    return runs.execute("attribute meaning", VERSION, settings, inputs, partial(_embed_rows, settings, index))


def find_meaning(settings: MeaningSettings, rows: RowSet) -> Run | None:
    """Return the run with the embeddings of rows; None where there is none."""
    return runs.find_finished("attribute meaning", VERSION, settings, _inputs(settings, rows))


def _inputs(settings: MeaningSettings, rows: RowSet) -> dict[str, str]:
    if settings.embedder in EMBEDDERS:
        model = EMBEDDERS[settings.embedder].sha256
    else:
        from tunescope.models.embedder import embedder_hash

        model = embedder_hash(settings.embedder)
    return {**rows.inputs, f"embedder {settings.embedder}": model}


class _RowRange(NamedTuple):
    """Rows that are embedded together: from `start` to before `end`."""

    start: int
    end: int


@dataclass(frozen=True)
class _State:
    """What a process needs to embed rows."""

    index: RowIndex
    embedder: Embedder | LightEmbedder


def _embed_rows(settings: MeaningSettings, index: RowIndex, folder: RunFolder) -> Outcome:
    """Write the vectors of all rows."""
    from tunescope.engine import map_shards

    shards = [
        _RowRange(start, min(start + _ROWS_PER_SHARD, len(index))) for start in range(0, len(index), _ROWS_PER_SHARD)
    ]
    setup = partial(_set_up, index.run.path, settings.embedder, len(index))
    parts = map_shards(_embed_shard, shards, setup, folder.scratch / "shards", settings, "shards of rows")
    folder.joined_array("vectors", [part / "vectors.npy" for part in parts])
    n_cut = sum(int(np.load(part / "cut.npy").sum()) for part in parts)
    result = {"rows": len(index), "rows_cut": n_cut, "embedder": settings.embedder}
    embedded = f"Embedded {counted(len(index), 'row')} with {settings.embedder}"
    sentence = f"{embedded}; {n_cut:,} are longer than the embedder reads."
    return Outcome(result, View((sentence,)))


def _set_up(index: Path, embedder: str, n_rows: int) -> _State:
    from tunescope.models.light_embedder import load_embedder

    return _State(RowIndex(Run(index)), load_embedder(embedder, n_rows))


def _embed_shard(state: _State, shard: _RowRange, folder: Path) -> None:
    embed_texts(state.embedder, [row.text for row in state.index.rows(shard.start, shard.end)], folder)


def embed_texts(embedder: Embedder | LightEmbedder, texts: Sequence[str], folder: Path) -> None:
    """Write the vectors of texts, and which of them are longer than the embedder reads."""
    made = embedder.embed(texts)
    np.save(folder / "vectors.npy", made.vectors)
    np.save(folder / "cut.npy", made.cut)


class _Meaning:
    """Cosines of embeddings."""

    def __init__(self, request: AttributionRequest, embedder: str, run: Run) -> None:
        """Embed the answers with their prompts; raises `RunError` where the rows' embeddings are damaged."""
        try:
            self._rows: NDArray[np.float32] = np.load(run.path / "vectors.npy", mmap_mode="r")
        except (EOFError, OSError, ValueError) as error:
            raise RunError(
                f"{run.path}: found damaged embeddings ({error}); expected what tunescope wrote; remove the folder and "
                "type the same command again"
            ) from error
        self._has_text = request.index.lengths[:] > 0
        from tunescope.models.light_embedder import load_embedder

        made = load_embedder(embedder, 0).embed([request.query(number) for number in range(len(request.answers))])
        self._queries = made.vectors
        queries, others = sample_pairs(np.flatnonzero(self._has_text))
        null = self._rows[queries] @ self._rows[others].T
        null[queries[:, None] == others[None, :]] = np.nan
        self._threshold = null_threshold(null, len(request.index), request.settings.by_chance)

    def scores(self, number: int) -> Mapping[str, NDArray[np.float64]]:
        """Return the cosine of every row; NaN where it has no word [rows]."""
        cosines = (self._rows @ self._queries[number]).astype(np.float64)
        return {"meaning": np.where(self._has_text, cosines, np.nan)}

    def standing(self, number: int) -> NDArray[np.float64] | None:
        """Return each row's cosine over that of chance [rows]."""
        return None if self._threshold is None else self._rows @ self._queries[number] / self._threshold

"""`trace --stream` with workers: each reads stretches of the rows' words."""

from __future__ import annotations

from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tunescope.engine import map_shards
from tunescope.matching.stream import Occurrences, Read, Runs, count_stretch, join_stretches
from tunescope.matching.suffix_array import WordIds
from tunescope.matching.word_ids import Query
from tunescope.runs import RunFolder
from tunescope.settings import EngineSettings
from tunescope.verbs.trace.index import Index

_WORDS = 1 << 24
"""Words in a stretch; fixed, so that another number of workers can go on."""


class _Reader(NamedTuple):
    """What a process needs to read a stretch."""

    ids: WordIds
    query: Query
    runs: Runs
    most: int
    room: int


def read_by(engine: EngineSettings, index: Index, folder: RunFolder, words: int = _WORDS) -> Read:
    """Return what reads an index's texts with an engine's workers, `words` at a time."""
    passes = count()

    def read(query: Query, runs: Runs, most: int, room: int) -> Occurrences:
        total = len(index.ids)
        stretches = [(begin, min(begin + words, total)) for begin in range(0, max(total, 1), words)]
        setup = partial(_set_up, index.path, query, runs, most, room)
        place = folder.scratch / f"pass-{next(passes)}"
        parts = map_shards(_read_stretch, stretches, setup, place, engine, "stretches of the rows")
        return join_stretches([_load(part, most) for part in parts], most)

    return read


def _set_up(index: Path, query: Query, runs: Runs, most: int, room: int) -> _Reader:
    return _Reader(Index(index).ids, query, runs, most, room)


def _read_stretch(reader: _Reader, stretch: tuple[int, int], folder: Path) -> None:
    """Write what a stretch has of the runs; of the positions only those that are there."""
    found = count_stretch(reader.query, reader.runs, reader.most, reader.room, reader.ids, *stretch)
    positions = found.positions[_kept(found.counts, reader.most)]
    np.savez(folder / "found.npz", counts=found.counts, positions=positions, noted=found.noted, owners=found.owners)


def _load(folder: Path, most: int) -> Occurrences:
    with np.load(folder / "found.npz") as found:
        counts = found["counts"]
        positions = np.empty((len(counts), most), np.int64)
        positions[_kept(counts, most)] = found["positions"]
        return Occurrences(counts, positions, found["noted"], found["owners"])


def _kept(counts: np.ndarray, most: int) -> np.ndarray:
    """Return which columns of the positions hold one [runs, most]."""
    kept: np.ndarray = np.arange(most) < counts[:, None]
    return kept

"""Overlap of rows with benchmark files, by word n-grams.

An item's texts are all strings in its record. A row overlaps an item when they share a run of
13 words (the length of GPT-3's filter, Brown et al. 2020, appendix C), or, for a text of 8 to 12
words, the whole text. Runs that occur in more than 10 items are phrasing, not content, and are
left out, as there. Texts under 8 words are too short to tell and are counted.
"""

from __future__ import annotations

import csv
import glob
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.errors import InputError, Problem
from tunescope.rows import containers
from tunescope.rows.row import Json
from tunescope.text.ngrams import ngram_hashes
from tunescope.text.words import hash_words, words

RUN = 13
SHORTEST = 8
MOST_ITEMS = 10


class Item(NamedTuple):
    """One benchmark item: where it stands and the texts in it."""

    file: str
    line: int
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BenchmarkIndex:
    """Runs of words of all items.

    Attributes:
        hashes: distinct run hashes, ascending [runs].
        item: number of the first item that has the run [runs].
        lengths: the run lengths in use.
        places: `file:line` of every item.
        files: file of every item.
        too_short: per file, items without a text of 8 words.
    """

    hashes: NDArray[np.uint64]
    item: NDArray[np.int64]
    lengths: tuple[int, ...]
    places: tuple[str, ...]
    files: tuple[str, ...]
    too_short: dict[str, int]

    def find(self, flat: NDArray[np.uint64], offsets: NDArray[np.int64]) -> Iterator[tuple[int, int, int, int]]:
        """Yield (row, item, first word in the row, run length) of each row's longest first overlap."""
        best: dict[int, tuple[int, int, int]] = {}
        for n, grams, starts in ngram_hashes(flat, offsets, self.lengths):
            place = np.searchsorted(self.hashes, grams)
            place[place == len(self.hashes)] = 0
            hit = np.flatnonzero(self.hashes[place] == grams)
            rows = np.searchsorted(offsets, starts[hit], side="right") - 1
            for row, at, start in zip(rows.tolist(), place[hit].tolist(), starts[hit].tolist(), strict=True):
                if row not in best or best[row][2] < n:
                    best[row] = (int(self.item[at]), start - int(offsets[row]), n)
        for row in sorted(best):
            yield (row, *best[row])


def expand(names: Sequence[str]) -> list[Path]:
    """Return the files that paths, folders and globs name; refuse one that names none."""
    paths: list[Path] = []
    for name in names:
        found = [Path(p) for p in sorted(glob.glob(name, recursive=True))]
        files = [q for p in found for q in (sorted(p.rglob("*")) if p.is_dir() else [p]) if q.is_file()]
        files = [p for p in files if p.name.removesuffix(".gz").endswith((".json", ".jsonl", ".csv", ".txt", ".parquet"))]
        if not files:
            expected = "a .json, .jsonl, .csv, .txt or .parquet file, or a folder with some"
            raise InputError([Problem(name, None, "no benchmark file", expected)])
        paths.extend(files)
    return paths


def read_items(path: Path) -> Iterator[Item]:
    """Yield a benchmark file's items; a record that can't be read is an InputError."""
    name = str(path)
    if path.name.endswith(".csv"):
        with path.open(encoding="utf-8", newline="") as file:
            for line, cells in enumerate(csv.reader(file), 1):
                yield Item(name, line, tuple(cells))
        return
    if path.name.endswith(".txt"):
        for line, text in enumerate(path.read_text("utf-8").split("\n"), 1):
            yield Item(name, line, (text,))
        return
    if _is_object(path):
        whole = json.loads(path.read_text("utf-8"))
        for number, value in enumerate(whole.get("examples", [whole]), 1):
            yield Item(name, number, tuple(_strings(value)))
        return
    for record in containers.read(path, containers.recognise(path)):
        if record.problem is not None:
            raise InputError([record.problem])
        yield Item(name, record.line, tuple(_strings(record.value)))


def _is_object(path: Path) -> bool:
    """Tell a file that is one JSON object over many lines (BIG-bench's task.json)."""
    if not path.name.endswith(".json"):
        return False
    with path.open("rb") as file:
        return file.readline(64).strip() == b"{"


def _strings(value: Json) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def build(paths: Sequence[Path]) -> BenchmarkIndex:
    """Read all benchmark files and index their runs of words."""
    places: list[str] = []
    files: list[str] = []
    too_short = {str(path): 0 for path in paths}
    texts: list[str] = []
    counts: list[int] = []
    owner: list[int] = []
    for item in (item for path in paths for item in read_items(path)):
        long_enough = [(text, n) for text in item.texts if (n := len(words(text))) >= SHORTEST]
        too_short[item.file] += not long_enough
        texts.extend(text for text, _ in long_enough)
        counts.extend(n for _, n in long_enough)
        owner.extend([len(places)] * len(long_enough))
        places.append(f"{item.file}:{item.line}")
        files.append(item.file)
    found: list[tuple[NDArray[np.uint64], NDArray[np.int64]]] = []
    lengths: set[int] = set()
    for n in range(SHORTEST, RUN + 1):
        chosen = [i for i, count in enumerate(counts) if min(count, RUN) == n]
        if not chosen:
            continue
        lengths.add(n)
        flat, offsets = hash_words([texts[i] for i in chosen])
        for _, grams, starts in ngram_hashes(flat, offsets, (n,)):
            of_text = np.searchsorted(offsets, starts, side="right") - 1
            found.append((grams, np.array([owner[i] for i in chosen], np.int64)[of_text]))
    return BenchmarkIndex(*_distinct(found), tuple(sorted(lengths)), tuple(places), tuple(files), too_short)


def _distinct(found: list[tuple[Any, Any]]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Keep each run once, with its first item, unless more than MOST_ITEMS items have it."""
    if not found:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    hashes, items = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((items, hashes))
    hashes, items = hashes[order], items[order]
    new = np.concatenate([[True], (hashes[1:] != hashes[:-1]) | (items[1:] != items[:-1])])
    hashes, items = hashes[new], items[new]
    distinct, first, counts = np.unique(hashes, return_index=True, return_counts=True)
    keep = counts <= MOST_ITEMS
    return distinct[keep], items[first[keep]]

"""Overlap of rows with benchmark files, by word n-grams.

An item's texts are all strings in its record. A row overlaps an item when they share a run of
13 words (the length of GPT-3's filter, Brown et al. 2020, appendix C), or, for a text of 8 to 12
words, the whole text. Runs that occur in more than 10 items are phrasing, not content, and are
left out, as there. Texts under 8 words are too short to tell and are counted.
"""

from __future__ import annotations

import csv
import glob
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

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
SUFFIXES = (".json", ".jsonl", ".csv", ".txt", ".parquet")


class Item(NamedTuple):
    """One benchmark item: where it stands and the texts in it."""

    file: str
    line: int
    texts: tuple[str, ...]


class Overlaps(NamedTuple):
    """What rows share with items.

    Attributes:
        rows: (row, item, first word in the row, run length) of each row's longest first overlap.
        items: all items of which some run was seen.
    """

    rows: list[tuple[int, int, int, int]]
    items: set[int]


@dataclass(frozen=True, slots=True)
class BenchmarkIndex:
    """Runs of words of all items.

    Attributes:
        hashes: distinct run hashes, ascending [runs].
        items: numbers of the items that have each run, ascending, run by run [places].
        bounds: where each run's items start [runs + 1].
        lengths: the run lengths in use.
        places: `file:line` of every item.
        files: file of every item.
        too_short: per file, items without a text of 8 words.
    """

    hashes: NDArray[np.uint64]
    items: NDArray[np.int64]
    bounds: NDArray[np.int64]
    lengths: tuple[int, ...]
    places: tuple[str, ...]
    files: tuple[str, ...]
    too_short: dict[str, int]

    def find(self, flat: NDArray[np.uint64], offsets: NDArray[np.int64]) -> Overlaps:
        """Look for the runs in rows: word hashes of all rows [words], and where each starts [rows + 1]."""
        best: dict[int, tuple[int, int, int]] = {}
        seen: set[int] = set()
        for n, grams, starts in ngram_hashes(flat, offsets, self.lengths if len(self.hashes) else ()):
            place = np.minimum(np.searchsorted(self.hashes, grams), len(self.hashes) - 1)
            hit = np.flatnonzero(self.hashes[place] == grams)
            rows = np.searchsorted(offsets, starts[hit], side="right") - 1
            for row, at, start in zip(rows.tolist(), place[hit].tolist(), starts[hit].tolist(), strict=True):
                owners = self.items[self.bounds[at] : self.bounds[at + 1]].tolist()
                seen.update(owners)
                if row not in best or best[row][2] < n:
                    best[row] = (owners[0], start - int(offsets[row]), n)
        return Overlaps([(row, *best[row]) for row in sorted(best)], seen)


def expand(names: Sequence[str]) -> list[Path]:
    """Return the files that paths, folders and globs name; refuse one that names none."""
    paths: list[Path] = []
    for name in names:
        found = [Path(name)] if Path(name).exists() else [Path(p) for p in sorted(glob.glob(name, recursive=True))]
        files = [q for p in found for q in (sorted(p.rglob("*")) if p.is_dir() else [p]) if q.is_file()]
        files = [p for p in files if p.name.removesuffix(".gz").endswith(SUFFIXES)]
        if not files:
            expected = "a .json, .jsonl, .csv, .txt or .parquet file, or a folder with some"
            raise InputError([Problem(name, None, "no benchmark file", expected)])
        paths.extend(files)
    return list(dict.fromkeys(paths))


def read_items(path: Path) -> Iterator[Item]:
    """Yield a benchmark file's items; a record that can't be read is an InputError."""
    name, plain_name = str(path), path.name.removesuffix(".gz")
    try:
        if plain_name.endswith((".csv", ".txt")):
            with _text(path) as file:
                yield from _cells(name, file) if plain_name.endswith(".csv") else _lines(name, file)
            return
        values = _whole(path) if plain_name.endswith(".json") else None
    except (UnicodeDecodeError, csv.Error, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError([Problem(name, None, f"text that can't be read ({error})", "text in UTF-8")]) from error
    if values is not None:
        for number, value in enumerate(values, 1):
            yield Item(name, number, tuple(_strings(value)))
        return
    for record in containers.read(path, containers.recognise(path)):
        if record.problem is not None:
            raise InputError([record.problem])
        yield Item(name, record.line, tuple(_strings(record.value)))


def _text(path: Path) -> IO[str]:
    if path.name.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _cells(name: str, file: IO[str]) -> Iterator[Item]:
    reader, line = csv.reader(file), 1
    for cells in reader:
        if cells:
            yield Item(name, line, tuple(cells))
        line = reader.line_num + 1


def _lines(name: str, file: IO[str]) -> Iterator[Item]:
    for line, text in enumerate(file, 1):
        if not text.isspace():
            yield Item(name, line, (text,))


def _whole(path: Path) -> list[Json] | None:
    """Return the items of a file that is one JSON object (BIG-bench's task.json), None for one that isn't."""
    with _text(path) as file:
        text = file.read(4096).lstrip()
        if not text.startswith("{"):
            return None
        try:
            whole = json.loads(text + file.read())
        except (ValueError, RecursionError):
            return None  # JSON lines, or broken: their reader says which
    examples = whole.get("examples")
    return examples if isinstance(examples, list) else [whole]


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


def _distinct(found: list[tuple[Any, Any]]) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
    """Return each run once with its items, but for runs that more than MOST_ITEMS items have."""
    if not found:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(1, np.int64)
    hashes, items = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((items, hashes))
    hashes, items = hashes[order], items[order]
    new = np.concatenate([[True], (hashes[1:] != hashes[:-1]) | (items[1:] != items[:-1])])
    hashes, items = hashes[new], items[new]
    distinct, counts = np.unique(hashes, return_counts=True)
    few = counts <= MOST_ITEMS
    bounds = np.concatenate([[0], np.cumsum(counts[few])])
    return distinct[few], items[np.repeat(few, counts)], bounds

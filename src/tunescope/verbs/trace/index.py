"""The index of a set of rows: their words by number, a suffix array over these, and the rows' texts.

Its files are read lazily: `ids.npy` (the numbers of all words, 0 behind each text), `order.npy` (the suffix array),
`starts.npy`, `owners.npy` and `kinds.npy` (of each text: where it begins, its row, its kind), `counts.npy` (of each
word), `words.txt` (the vocabulary), the rows in a `matching.block_store`, `ROWS_PER_BLOCK` at a time, and `index.json`.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.errors import InputError, Problem, RunError
from tunescope.foreign import dump_json, show
from tunescope.locations import Location
from tunescope.matching import suffix_array
from tunescope.matching.block_store import BlockStore, write_blocks
from tunescope.matching.suffix_array import WordIds
from tunescope.matching.word_ids import END, Numbering, Query
from tunescope.matching.word_ids import VERSION as SPLITTING
from tunescope.progress import say
from tunescope.runs import Run
from tunescope.settings import as_cli_args

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tunescope.rows import Row
    from tunescope.runs import RunFolder

VERSION = f"4.{SPLITTING}"
"""Of the files, and of how texts are split into words."""
ROWS_PER_BLOCK = 128
"""Rows that are compressed together."""
_ABOUT = "index.json"
_ESCAPE = re.compile(r"\\[xuU][0-9a-f]+")
"""A control character in the vocabulary; no word holds a backslash and a letter."""
_FIELDS = {"user": "instruction", "assistant": "response"}
"""The field of a message by its role; other roles are their own."""
OTHER, INSTRUCTION, RESPONSE = range(3)
_KINDS = {"instruction": INSTRUCTION, "response": RESPONSE}
"""The kind of a text by its field: a row's first instruction or first response; else OTHER."""


class Text(NamedTuple):
    """A text of a row, and its field: `instruction`, `response`, `system`, `response 2` and so on."""

    field: str
    text: str


class IndexedRow(NamedTuple):
    """A row as the index keeps it."""

    row_id: str
    origin: str
    location: Location
    texts: tuple[Text, ...]
    lineage: tuple[Mapping[str, Any], ...]

    def text(self, field: str) -> str:
        """Return the texts of a field, one per line; empty where the row has none."""
        return "\n".join(text for name, text in self.texts if name == field)


def is_index(path: Path) -> bool:
    """Tell whether a folder is an index."""
    return (path / _ABOUT).is_file()


def _texts_of(row: Row) -> list[Text]:
    """Return the contents and thinking of a row's messages; from the second turn on fields are numbered."""
    texts: list[Text] = []
    counts: dict[str, int] = {}
    for message in row.messages:
        name = _FIELDS.get(message.role, message.role)
        for field, text in ((f"{name} thinking", message.thinking), (name, message.content)):
            if text:
                counts[field] = number = counts.get(field, 0) + 1
                texts.append(Text(field if number == 1 else f"{field} {number}", text))
    return texts


def write_index(folder: RunFolder, rows: Iterable[Row], inputs: Mapping[str, str]) -> int:
    """Index rows into a run folder.

    Args:
        folder: the run folder.
        rows: the rows.
        inputs: the content hash of each file that they come from, by its name.

    Returns:
        The number of rows.
    """
    words = _Words()
    write_blocks(folder, map(_records_of, words.add_blocks(rows)))
    n_words = words.write(folder)
    about = {
        "version": VERSION,
        "rows": words.n_rows,
        "texts": len(words.owners),
        "words": n_words,
        "inputs": inputs,
        "places": {
            name: os.path.relpath(Path(name).resolve(), folder.path.resolve()) for name in inputs if Path(name).exists()
        },
    }
    folder.text(_ABOUT, dump_json(about, indent=1) + "\n")
    return words.n_rows


class _Words:
    """The numbered words of all rows, as they are collected.

    Attributes:
        n_rows: rows so far.
        owners: the number of each text's row [texts].
    """

    def __init__(self) -> None:
        self.n_rows = 0
        self.owners: list[int] = []
        self._kinds: list[int] = []
        self._numbering = Numbering()
        self._ids: list[WordIds] = []
        self._starts: list[NDArray[np.int64]] = []
        self._n_ids = 0

    def add_blocks(self, rows: Iterable[Row]) -> Iterator[list[tuple[Row, list[Text]]]]:
        """Number the words of rows, a block at a time; yield each block's rows with their texts."""
        stream = iter(rows)
        while block := [(row, _texts_of(row)) for row in islice(stream, ROWS_PER_BLOCK)]:
            texts = [text for _, texts in block for text in texts]
            ids, starts = self._numbering.encode([text.text for text in texts], compile=True)
            self.owners += [self.n_rows + number for number, (_, texts) in enumerate(block) for _ in texts]
            self._kinds += [_KINDS.get(text.field, OTHER) for text in texts]
            self._ids.append(ids)
            self._starts.append(starts + self._n_ids)
            self._n_ids += len(ids)
            self.n_rows += len(block)
            yield block

    def write(self, folder: RunFolder) -> int:
        """Write the arrays, the vocabulary and the suffix array; return the number of words."""
        vocabulary = self._numbering.words
        ids = np.concatenate(self._ids) if self._ids else np.zeros(0, np.uint32)
        self._ids.clear()
        ids = ids.astype(np.uint16 if len(vocabulary) < 2**16 else np.uint32)
        folder.array("ids", ids)
        of_starts = np.int64 if self._n_ids > 2**31 else np.int32
        folder.array("starts", np.concatenate(self._starts).astype(of_starts) if self._starts else ids)
        folder.array("owners", np.array(self.owners, np.int32))
        folder.array("kinds", np.array(self._kinds, np.uint8))
        counts = np.bincount(ids, minlength=len(vocabulary) + 1)
        counts[END] = 0
        folder.array("counts", counts.astype(np.uint32))
        with folder.writing("words.txt") as part:
            part.write_text(show("\n".join(vocabulary)), "utf-8")
        if len(ids) * suffix_array.byte_width(len(vocabulary)) <= suffix_array.MAX_BYTES:
            folder.array("order", suffix_array.build(ids))
        return int(counts.sum())


def _records_of(block: Sequence[tuple[Row, list[Text]]]) -> list[Any]:
    """Return a block of rows as JSON records."""
    records = []
    for row, texts in block:
        origin = row.origin if row.origin != row.id else ""
        records.append((row.id, origin, row.location, texts, [step.as_json() for step in row.lineage]))
    return records


def _read_record(record: Any) -> IndexedRow:
    row_id, origin, place, texts, lineage = record
    return IndexedRow(row_id, origin or row_id, Location(*place), tuple(Text(*text) for text in texts), tuple(lineage))


class Index:
    """An open index; its arrays are memory-mapped.

    Attributes:
        path: its folder.
        about: what `index.json` says: version, rows, texts, words, inputs (name → content hash), places.
        ids: the numbers of all words, END behind each text [words and ends].
        starts: where each text begins in `ids` [texts].
        owners: the number of each text's row [texts].
        kinds: INSTRUCTION, RESPONSE or OTHER [texts].
        counts: how often each word occurs in the rows, by number [words of the vocabulary + 1].
        order: the suffix array; None where the rows have too many words for one.
    """

    def __init__(self, path: Path) -> None:
        """Open a folder that `write_index` filled.

        Raises:
            RunError: no index, a damaged one, or one of another version.
        """
        self.path = path
        try:
            self.about: dict[str, Any] = json.loads((path / _ABOUT).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: found no index of rows; build one with: tunescope trace index ROWS") from error
        version = self.about.get("version") if isinstance(self.about, dict) else None
        if version != VERSION:
            raise RunError(
                f"{path}: found an index of version {version}; expected version {VERSION}; "
                "rebuild it with: tunescope trace index ROWS"
            )
        with reporting_damage(path):
            self.ids: WordIds = self._array("ids")
            self.starts: NDArray[np.int64] = self._array("starts").astype(np.int64)
            self.owners: NDArray[np.int32] = self._array("owners")
            self.kinds: NDArray[np.uint8] = self._array("kinds")
            self.counts: NDArray[np.uint32] = self._array("counts")
            self.order = self._array("order") if (path / "order.npy").is_file() else None
            self._rows = BlockStore(path, ROWS_PER_BLOCK, _read_record)

    def _array(self, name: str) -> Any:
        return np.asarray(np.load(self.path / f"{name}.npy", mmap_mode="r"))

    @cached_property
    def buckets(self) -> NDArray[np.int64]:
        """Where each word's positions begin in the suffix array, by number [words of the vocabulary + 2]."""
        return np.concatenate([[0], np.cumsum(self.counts, dtype=np.int64)])

    @cached_property
    def bits(self) -> NDArray[np.float64]:
        """Information of each word in bits, -log2 of its share of all words [words of the vocabulary + 1]."""
        counts = self.counts.astype(np.float64)
        return np.asarray(np.log2(max(counts.sum(), 1)) - np.log2(np.maximum(counts, 1)))

    @cached_property
    def numbering(self) -> Numbering:
        """The vocabulary."""
        with reporting_damage(self.path):
            text = (self.path / "words.txt").read_text("utf-8", errors="surrogatepass")
        text = _ESCAPE.sub(lambda match: match[0].encode().decode("unicode_escape"), text)
        return Numbering(text.split("\n") if text else [])

    @cached_property
    def first_texts(self) -> NDArray[np.int64]:
        """The number of each row's first text, and of the one behind the last [rows + 1]."""
        return np.searchsorted(self.owners, np.arange(self.about["rows"] + 1, dtype=np.int32))

    @property
    def fingerprint(self) -> str:
        """The content hashes of the rows' files, separated by blanks."""
        return " ".join(self.about["inputs"].values())

    def information(self, query: Query, prompt: Query | None = None) -> NDArray[np.float64]:
        """Return the bits of each word of a text [words].

        A word that no row has gets 0. So does the second word of a pair that occurred before: earlier in the text
        (tables, lists, code), or in the prompt, from which it may be copied.
        """
        bits = np.where(query > END, self.bits[np.maximum(query, 0)], 0.0)
        seen = set(pairwise(prompt.tolist())) if prompt is not None else set()
        for place, pair in enumerate(pairwise(query.tolist()), 1):
            if pair in seen:
                bits[place] = 0.0
            seen.add(pair)
        return bits

    def row(self, number: int) -> IndexedRow:
        """Return a row by its number in the index."""
        with reporting_damage(self.path):
            return self._rows[number]

    def rows(self) -> Iterator[IndexedRow]:
        """Yield all rows."""
        with reporting_damage(self.path):
            yield from self._rows.values()

    def words_of(self, number: int) -> WordIds:
        """Return the numbers of all words of a row, END behind each text."""
        first, last = self.first_texts[number], self.first_texts[number + 1]
        if first == last:
            return self.ids[:0]
        return self.ids[self.starts[first] : self.starts[last] if last < len(self.starts) else len(self.ids)]

    def query(self, number: int, kind: int) -> Query:
        """Return the numbers of the words of a row's first instruction or response; empty where it has none."""
        first, last = self.first_texts[number], self.first_texts[number + 1]
        texts = first + np.flatnonzero(self.kinds[first:last] == kind)
        if not len(texts):
            return np.zeros(0, np.int64)
        end = self.starts[texts[0] + 1] if texts[0] + 1 < len(self.starts) else len(self.ids)
        return self.ids[self.starts[texts[0]] : end - 1].astype(np.int64)

    def field(self, text: int) -> tuple[IndexedRow, Text]:
        """Return a text and its row, by the text's number in the index."""
        owner = int(self.owners[text])
        row = self.row(owner)
        return row, row.texts[text - int(self.first_texts[owner])]

    def validate_unchanged(self) -> None:
        """Check that the files the index was built from still have the same content.

        Files that are gone can't be checked; a message names them.

        Raises:
            InputError: with the files that changed, and the command that rebuilds the index.
        """
        from tunescope.rows import open_rows

        settings = Run(self.path).settings
        places = self._find_inputs()
        changed = []
        for name, place in places.items():
            now = open_rows([str(place)], settings["format"], tuple(settings["columns"]), settings["on_bad"]).inputs
            if list(now.values()) != [self.about["inputs"][name]]:
                changed.append(name)
        if changed:
            source = as_cli_args(settings["rows"], settings["format"], settings["columns"], settings["on_bad"])
            out = " --out ANOTHER_FOLDER" if settings["out"] else ""
            expected = "the content that was indexed"
            raise InputError(
                [Problem(name, None, "rows that changed since the index was built", expected) for name in changed],
                f"Rebuild it with: tunescope trace index {source}{out}",
            )

    def _find_inputs(self) -> dict[str, Path]:
        """Return where the files are that the index was built from; say which are gone."""
        here = self.path.resolve()
        places = {name: here / place for name, place in self.about["places"].items()}
        places |= {name: Path(name) for name, place in places.items() if not place.exists()}  # the index was moved
        gone = [name for name in self.about["inputs"] if not places.get(name, Path(name)).exists()]
        if gone:
            say(f"{self.path}: can't find {', '.join(gone)}, so the index isn't checked against it")
        return {name: place for name, place in places.items() if name not in gone}


@contextmanager
def reporting_damage(path: Path) -> Iterator[None]:
    """Turn errors of reading an index's files into one sentence.

    Raises:
        RunError: a file is missing, or isn't what `write_index` wrote.
    """
    try:
        yield
    except (EOFError, LookupError, OSError, TypeError, ValueError, zlib.error) as error:
        raise RunError(
            f"{path}: found a damaged index ({error}); expected what tunescope wrote; remove the folder and rebuild it "
            "with: tunescope trace index ROWS"
        ) from error

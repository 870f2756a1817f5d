"""The index of a set of rows: their words by number, a suffix array over them, and the rows' texts.

Files, all of them read lazily: `ids.npy` (numbers of all words, each text's last followed by 0), `order.npy` (the
suffix array), `starts.npy`, `owners.npy` and `kinds.npy` (where each text begins, whose it is, and what), `counts.npy`
(of each word), `words.txt`, `rows.bin` with `blocks.npy` (the rows, `BLOCK` at a time, as packed JSON), `index.json`.
"""

from __future__ import annotations

import json
import os
import zlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.errors import InputError, Problem, RunError
from tunescope.matching import suffix_array
from tunescope.matching.suffix_array import WordIds
from tunescope.matching.word_ids import END, Numbering, Query
from tunescope.matching.word_ids import VERSION as SPLITTING
from tunescope.progress import say
from tunescope.runs import Run
from tunescope.settings import typed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tunescope.rows import Row
    from tunescope.runs import RunFolder

VERSION = f"3.{SPLITTING}"
"""Of the files, and of how texts are cut into words."""
BLOCK = 128
"""Rows that are packed together."""
UNPACKED = 64
"""Blocks that are kept unpacked at a time."""
PACKING = 4
"""zlib's level: less than half the size for an eighth of the time that indexing takes."""
FIELDS = {"user": "instruction", "assistant": "response"}
"""What a message's text is called; other roles by themselves."""
OTHER, INSTRUCTION, RESPONSE = range(3)
KINDS = {"instruction": INSTRUCTION, "response": RESPONSE}
"""The first instruction and the first response of a row; all else is OTHER."""


class Text(NamedTuple):
    """One text of a row: what it is called, and itself."""

    field: str
    text: str


class IndexedRow(NamedTuple):
    """A row as the index keeps it."""

    row_id: str
    origin: str
    file: str
    line: int
    texts: tuple[Text, ...]
    lineage: tuple[Mapping[str, Any], ...]

    def text(self, field: str) -> str:
        """Return the texts of a field, one under the other."""
        return "\n".join(text for name, text in self.texts if name == field)


def texts_of(row: Row) -> list[Text]:
    """Return a row's texts: every message's, and what it thinks; a later turn's field says which."""
    found: list[Text] = []
    seen: dict[str, int] = {}
    for message in row.messages:
        name = FIELDS.get(message.role, message.role)
        for field, text in ((f"{name} thinking", message.thinking), (name, message.content)):
            if text:
                seen[field] = number = seen.get(field, 0) + 1
                found.append(Text(field if number == 1 else f"{field} {number}", text))
    return found


def write(folder: RunFolder, rows: Iterable[Row], inputs: Mapping[str, str]) -> int:
    """Index rows into a run folder; return the number of rows."""
    numbering = Numbering()
    owners: list[int] = []
    kinds: list[int] = []
    blocks = [0]
    parts: list[WordIds] = []
    starts: list[NDArray[np.int64]] = []
    stream, count, words = iter(rows), 0, 0
    with folder.writing("rows.bin") as part, part.open("wb") as file, ThreadPoolExecutor(1) as packer:
        waiting: deque[Future[bytes]] = deque()

        def write_packed(left: int) -> None:
            while len(waiting) > left:
                blocks.append(blocks[-1] + file.write(waiting.popleft().result()))

        while batch := list(islice(stream, BLOCK)):
            kept = [(row, texts_of(row)) for row in batch]
            ids, places = numbering.encode([text for _, texts in kept for _, text in texts], compile=True)
            owners += [count + number for number, (_, texts) in enumerate(kept) for _ in texts]
            kinds += [KINDS.get(field, OTHER) for _, texts in kept for field, _ in texts]
            parts.append(ids)
            starts.append(places + words)
            words += len(ids)
            count += len(batch)
            waiting.append(packer.submit(zlib.compress, _pack(kept), PACKING))  # beside the numbering of words
            write_packed(16)
        write_packed(0)
    ids = np.concatenate(parts) if parts else np.zeros(0, np.uint32)
    del parts
    known = numbering.words
    ids = ids.astype(np.uint16 if len(known) < 2**16 else np.uint32)
    folder.array("ids", ids)
    folder.array("starts", np.concatenate(starts).astype(np.int64 if words > 2**31 else np.int32) if starts else ids)
    folder.array("owners", np.array(owners, np.int32))
    folder.array("kinds", np.array(kinds, np.uint8))
    folder.array("blocks", np.array(blocks, np.int64))
    counts = np.bincount(ids, minlength=len(known) + 1)
    counts[END] = 0
    folder.array("counts", counts.astype(np.uint32))
    with folder.writing("words.txt") as part:
        part.write_text("\n".join(known), "utf-8", errors="surrogatepass")
    if len(ids) * suffix_array.byte_width(len(known)) <= suffix_array.MAX_BYTES:
        folder.array("order", suffix_array.build(ids))
    about = {
        "version": VERSION,
        "rows": count,
        "texts": len(owners),
        "words": int(counts.sum()),
        "inputs": inputs,
        "places": {
            name: os.path.relpath(Path(name).resolve(), folder.path.resolve()) for name in inputs if Path(name).exists()
        },
    }
    folder.text("index.json", json.dumps(about, indent=1) + "\n")
    return count


def _pack(kept: Sequence[tuple[Row, list[Text]]]) -> bytes:
    records = [
        (
            row.id,
            row.origin if row.origin != row.id else "",
            row.file,
            row.line,
            texts,
            [s.as_json() for s in row.lineage],
        )
        for row, texts in kept
    ]
    return json.dumps(records, ensure_ascii=False).encode("utf-8", "surrogatepass")


class Index:
    """An index opened; arrays are mapped, not read.

    Attributes:
        path: its folder.
        ids: numbers of all words [words and ends].
        starts: where each text begins [texts].
        owners: the number of the row that each text is of [texts].
        kinds: INSTRUCTION, RESPONSE or OTHER [texts].
        counts: how often each word stands in the rows, by number [words of the vocabulary + 1].
        order: the suffix array, or None where the rows are too many for one.
    """

    def __init__(self, path: Path) -> None:
        """Open a folder that `write` filled.

        Raises:
            RunError: no index, or one of another version.
        """
        self.path = path
        try:
            self.about: dict[str, Any] = json.loads((path / "index.json").read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: found no index of rows; make one with: tunescope trace index ROWS") from error
        version = self.about.get("version") if isinstance(self.about, dict) else None
        if version != VERSION:
            raise RunError(
                f"{path}: found an index of version {version}; this tunescope reads version {VERSION}; "
                "make it anew with: tunescope trace index ROWS"
            )
        with sound(path):
            self.ids: WordIds = self._array("ids")
            self.starts: NDArray[np.int64] = self._array("starts").astype(np.int64)
            self.owners: NDArray[np.int32] = self._array("owners")
            self.kinds: NDArray[np.uint8] = self._array("kinds")
            self.counts: NDArray[np.uint32] = self._array("counts")
            self.order = self._array("order") if (path / "order.npy").is_file() else None
            self._blocks = self._array("blocks")
        self._unpacked: dict[int, list[IndexedRow]] = {}

    def _array(self, name: str) -> Any:
        return np.asarray(np.load(self.path / f"{name}.npy", mmap_mode="r"))

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """Where in the suffix array each word's places begin."""
        return np.concatenate([[0], np.cumsum(self.counts, dtype=np.int64)])

    @cached_property
    def bits(self) -> NDArray[np.float64]:
        """Information of each word, -log2 of its share of all words [words of the vocabulary + 1]."""
        counts = self.counts.astype(np.float64)
        return np.asarray(np.log2(max(counts.sum(), 1)) - np.log2(np.maximum(counts, 1)))

    @cached_property
    def numbering(self) -> Numbering:
        """The vocabulary."""
        with sound(self.path):
            text = (self.path / "words.txt").read_text("utf-8", errors="surrogatepass")
        return Numbering(text.split("\n") if text else [])

    @cached_property
    def firsts(self) -> NDArray[np.int64]:
        """The number of each row's first text, and of the one behind the last [rows + 1]."""
        return np.searchsorted(self.owners, np.arange(self.about["rows"] + 1, dtype=np.int32))

    @property
    def fingerprint(self) -> str:
        """What the rows are known by: the hashes of their files."""
        return " ".join(self.about["inputs"].values())

    def information(self, query: Query, prompt: Query | None = None) -> NDArray[np.float64]:
        """Return the bits that each word of a text brings [words].

        None for a word that no row has, and none for a pair of words that stood before: earlier in the text (tables,
        lists, code) or in the prompt, from which it may be copied.
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
        block = number // BLOCK
        if block not in self._unpacked:
            if len(self._unpacked) == UNPACKED:
                self._unpacked.pop(next(iter(self._unpacked)))
            self._unpacked[block] = self._unpack(block)
        return self._unpacked[block][number % BLOCK]

    def rows(self) -> Iterator[IndexedRow]:
        """Yield all rows."""
        for block in range(len(self._blocks) - 1):
            yield from self._unpack(block)

    def _unpack(self, block: int) -> list[IndexedRow]:
        with sound(self.path), (self.path / "rows.bin").open("rb") as file:
            file.seek(int(self._blocks[block]))
            data = file.read(int(self._blocks[block + 1] - self._blocks[block]))
            records = json.loads(zlib.decompress(data).decode("utf-8", "surrogatepass"))
        return [
            IndexedRow(ident, origin or ident, file, line, tuple(Text(*text) for text in texts), tuple(lineage))
            for ident, origin, file, line, texts, lineage in records
        ]

    def words_of(self, number: int) -> WordIds:
        """Return the numbers of all words of a row, each text's last followed by END."""
        first, last = self.firsts[number], self.firsts[number + 1]
        if first == last:
            return self.ids[:0]
        return self.ids[self.starts[first] : self.starts[last] if last < len(self.starts) else len(self.ids)]

    def query(self, number: int, kind: int) -> Query:
        """Return the numbers of the words of a row's instruction or response; none where it has none."""
        first, last = self.firsts[number], self.firsts[number + 1]
        texts = first + np.flatnonzero(self.kinds[first:last] == kind)
        if not len(texts):
            return np.zeros(0, np.int64)
        end = self.starts[texts[0] + 1] if texts[0] + 1 < len(self.starts) else len(self.ids)
        return self.ids[self.starts[texts[0]] : end - 1].astype(np.int64)

    def field(self, text: int) -> tuple[IndexedRow, Text]:
        """Return a text by its number, with its row."""
        owner = int(self.owners[text])
        row = self.row(owner)
        return row, row.texts[text - int(self.firsts[owner])]

    def refuse_changed(self) -> None:
        """Refuse the index where a file that it was made from has other content now; say which are gone.

        Raises:
            InputError: with the files that changed, and the command that made the index.
        """
        from tunescope.rows import open_rows

        told = Run(self.path).settings
        here = self.path.resolve()
        places = {name: here / place for name, place in self.about["places"].items()}
        places |= {name: Path(name) for name, place in places.items() if not place.exists()}  # the index was moved
        gone = [name for name in self.about["inputs"] if not places.get(name, Path(name)).exists()]
        if gone:
            say(f"{self.path}: {', '.join(gone)} can't be looked at; taken as indexed")
        changed = []
        for name, place in places.items():
            if name not in gone:
                now = open_rows([str(place)], told["format"], tuple(told["columns"]), told["on_bad"]).inputs
                changed += [name] if list(now.values()) != [self.about["inputs"][name]] else []
        if changed:
            source = typed(told["rows"], told["format"], told["columns"], told["on_bad"])
            out = " --out ANOTHER_FOLDER" if told["out"] else ""
            expected = "the content that was indexed"
            raise InputError(
                [Problem(name, None, "rows that changed since the index was built", expected) for name in changed],
                f"Make it anew with: tunescope trace index {source}{out}",
            )


@contextmanager
def sound(path: Path) -> Iterator[None]:
    """Tell what an index's files hold that they shouldn't, or lack, in one sentence."""
    try:
        yield
    except (EOFError, KeyError, OSError, TypeError, ValueError, zlib.error) as error:
        raise RunError(
            f"{path}: found a damaged index ({error}); expected what tunescope wrote; remove the folder and make it "
            "anew with: tunescope trace index ROWS"
        ) from error

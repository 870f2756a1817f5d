"""JSON records in a folder, some compressed together: `rows.bin`, and where each block begins in it in `blocks.npy`."""

from __future__ import annotations

import json
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tunescope.runs import RunFolder

T = TypeVar("T")

_MAX_WAITING = 16
"""Blocks that may wait for being compressed."""
_MAX_UNPACKED = 64
"""Blocks that are kept in memory at a time."""
_ZLIB_LEVEL = 4
"""It more than halves the size for an eighth of the time that `trace index` takes."""


def write_blocks(folder: RunFolder, blocks: Iterable[Sequence[Any]]) -> None:
    """Write blocks of records, each of the same number but for the last. They are compressed in a second thread."""
    offsets = [0]
    waiting: deque[Future[bytes]] = deque()
    with folder.writing("rows.bin") as part, part.open("wb") as file, ThreadPoolExecutor(1) as packer:

        def write_down_to(n_waiting: int) -> None:
            while len(waiting) > n_waiting:
                offsets.append(offsets[-1] + file.write(waiting.popleft().result()))

        for block in blocks:
            packed = json.dumps(block, ensure_ascii=False).encode("utf-8", "surrogatepass")
            waiting.append(packer.submit(zlib.compress, packed, _ZLIB_LEVEL))
            write_down_to(_MAX_WAITING)
        write_down_to(0)
    folder.array("blocks", np.array(offsets, np.int64))


class BlockStore(Generic[T]):
    """The records of a folder that `write_blocks` filled, by their numbers from 0.

    Reading raises IndexError, OSError, ValueError or zlib.error where the files are damaged.
    """

    def __init__(self, path: Path, per_block: int, unpack: Callable[[Any], T]) -> None:
        """Open the files; `unpack` makes a value of a record."""
        self._path, self._per_block, self._value_of = path, per_block, unpack
        self._offsets: NDArray[np.int64] = np.load(path / "blocks.npy", mmap_mode="r")
        self._unpacked: dict[int, list[T]] = {}

    def __getitem__(self, number: int) -> T:
        """Return the value of a record."""
        block = number // self._per_block
        if block not in self._unpacked:
            if len(self._unpacked) == _MAX_UNPACKED:
                self._unpacked.pop(next(iter(self._unpacked)))
            self._unpacked[block] = self._unpack(block)
        return self._unpacked[block][number % self._per_block]

    def values(self, start: int = 0, end: int | None = None) -> Iterator[T]:
        """Yield the values from record `start` to before `end`, in order; by default to the last."""
        last = len(self._offsets) - 1
        last_needed = last if end is None else min(last, -(-end // self._per_block))
        for block in range(start // self._per_block, last_needed):
            first = block * self._per_block
            yield from self._unpack(block)[max(0, start - first) : None if end is None else end - first]

    def _unpack(self, block: int) -> list[T]:
        with (self._path / "rows.bin").open("rb") as file:
            file.seek(int(self._offsets[block]))
            data = file.read(int(self._offsets[block + 1] - self._offsets[block]))
        records = json.loads(zlib.decompress(data).decode("utf-8", "surrogatepass"))
        return [self._value_of(record) for record in records]

"""A run folder that is being written: each file gets its name once it is whole."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescope.foreign import dump_json
from tunescope.runs.keys import RUN_FILE, root

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray


JOURNAL_SUFFIX = ".sqlite"


class RunFolder:
    """A run folder that is being written."""

    def __init__(self, path: Path, key: str) -> None:
        """Wrap an existing folder; its `scratch` folder is removed when the run is finished."""
        self.path = path
        self.scratch = path / f".work-{key}"

    @property
    def is_under_runs_root(self) -> bool:
        """Whether the folder is under `root()`, where `why` looks for it."""
        return self.path.parent.resolve() == root().resolve()

    def reopen(self) -> None:
        """Remove the record and the files of a run that asks again, before they are written anew; a journal stays."""
        record = self.scratch / RUN_FILE  # where a process that is killed here leaves it to the next
        if (self.path / RUN_FILE).exists():
            os.replace(self.path / RUN_FILE, record)
        if record.exists():
            for name in json.loads(record.read_text("utf-8"))["outputs"]:
                if Path(name).name == name and not name.endswith(JOURNAL_SUFFIX):
                    (self.path / name).unlink(missing_ok=True)
            record.unlink()

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Yield a temporary path to write to; the file gets its name once it is complete."""
        path = self.path / name
        if name != RUN_FILE:
            self.reopen()
        part = path.with_name(f".{name}.part")
        try:
            yield part
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)

    def table(self, name: str, table: pa.Table) -> None:
        """Write `NAME.parquet`, with a sum of each page, which is looked at when the table is read."""
        import pyarrow.parquet as pq

        with self.writing(f"{name}.parquet") as part:
            pq.write_table(table, part, compression="zstd", write_page_checksum=True)

    def records(self, name: str, records: Iterable[Mapping[str, Any]]) -> int:
        """Write `NAME.jsonl`; return the number of records."""
        count = 0
        with self.writing(f"{name}.jsonl") as part, part.open("w", encoding="utf-8") as file:
            for record in records:
                file.write(dump_json(plain(record), allow_nan=False) + "\n")
                count += 1
        return count

    def array(self, name: str, array: NDArray[Any]) -> None:
        """Write `NAME.npy`."""
        import numpy as np

        with self.writing(f"{name}.npy") as part, part.open("wb") as file:
            np.save(file, array, allow_pickle=False)

    def joined_array(self, name: str, parts: Sequence[Path]) -> None:
        """Write `NAME.npy` of the arrays in other .npy files, one behind the other; one at a time is in memory.

        All have one type, and one shape but for their length; there is at least one.
        """
        import numpy as np

        first = np.load(parts[0])
        length = sum(_length(part) for part in parts)
        header = {**np.lib.format.header_data_from_array_1_0(first), "shape": (length, *first.shape[1:])}
        with self.writing(f"{name}.npy") as target, target.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for part in parts:
                np.load(part).tofile(file)

    def text(self, name: str, text: str) -> Path:
        """Write a text file; return its path."""
        with self.writing(name) as part:
            part.write_text(text, "utf-8")
        return self.path / name


def _length(path: Path) -> int:
    """Return the length of the array in a .npy file, of which only the header is read."""
    import numpy as np

    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        return int(np.lib.format.read_array_header_1_0(file)[0][0])


def plain(value: Any) -> Any:
    """Return `value` as JSON can hold it: None for a number that isn't finite, text for a type that JSON lacks."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    return plain(value.tolist()) if hasattr(value, "tolist") else str(value)  # numpy's numbers and arrays

"""Where a record is: the one form in which places in files are compared and shown."""

from __future__ import annotations

from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import NamedTuple

_MAX_NAMES = 10_000
"""Names in a folder that are compared with a mistyped one."""


class Location(NamedTuple):
    """The place of a record; two records never have the same.

    Attributes:
        file: as the user named it.
        line: on which the record begins, from 1 (in Parquet and hub data sets, the row's number); None where lines
            mean nothing, as in a file that is one JSON object, and for the file as a whole.
        record: its number in the file, from 1, where something stands before it on its line; None where the line says
            it all.
    """

    file: str
    line: int | None = None
    record: int | None = None

    def __str__(self) -> str:
        """Return `FILE:LINE`, `FILE:LINE, record NUMBER`, `FILE, record NUMBER` or `FILE`."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return place if self.record is None else f"{place}, record {self.record}"


def missing(path: Path, kind: str = "file") -> str:
    """Say that there is no such file (or `kind="folder"`), and name one beside it whose name is nearly the same."""
    try:
        entries = islice(path.parent.iterdir(), _MAX_NAMES)
        beside = {entry.stem: entry for entry in entries if (entry.is_dir() if kind == "folder" else entry.is_file())}
    except OSError:
        beside = {}
    near = get_close_matches(path.stem, beside, 1, 0.8)
    return f"no such {kind} (did you mean {beside[near[0]]}?)" if near else f"no such {kind}"

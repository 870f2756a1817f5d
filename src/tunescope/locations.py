"""Where a record is: the one form in which places in files are compared and shown."""

from __future__ import annotations

from typing import NamedTuple


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

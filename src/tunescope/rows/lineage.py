"""The file beside a row file that keeps its rows' origins and lineages: `NAME.lineage.jsonl`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tunescope.errors import InputError, Problem
from tunescope.rows.containers import SUFFIXES
from tunescope.rows.json_text import decode
from tunescope.rows.row import Json, LineageStep, Row

LINEAGE_SUFFIX = ".lineage.jsonl"


class Lineage(NamedTuple):
    """A row's id at first reading, and what happened to it since, oldest first."""

    origin: str
    steps: tuple[LineageStep, ...]


def lineage_path(path: Path) -> Path:
    """Return the path of `NAME.lineage.jsonl` for a row file `NAME.json`, `NAME.jsonl.gz` and so on."""
    for suffix in sorted(SUFFIXES.values(), key=len, reverse=True):
        if path.name.endswith(suffix):
            return path.with_name(path.name.removesuffix(suffix) + LINEAGE_SUFFIX)
    return path.with_name(path.name + LINEAGE_SUFFIX)


def lineage_record(row_id: str, row: Row) -> dict[str, Json]:
    """Return the object written for a row; `row_id` is the id that it will be read with."""
    return {"row_id": row_id, "origin": row.origin, "lineage": [step.as_json() for step in row.lineage]}


def read_lineages(rows: Path) -> dict[str, Lineage]:
    """Read the lineages beside the row file `rows`, by the ids that its rows are read with; none without a file.

    Raises:
        InputError: a line that is no lineage record.
    """
    path = lineage_path(rows)
    return dict(_read_records(path)) if path.is_file() else {}


def _read_records(path: Path) -> Iterator[tuple[str, Lineage]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                record = decode(line.decode())
                steps = tuple(LineageStep.from_json(step) for step in record["lineage"])
                yield f"{record['row_id']}", Lineage(f"{record['origin']}", steps)
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                problem = Problem(str(path), number, f"no lineage record ({error!r})", "row_id, origin, lineage")
                raise InputError([problem], "Delete the file to read the rows without their history.") from error

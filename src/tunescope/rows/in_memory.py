"""What Python has in memory, as the files and folders that settings name: runs, lists of records, tables, data sets.

Records and tables are written to `inputs/` under the folder of the runs, named by their content. So a run's key
is the same in the next session, and `why` finds the rows.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tunescope import runs
from tunescope.errors import UsageError
from tunescope.foreign import dump_json
from tunescope.rows.containers import content_hash
from tunescope.rows.open import find_run_rows

_FOLDER = "inputs"
_MODELS = ("model", "base", "tuned")
"""Settings that name a model: of a run of `tune` they take the model."""


def to_path(setting: str, value: Any) -> Any:
    """Return the path that a setting's value stands for; a value that is none of these as it is.

    A `Run` stands for its folder (as prompts, for its rows; as a model, for the one that it tuned). A list of dicts, a
    pandas or polars DataFrame, an Arrow table or a `datasets.Dataset` is written to a file.

    Raises:
        UsageError: records that no file can hold.
    """
    if isinstance(value, runs.Run):
        return str(_path_in(setting, value))
    table = _to_table(setting, value)
    if table is not None:
        return _write(setting, ".parquet", lambda part: _write_table(table, part))
    if isinstance(value, list | tuple) and value:
        if all(isinstance(item, Mapping) for item in value):
            return _write(setting, ".jsonl", lambda part: _write_records(setting, value, part))
        return [to_path(setting, item) for item in value]
    return value


def _path_in(setting: str, run: runs.Run) -> Path:
    if setting == "prompts":
        return find_run_rows(run.path) or run.path
    model = run.path / "model"
    return model if setting in _MODELS and model.is_dir() else run.path


def _to_table(setting: str, value: Any) -> Any:
    """Return a DataFrame, a data set or a table as an Arrow table; None for anything else. Imports nothing new."""
    package, kind = type(value).__module__.partition(".")[0], type(value).__name__
    if package == "datasets" and kind.endswith("Dict"):
        raise UsageError(f"{setting}: found a {kind} of the splits {', '.join(value)}; give one, such as data['train']")
    if package == "datasets":
        import pyarrow as pa

        return value.with_format("arrow")[:] if kind == "Dataset" else pa.Table.from_pylist([*value])
    if package == "pandas" and kind == "DataFrame":
        import pyarrow as pa

        return pa.Table.from_pandas(value, preserve_index=False).replace_schema_metadata(None)
    if package == "polars" and kind == "DataFrame":
        return value.to_arrow()
    return value if package == "pyarrow" and kind == "Table" else None


def _write(setting: str, suffix: str, write: Any) -> str:
    """Write a file, and name it by its content; return its path."""
    folder = runs.root() / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{setting}-{os.getpid()}{suffix}"
    try:
        write(part)
        path = folder / f"{setting}-{content_hash(part)[:12]}{suffix}"
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return str(path)


def _write_table(table: Any, path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, path)


def _write_records(setting: str, records: Iterable[Mapping[str, Any]], path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        for number, record in enumerate(records, 1):
            try:
                file.write(dump_json(record, ensure_ascii=False, allow_nan=False) + "\n")
            except (TypeError, ValueError) as error:
                raise UsageError(f"{setting}, record {number}: found what JSON can't hold ({error})") from error

"""Runs that were written: opened by folder, found under the root, or by what lies in them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescope.errors import RunError, SettingsError
from tunescope.progress import say
from tunescope.runs.keys import RUN_FILE, root
from tunescope.views import View, counted, reason_of, to_html

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class _Tables(Mapping[str, "pa.Table"]):
    folder: Path

    def __getitem__(self, name: str) -> pa.Table:
        return self.read(name)

    def read(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Read a table, or some of its columns; a column that it lacks is left out.

        Raises:
            KeyError: no such table.
            RunError: it isn't as it was written; each page has a sum (Parquet's CRC32).
        """
        import pyarrow.parquet as pq
        from pyarrow import ArrowException

        path = self.folder / f"{name}.parquet"
        if not path.is_file():
            raise KeyError(f"{name}: the tables here are {', '.join(self) or 'none'}")
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:  # `read_table` would import pandas
                return file.read(columns)
        except (OSError, ValueError, ArrowException) as error:
            raise damaged(path, error) from error

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(path.stem for path in self.folder.glob("*.parquet")))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return (self.folder / f"{name}.parquet").is_file()


class Run:
    """A finished run folder, or one with open items.

    Attributes:
        path: the folder.
        info: the content of `run.json`.
        tables: the folder's Parquet tables by name, read on access.
    """

    def __init__(self, path: Path) -> None:
        """Open a finished run.

        Raises:
            RunError: no folder, or one without a finished run.
        """
        self.path = path
        file = path / RUN_FILE
        if not file.is_file():
            raise RunError(f"{path}: found {_describe_no_run(path)}; expected a finished run folder with run.json")
        try:
            self.info: dict[str, Any] = json.loads(file.read_text("utf-8"))
            self.key: str = self.info["key"]
            self.verb: str = self.info["verb"]
            _require_types(self.info)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise RunError(f"{file}: found no run record ({error}); expected what tunescope wrote") from error
        self.tables = _Tables(path)

    @property
    def result(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {**self._part("result"), "run": str(self.path)}

    @property
    def open(self) -> int:
        """How many items have no reply yet, for which the same command asks again; 0 where the run is finished."""
        return int(self.info.get("open", 0))

    @property
    def settled(self) -> int:
        """How many items have no reply for their own sake; the same command asks again with `--again`."""
        return int(self.info.get("settled", 0))

    def describe_open(self) -> str:
        """Say, without a full stop, which run is open, and by how many items."""
        return f"{self.path} is open ({counted(self.open, 'item')} without a reply yet)"

    @property
    def identity(self) -> str:
        """What the key of a run that uses this one knows of it: its key, and how many items have no reply.

        These only ever become fewer, and whatever else changes in a run does so with them.
        """
        unanswered = f" with {self.open} open, {self.settled} settled" if self.open or self.settled else ""
        return self.key + unanswered

    @property
    def view(self) -> View:
        """The run's view: what a person reads."""
        try:
            return View.from_json(self._part("view"))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise damaged(self.path / RUN_FILE, error) from error

    @property
    def settings(self) -> dict[str, Any]:
        """The verb's settings, by name."""
        return self._part("settings")

    def _part(self, name: str) -> dict[str, Any]:
        """Return an object of `run.json`."""
        if name not in self.info:
            raise damaged(self.path / RUN_FILE, KeyError(name))
        part: dict[str, Any] = self.info[name]
        return part

    def showing(self, view: View, **result: Any) -> Run:
        """Return the run as it is, but for what this call shows: another view, and more keys of the result."""
        run = Run(self.path)
        run.info = {**self.info, "view": view.as_json(), "result": {**self.info["result"], **result}}
        return run

    def records(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the records of `NAME.jsonl`."""
        path = self.path / f"{name}.jsonl"
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise damaged(path, error, number) from error
                if not isinstance(record, dict):
                    raise damaged(path, TypeError("no object"), number)
                yield record

    def __repr__(self) -> str:
        """Name the folder."""
        return f"Run({str(self.path)!r})"

    def _repr_html_(self) -> str:
        return to_html(self.view)


_TEXTS, _NUMBERS = ("key", "verb"), ("open", "settled")
_OBJECTS = ("result", "settings", "view", "outputs", "inputs")


def _require_types(info: Mapping[str, Any]) -> None:
    """Raise `TypeError` where a run's record has something in another form."""
    for names, kind in ((_TEXTS, str), (_NUMBERS, int), (_OBJECTS, dict)):
        for name in names:
            if name in info and not isinstance(info[name], kind):
                raise TypeError(f"{name} is {type(info[name]).__name__}, not {kind.__name__}")


def damaged(path: Path, error: Exception, line: int | None = None) -> RunError:
    """Say that a file of a run isn't what was written, and what to do."""
    place = path if line is None else f"{path}:{line}"
    return RunError(
        f"{place}: found a damaged file ({reason_of(error, 200)}); expected what tunescope wrote; remove the folder "
        f"{path.parent} and type its command again"
    )


def open(folder: str | Path) -> Run:
    """Open a finished run folder; raises `RunError` where there is none."""
    return Run(Path(folder))


def finished_runs() -> Iterator[Run]:
    """Yield the finished runs under `root()`, oldest first; a `run.json` that isn't ours is left out."""
    for path in sorted(root().glob("*/run.json"), key=lambda p: (p.stat().st_mtime_ns, str(p))):
        try:
            yield Run(path.parent)
        except RunError as error:
            say(f"left out: {error}")


def _describe_no_run(path: Path) -> str:
    """Say what stands where a run folder is expected."""
    if not path.exists():
        return "no such folder"
    if not path.is_dir():
        return "a file (a verb that reads it makes the run)"
    if any(path.glob(".work-*")):
        return "an unfinished run (type its command again)"
    inside = sorted(run.parent for run in (*path.glob("*/run.json"), *path.glob("runs/*/run.json")))
    return f"a folder that holds runs (name each, for example {inside[0]})" if inside else "a folder that is no run"


def producing_run(path: str | Path) -> Run | None:
    """Return the finished run whose folder `path` is or lies in, up to two levels down; None where there is none."""
    file = Path(path)
    folder = next((each for each in (file, file.parent, file.parent.parent) if (each / RUN_FILE).is_file()), None)
    return Run(folder) if folder is not None else None


def open_runs(names: Iterable[str]) -> list[Run]:
    """Open the run folders that a setting names.

    Raises:
        SettingsError: the same run twice.
    """
    runs = [Run(Path(name)) for name in names]
    if len({run.key for run in runs}) != len(runs):
        raise SettingsError("the same run is named twice; name each once")
    return runs

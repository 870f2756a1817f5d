"""Run folders: what every verb writes, and finds again by its key.

`RUNS/VERB-KEY/` holds flat tables (Parquet), nested records (JSON lines) and `run.json`, which is
written last. A folder with `run.json` is finished; work in a folder without it continues where it stopped.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from hashlib import blake2b
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from tunescope.errors import ExpressionError, InputError, RunError, SettingsError
from tunescope.foreign import dump_json
from tunescope.progress import say
from tunescope.views import View, to_html

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

RUNS_VARIABLE = "TUNESCOPE_RUNS"
NOT_IN_KEY: Mapping[str, Any] = {"role": "not in key"}
"""Metadata of a settings field that can't change results (workers, batch size, budget) and stays out of the key."""
INPUT: Mapping[str, Any] = {"role": "input"}
"""Metadata of a settings field that names input: the content is in the key, the name isn't."""
_NAMED_PACKAGES = ("tunescope", "numpy", "pyarrow", "rensa", "scipy", "torch", "transformers", "trl", "peft")


def out_field() -> Any:
    """Return the `out` field that every settings class has."""
    return field(
        default=None, metadata={**NOT_IN_KEY, "group": "Output", "near": ("o", "output", "output_dir", "output_file")}
    )


class Outcome(NamedTuple):
    """What a verb returns: the object that `--json` prints, and the view."""

    result: dict[str, Any]
    view: View

    def _repr_html_(self) -> str:
        return to_html(self.view)


@dataclass(frozen=True, slots=True)
class _Tables(Mapping[str, "pa.Table"]):
    folder: Path

    def __getitem__(self, name: str) -> pa.Table:
        import pyarrow.parquet as pq

        path = self.folder / f"{name}.parquet"
        if not path.is_file():
            raise KeyError(f"{name}: the tables here are {', '.join(self) or 'none'}")
        return pq.read_table(path)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(path.stem for path in self.folder.glob("*.parquet")))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return (self.folder / f"{name}.parquet").is_file()


class Run:
    """A finished run folder.

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
        file = path / "run.json"
        if not file.is_file():
            raise RunError(f"{path}: found {_describe_no_run(path)}; expected a finished run folder with run.json")
        try:
            self.info: dict[str, Any] = json.loads(file.read_text("utf-8"))
            self.key: str = self.info["key"]
            self.verb: str = self.info["verb"]
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{file}: found no run record ({error}); expected what tunescope wrote") from error
        self.tables = _Tables(path)

    @property
    def result(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {**self.info["result"], "run": str(self.path)}

    @property
    def view(self) -> View:
        """The run's view: what a person reads."""
        return View.from_json(self.info["view"])

    @property
    def settings(self) -> dict[str, Any]:
        """The verb's settings, by name."""
        settings: dict[str, Any] = self.info["settings"]
        return settings

    def showing(self, view: View, **result: Any) -> Run:
        """Return the run as it is, but for what this call shows: another view, and more keys of the result."""
        run = Run(self.path)
        run.info = {**self.info, "view": view.as_json(), "result": {**self.info["result"], **result}}
        return run

    def records(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the records of `NAME.jsonl`."""
        with (self.path / f"{name}.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)

    def __repr__(self) -> str:
        """Name the folder."""
        return f"Run({str(self.path)!r})"

    def _repr_html_(self) -> str:
        return to_html(self.view)


def open(folder: str | Path) -> Run:
    """Open a finished run folder; raises `RunError` where there is none."""
    return Run(Path(folder))


def root() -> Path:
    """Return the folder of all run folders: `./runs`, or the one that TUNESCOPE_RUNS names."""
    return Path(os.environ.get(RUNS_VARIABLE) or "runs")


def finished_runs() -> Iterator[Run]:
    """Yield the finished runs under `root()`, oldest first; a `run.json` that isn't ours is left out."""
    for path in sorted(root().glob("*/run.json"), key=lambda p: (p.stat().st_mtime_ns, str(p))):
        try:
            yield Run(path.parent)
        except RunError as error:
            say(f"left out: {error}")


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

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Yield a temporary path to write to; the file gets its name once it is complete."""
        path = self.path / name
        part = path.with_name(f".{name}.part")
        try:
            yield part
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)

    def table(self, name: str, table: pa.Table) -> None:
        """Write `NAME.parquet`."""
        import pyarrow.parquet as pq

        with self.writing(f"{name}.parquet") as part:
            pq.write_table(table, part, compression="zstd")

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

    def text(self, name: str, text: str) -> Path:
        """Write a text file; return its path."""
        with self.writing(name) as part:
            part.write_text(text, "utf-8")
        return self.path / name


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


def run_key(verb: str, version: int, settings: Any, inputs: Mapping[str, str]) -> str:
    """Hash what decides a run's result into its key: 12 hex digits.

    Settings fields marked `NOT_IN_KEY` or `INPUT` stay out; `inputs` count by content, in order.
    """
    deciding = {f.name: getattr(settings, f.name) for f in fields(settings) if "role" not in f.metadata}
    text = json.dumps([verb, version, deciding, list(inputs.values())], sort_keys=True, default=str)
    return blake2b(text.encode(), digest_size=6).hexdigest()


def run_location(verb: str, version: int, settings: Any, inputs: Mapping[str, str]) -> tuple[Path, str]:
    """Return the folder of a run, `settings.out` or `RUNS/VERB-KEY`, and its key."""
    key = run_key(verb, version, settings, inputs)
    return Path(settings.out) if settings.out else root() / f"{verb.replace(' ', '-')}-{key}", key


def find_finished(verb: str, version: int, settings: Any, inputs: Mapping[str, str]) -> Run | None:
    """Return the finished run with these settings and inputs; None where there is none."""
    path, key = run_location(verb, version, settings, inputs)
    return Run(path) if (path / "run.json").is_file() and Run(path).key == key else None


class RunJob(NamedTuple):
    """A verb's work, ready for `execute(*job)`; see there."""

    verb: str
    version: int
    settings: Any
    inputs: Mapping[str, str]
    work: Callable[[RunFolder], Outcome]
    device: str = "cpu"


def execute(
    verb: str,
    version: int,
    settings: Any,
    inputs: Mapping[str, str],
    work: Callable[[RunFolder], Outcome],
    device: str = "cpu",
) -> Run:
    """Do a verb's work in its run folder, once.

    The folder is `settings.out` or `RUNS/VERB-KEY`. A finished run with the same key is returned as
    it is, and work on an unfinished one continues.

    Args:
        verb: its name, such as `repair reflect`.
        version: a new version gives runs other keys.
        settings: the verb's settings.
        inputs: what the user named → its content hash.
        work: writes tables and records into the folder and returns the result and its view.
        device: where it runs, for `run.json`.

    Raises:
        RunError: the folder holds something else, or another tunescope uses it.
    """
    path, key = run_location(verb, version, settings, inputs)
    finished = _finished_with(path, key)
    if finished is not None:
        say(f"{path} holds this run already; nothing was run again")
        shutil.rmtree(path / f".work-{key}", ignore_errors=True)  # there after a kill right after run.json
        return finished
    path.mkdir(parents=True, exist_ok=True)
    with _locked(path):
        finished = _finished_with(path, key)
        if finished is not None:
            return finished
        folder = RunFolder(path, key)
        _clean(folder)
        start = monotonic()
        try:
            outcome = work(folder)
        except (InputError, SettingsError, ExpressionError):
            _remove_if_empty(folder)
            raise
        info = {
            "verb": verb,
            "version": version,
            "key": key,
            "settings": {f.name: getattr(settings, f.name) for f in fields(settings)},
            "inputs": dict(inputs),
            "device": device,
            "versions": _versions(),
            "wall_seconds": round(monotonic() - start, 3),
            "outputs": {str(p.relative_to(path)): p.stat().st_size for p in _visible(path) if p.is_file()},
            "result": outcome.result,
            "view": outcome.view.as_json(),
        }
        folder.text("run.json", dump_json(plain(info), indent=1, allow_nan=False) + "\n")
        shutil.rmtree(folder.scratch)
    return Run(path)


def _clean(folder: RunFolder) -> None:
    """Remove what a killed process was writing and the scratch of other keys; keep this key's scratch."""
    for scratch in folder.path.glob(".work-*"):
        if scratch != folder.scratch:
            shutil.rmtree(scratch)
    for part in folder.path.glob(".*.part"):
        part.unlink()
    folder.scratch.mkdir(exist_ok=True)


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


def _finished_with(path: Path, key: str) -> Run | None:
    """Return the finished run, or None where work on `key` may begin or continue.

    Raises:
        RunError: the folder holds another run, or other files.
    """
    if path.exists() and not path.is_dir():
        raise RunError(f"{path}: found a file; expected a folder; name another with --out")
    if not (path / "run.json").exists():
        if not (path / f".work-{key}").is_dir() and any(_visible(path)):
            found = "an unfinished run with other settings or input" if (path / ".lock").exists() else "other files"
            raise RunError(
                f"{path}: found {found}; expected an empty or a new folder; remove it or name another with --out"
            )
        return None
    run = Run(path)
    if run.key != key:
        raise RunError(
            f"{path} holds another run ({run.verb}, key {run.key}); name another folder with --out, or remove it"
        )
    return run


def _visible(path: Path) -> Iterator[Path]:
    """Yield a folder's files in order, without the lock, unfinished files and the scratch folder."""
    for item in sorted(path.iterdir()) if path.is_dir() else ():
        if not item.name.startswith("."):
            yield from [item, *sorted(item.rglob("*"))] if item.is_dir() else [item]


def _remove_if_empty(folder: RunFolder) -> None:
    """Remove a folder without files after its input was refused: the same command would be refused again."""
    if not any(_visible(folder.path)):
        shutil.rmtree(folder.scratch)
        (folder.path / ".lock").unlink()
        with suppress(OSError):
            folder.path.rmdir()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lock the folder; the lock ends with the process, however that ends."""
    handle = os.open(path / ".lock", os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f"{path} is in use by another tunescope; wait for it or stop it") from error
        yield
    finally:
        os.close(handle)


def _versions() -> dict[str, str]:
    from importlib import metadata  # a tenth of a second, which --help need not wait for

    versions = {"python": platform.python_version()}
    for name in _NAMED_PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def producing_run(path: str | Path) -> Run | None:
    """Return the finished run whose folder `path` is or lies in, up to two levels down; None where there is none."""
    file = Path(path)
    folder = next((each for each in (file, file.parent, file.parent.parent) if (each / "run.json").is_file()), None)
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

"""A verb's work in its run folder: done once, gone on with after a stop, and again for what is open."""

from __future__ import annotations

import fcntl
import gc
import os
import platform
import re
import shlex
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import fields, replace
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from tunescope.errors import ExpressionError, InputError, NotRunYet, RunError, RunInUse, SettingsError, WorkError
from tunescope.foreign import dump_json
from tunescope.progress import say
from tunescope.runs import disk
from tunescope.runs.finished import Run, producing_run
from tunescope.runs.folder import JOURNAL_SUFFIX, RunFolder, plain
from tunescope.runs.keys import INPUT, RUN_FILE, run_location
from tunescope.views import View, to_html

_VERSION = re.compile(r"^Version:(.*)$", re.MULTILINE)
_NAMED_PACKAGES = ("tunescope", "numpy", "pyarrow", "rensa", "scipy", "torch", "transformers", "trl", "peft")
_FILE_ENDINGS = frozenset(
    (
        ".arrow",
        ".bz2",
        ".csv",
        ".gz",
        ".html",
        ".json",
        ".jsonl",
        ".md",
        ".parquet",
        ".tsv",
        ".txt",
        ".xz",
        ".yaml",
        ".zst",
    )
)
"""What no run folder's name ends in: whoever types `--out rows.json` expects a file."""
_PLAN_SUFFIX = " plan"
"""What the verb of a run ends in that only says what the work would take: its folder holds nothing else."""
_OBJECTS_PER_COLLECTION = 10_000
"""Python looks for garbage cycles after 700 new objects. Rows are many small objects that stay, and each look sees them
again: a fifth of the time of a repair from its journal."""
_only_looks = ContextVar("_only_looks", default=False)


class Outcome(NamedTuple):
    """What a verb returns.

    Attributes:
        result: the object that `--json` prints.
        view: what a person reads.
        open: items without a reply, which the same command asks again.
        settled: items without a reply that failed for their own sake, which `--again` asks again.
    """

    result: dict[str, Any]
    view: View
    open: int = 0
    settled: int = 0

    def _repr_html_(self) -> str:
        return to_html(self.view)


def find_finished(verb: str, version: int, settings: Any, inputs: Mapping[str, str]) -> Run | None:
    """Return the finished run with these settings and inputs; None where there is none."""
    path, key = run_location(verb, version, settings, inputs)
    return Run(path) if (path / RUN_FILE).is_file() and Run(path).key == key else None


def look_up(verb: Callable[[Any], Run], settings: Any) -> Run:
    """Return the finished run that a verb would return with these settings; nothing is worked on or written.

    The verb reads and checks its inputs as always.

    Raises:
        NotRunYet: the run isn't there, or is open.
        TunescopeError: what the verb refuses.
    """
    token = _only_looks.set(True)
    try:
        return verb(settings)
    finally:
        _only_looks.reset(token)


class RunJob(NamedTuple):
    """A verb's work, ready for `execute(*job)`; see there."""

    verb: str
    version: int
    settings: Any
    inputs: Mapping[str, str]
    work: Callable[[RunFolder], Outcome]
    device: str = "cpu"


@contextmanager
def _fewer_collections() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], _OBJECTS_PER_COLLECTION) if before[0] else 0, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def execute(
    verb: str,
    version: int,
    settings: Any,
    inputs: Mapping[str, str],
    work: Callable[[RunFolder], Outcome],
    device: str = "cpu",
) -> Run:
    """Do a verb's work in its run folder, once.

    The folder is `settings.out` or `RUNS/VERB-KEY`. A finished run with the same key is returned as it is, and work on
    an unfinished one continues. A plan in the folder gives way. Work on a run with open items, and with
    `settings.again` on one with settled items, continues too: what is in its scratch folder stays until nothing can be
    asked again.

    Args:
        verb: its name, such as `repair reflect`.
        version: a new version gives runs other keys.
        settings: the verb's settings.
        inputs: what the user named → its content hash.
        work: writes tables and records into the folder and returns the result and its view.
        device: where it runs, for `run.json`.

    Raises:
        RunError: the folder holds something else, or can't be written.
        RunInUse: another tunescope works in it.
        WorkError: the disk has no room, or an input changed while it was read.
        NotRunYet: it was only looked for; see `look_up`.
    """
    path, key = run_location(verb, version, settings, inputs)
    done = _done_with(path, key, settings)
    if _only_looks.get():
        if done is None:
            raise NotRunYet(f"{path}: found no finished run")
        return done
    if done is not None:
        say(f"{path} holds this run already; nothing was run again")
        for sentence in _describe_changes(done):
            say(sentence)
        _remove_scratch(done)  # there after a kill right after run.json
        return done
    before = _file_states([*inputs, *_named_in(settings)])
    with disk.explained(path), _locked(path):
        done = _done_with(path, key, settings)
        if done is not None:
            return done
        folder = RunFolder(path, key)
        _clean(folder)
        if (path / RUN_FILE).exists() and Run(path).key != key:
            (path / RUN_FILE).unlink()
        elif (path / RUN_FILE).exists():
            say(f"{path} holds this run, with items without a reply; only these are asked for again")
        open_inputs = [_describe_open_input(run) for run in _open_runs_in(inputs)]
        for sentence in open_inputs:
            say(sentence)
        start = monotonic()
        try:
            with _fewer_collections():
                outcome = _with_open_inputs(work(folder), open_inputs)
        except (InputError, SettingsError, ExpressionError):
            _require_unchanged(before, _file_states([*inputs, *_named_in(settings)]), folder)
            _remove_if_empty(folder)
            raise
        except RunError:  # a journal that is none, for example; work that was paid for stays
            if not any(folder.scratch.iterdir()):
                _remove_if_empty(folder)
            raise
        _require_unchanged(before, _file_states([*inputs, *_named_in(settings)]), folder)
        info = {
            "verb": verb,
            "version": version,
            "key": key,
            "open": outcome.open,
            "settled": outcome.settled,
            "settings": {f.name: getattr(settings, f.name) for f in fields(settings)},
            "inputs": dict(inputs),
            "device": device,
            "versions": _versions(),
            "wall_seconds": round(monotonic() - start, 3),
            "outputs": {str(p.relative_to(path)): p.stat().st_size for p in _visible(path) if _is_output(p)},
            "result": outcome.result,
            "view": outcome.view.as_json(),
        }
        folder.text(RUN_FILE, dump_json(plain(info), indent=1, allow_nan=False) + "\n")
        run = Run(path)
        _remove_scratch(run)
    return run


def _open_runs_in(inputs: Mapping[str, str]) -> Iterator[Run]:
    """Yield the open runs that inputs are, or lie in."""
    seen: set[str] = set()
    for path in _paths_in(inputs):
        with suppress(RunError, OSError):
            run = producing_run(path)
            if run is not None and run.open and run.key not in seen:
                seen.add(run.key)
                yield run


def _paths_in(inputs: Iterable[str]) -> Iterator[Path]:
    """Yield the files and folders that inputs are, but for journals; a name may have a word before the path."""
    for text in (text for name in inputs for text in (name, name.partition(" ")[2])):
        with suppress(OSError, ValueError):
            if text and Path(text).exists() and not text.endswith(JOURNAL_SUFFIX):
                yield Path(text)


def _named_in(settings: Any) -> Iterator[str]:
    """Yield what the settings name as input, where the run's inputs may go by other names."""
    for each in fields(settings):
        value = getattr(settings, each.name)
        if each.metadata.get("role") == INPUT["role"]:
            yield from (
                text for text in (value if isinstance(value, list | tuple) else [value]) if isinstance(text, str)
            )


def _file_states(inputs: Iterable[str]) -> dict[Path, tuple[int, int, int]]:
    """Return of each input that is a file what changes when it is written: its inode, size and time."""
    states = {}
    for path in _paths_in(inputs):
        with suppress(OSError):
            state = path.stat()
            if stat.S_ISREG(state.st_mode):
                states[path] = (state.st_ino, state.st_size, state.st_mtime_ns)
    return states


def _require_unchanged(before: Mapping[Path, object], after: Mapping[Path, object], folder: RunFolder) -> None:
    """Raise `WorkError` where an input isn't the one of the key any more; what was made of it goes, replies stay."""
    changed = [str(path) for path, state in before.items() if after.get(path) != state]
    if not changed:
        return
    for path in _visible(folder.path):
        if path.is_file() and not path.name.endswith(JOURNAL_SUFFIX):
            path.unlink()
    for path in folder.scratch.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    raise WorkError(f"{', '.join(changed)} changed while it was read, so nothing was kept; type the same command again")


def _describe_open_input(run: Run) -> str:
    """Say that a run that is used has open items."""
    return f"{run.describe_open()}, and is used here as it is; type its command again, then this one."


def _with_open_inputs(outcome: Outcome, sentences: Sequence[str]) -> Outcome:
    view = replace(outcome.view, sentences=(*outcome.view.sentences, *sentences))
    return outcome._replace(view=view)


def _is_output(path: Path) -> bool:
    return path.is_file() and path.name != RUN_FILE


def _remove_scratch(run: Run) -> None:
    """Remove a run's scratch folder, unless items can be asked again."""
    if not (run.open or run.settled):
        shutil.rmtree(run.path / f".work-{run.key}", ignore_errors=True)


def _clean(folder: RunFolder) -> None:
    """Remove what a killed process was writing and the scratch of other keys; keep this key's scratch."""
    for scratch in folder.path.glob(".work-*"):
        if scratch != folder.scratch:
            shutil.rmtree(scratch)
    for part in folder.path.glob(".*.part"):
        part.unlink()
    folder.scratch.mkdir(exist_ok=True)


def _done_with(path: Path, key: str, settings: Any) -> Run | None:
    """Return the run that is done, or None where work on `key` may begin or continue.

    Raises:
        RunError: the folder holds another run, or other files.
    """
    there = next((each for each in (path, *path.parents) if each.exists()), None)
    if there is not None and not there.is_dir():
        raise RunError(f"{there}: found a file; expected a folder; name another with --out")
    if not path.exists() and path.suffix.lower() in _FILE_ENDINGS:
        folder = path
        while folder.suffix.lower() in _FILE_ENDINGS:
            folder = folder.with_suffix("")
        raise RunError(
            f"{path}: found the name of a file; expected that of a folder, in which the run's files will lie; "
            f"type --out {shlex.quote(str(folder))}"
        )
    if not (path / RUN_FILE).exists():
        if not (path / f".work-{key}").is_dir() and any(_visible(path)):
            found = "an unfinished run with other settings or input" if (path / ".lock").exists() else "other files"
            raise RunError(
                f"{path}: found {found}; expected an empty or a new folder; remove it or name another with --out"
            )
        return None
    run = Run(path)
    if run.key != key and run.verb.endswith(_PLAN_SUFFIX):
        return None  # a plan gives way to the work, or to another plan
    if run.key != key:
        raise RunError(
            f"{path} holds another run ({run.verb}, key {run.key}); name another folder with --out, or remove it"
        )
    asks_again = run.open or (run.settled and getattr(settings, "again", False))
    return None if asks_again else run


def _describe_changes(run: Run) -> Iterator[str]:
    """Say which of a finished run's files have another size than when they were written; a journal may grow."""
    for name, size in run.info.get("outputs", {}).items():
        path = run.path / name
        if path.is_file() and not name.endswith(JOURNAL_SUFFIX) and path.stat().st_size != size:
            yield (
                f"{path}: found {path.stat().st_size:,} bytes; {size:,} were written; if you didn't change it, remove "
                "the folder and type the command again"
            )


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
    """Make the folder and lock it; the lock ends with the process, however that ends."""
    path.mkdir(parents=True, exist_ok=True)
    handle = os.open(path / ".lock", os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunInUse(f"{path} is in use by another tunescope; wait for it or stop it") from error
        yield
    finally:
        os.close(handle)


def _versions() -> dict[str, str]:
    from importlib import metadata  # which --help need not wait for

    versions = {"python": platform.python_version()}
    for name in _NAMED_PACKAGES:
        try:
            about = (
                metadata.distribution(name).read_text("METADATA") or ""
            )  # parsed whole, nine take a tenth of a second
            found = _VERSION.search(about)
            versions[name] = found[1].strip() if found else metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions

"""From what a user types to opened row files: paths, globs, pipes and data set ids."""

from __future__ import annotations

import atexit
import glob
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import IO

from tunescope.errors import SHOWN_PROBLEMS, InputError, Problem, SettingsError
from tunescope.locations import missing
from tunescope.rows import containers, layout, tables
from tunescope.rows.conversation import FormatError
from tunescope.rows.json_text import abbreviate
from tunescope.rows.layout import Layout
from tunescope.rows.lineage import LINEAGE_SUFFIX, lineage_path
from tunescope.rows.read import OnBad, RowFile, RowSet, encoding_step

_SAMPLE = 200
"""Records from which a file's columns are learned. Columns that only later records have go by their usual names."""
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(:[^/]+)?")
_FILE_SUFFIX = re.compile(r"\.(jsonl?|ndjson|gz|zip|zst|bz2|xz|parquet|arrow|csv|tsv|txt|ya?ml)$", re.IGNORECASE)
_LAYOUT_HINT = (
    "Name the format with --format or the columns with --columns, "
    "for example --columns instruction=question,output=reply."
)


_OPERATOR = re.compile("[<>=!]+")


def open_rows(
    names: Iterable[str], format: str | None = None, columns: tuple[str, ...] = (), on_bad: OnBad = "refuse"
) -> RowSet:
    """Open row files by path, glob, `-` (a pipe) or data set id, and recognise what they are.

    Raises:
        InputError: files that are missing, empty, a directory or of no known layout.
        SettingsError: an unknown format or column word.
    """
    hints = layout.parse_hints(columns)
    format = layout.resolve_format(format)
    files: list[RowFile] = []
    problems: list[Problem] = []
    next_steps: dict[str, None] = {}
    more = False
    for name in names:
        try:
            files += [_open(each, path, format, hints, on_bad) for each, path in _expand(name)]
        except InputError as error:
            problems += error.problems
            next_steps[error.next_step] = None
            more = more or error.more
    if problems:
        raise InputError(problems, " ".join(step for step in next_steps if step), more)
    if not files:
        raise SettingsError("no row files given; type a path, a glob, - for a pipe, or a data set id")
    return RowSet(files, on_bad)


def _expand(name: str) -> list[tuple[str, Path]]:
    """Return the files that a name stands for, as (name, path) pairs; a pipe is first copied to a file."""
    path = Path(name)
    if _OPERATOR.fullmatch(name) and not path.exists():
        expected = "a file; put a condition in quotes: --where 'faulty = false'"
        raise InputError([Problem(name, None, "an operator where a file's name stands", expected)])
    try:
        if name == "-":
            return [(name, _copy_pipe(sys.stdin.buffer))]
        if path.is_fifo():
            with path.open("rb") as pipe:
                return [(name, _copy_pipe(pipe))]
        if path.is_dir() and (rows := find_run_rows(path)) is not None:
            return [(str(rows), rows)]
        if path.exists() or not glob.has_magic(name):
            return [(name, path)]
    except OSError as error:
        raise InputError([_unreadable(abbreviate(name, quoted=False), error)]) from error
    matches = [match for match in sorted(glob.glob(name, recursive=True)) if not match.endswith(LINEAGE_SUFFIX)]
    if not matches and not _is_hub_id(name):
        raise InputError([Problem(name, None, "no file that matches", "at least one")])
    return [(match, Path(match)) for match in matches] or [(name, path)]


def _copy_pipe(pipe: IO[bytes]) -> Path:
    """Copy a pipe to a file that goes when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="tunescope-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with (folder / "stdin").open("wb") as file:
        shutil.copyfileobj(pipe, file)
    return folder / "stdin"


def find_run_rows(folder: Path) -> Path | None:
    """Return the row file of a run folder that holds one: what `select` kept, what a repair or `falsify` wrote."""
    from tunescope.runs import Run

    if not (folder / "run.json").is_file():
        return None
    files = Run(folder).result.get("files", {})
    file = files.get("kept") or files.get("rows")
    return folder / file if file else None


def _unreadable(name: str, error: OSError) -> Problem:
    return Problem(name, None, f"something that can't be opened ({error.strerror})", "a file")


def _open(name: str, path: Path, format: str | None, hints: Mapping[str, str], on_bad: OnBad) -> RowFile:
    try:
        container = _recognise_container(name, path)
        file_layout = _detect_layout(name, path, container, format, hints, on_bad)
        return RowFile(name, path, container, file_layout, _hash_content(name, path, container))
    except OSError as error:
        raise InputError([_unreadable(name, error)]) from error


def _recognise_container(name: str, path: Path) -> str:
    saved = Path(name.partition(":")[0])
    if saved.is_dir() and tables.is_saved(saved):
        return "hub"
    if path.is_dir():
        raise InputError(
            [Problem(name, None, "a directory", "a file, a glob or a data set id")],
            f"Type the files instead, for example '{name.rstrip('/')}/*.jsonl'.",
        )
    if not path.exists():
        if _is_hub_id(name):
            return "hub"
        raise InputError([Problem(name, None, missing(path), "a file, a glob, - or a data set id")])
    if not path.is_file():
        raise InputError([Problem(name, None, "a device", "a file, a glob, - or a data set id")])
    try:
        return containers.recognise(path)
    except InputError as error:
        raise InputError([replace(problem, file=name) for problem in error.problems], error.next_step) from error


def _is_hub_id(name: str) -> bool:
    """Tell a data set id from a mistyped path."""
    return bool(_HUB_ID.fullmatch(name)) and not _FILE_SUFFIX.search(name) and not Path(name).parent.exists()


def _detect_layout(
    name: str, path: Path, container: str, format: str | None, hints: Mapping[str, str], on_bad: OnBad
) -> Layout:
    """Detect the layout by the first readable record and those after it; without one, report all problems."""
    problems: dict[tuple[str, str], Problem] = {}
    records = containers.read(path, container, name=name)
    for line, value, problem, _, record in records:
        if value is not None:
            try:
                layout.detect(value, format, hints)
                further = [each.value for each in islice(records, _SAMPLE) if each.value is not None]
                return layout.detect_all([value, *further], format, hints)
            except FormatError as error:
                problem = Problem(name, line, error.found, error.expected, record)
        if problem is not None and len(problems) <= SHOWN_PROBLEMS:
            # unknown columns are reported once, other problems one by one
            place = (problem.found, problem.expected) if value is not None else (str(line), problem.found)
            problems.setdefault(place, problem)
        if on_bad == "refuse" and line > SHOWN_PROBLEMS:
            break
    reported = list(problems.values()) or [Problem(name, None, "no rows", "at least one row")]
    is_about_columns = any(problem.found.startswith(("the columns", "no column")) for problem in reported)
    raise InputError(reported, _LAYOUT_HINT if is_about_columns else encoding_step(reported))


def _hash_content(name: str, path: Path, container: str) -> str:
    """Hash what the rows and their lineages are read from."""
    if container == "hub" and not path.is_dir():
        paths = [Path(file["filename"]) for file in tables.load_hub(name).cache_files]
    else:
        paths = [path, *filter(Path.is_file, [lineage_path(path)])]
    hashes = [containers.content_hash(each) for each in paths]
    return hashes[0] if len(hashes) == 1 else blake2b("".join(hashes).encode(), digest_size=16).hexdigest()

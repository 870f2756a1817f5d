"""Open row files, whatever their container and format, and stream rows out of them."""

from __future__ import annotations

import atexit
import glob
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import IO, Literal, NamedTuple

from tunescope.errors import SHOWN_PROBLEMS, InputError, Problem, SettingsError
from tunescope.rows import containers, layout, tables
from tunescope.rows.conversation import FormatError
from tunescope.rows.json_text import abbreviate, decode
from tunescope.rows.layout import Layout
from tunescope.rows.records import Chunk, Record
from tunescope.rows.row import Json, LineageStep, RepeatCounter, Row, content_id

OnBad = Literal["refuse", "skip"]
SUFFIXES = {
    "json": ".json",
    "jsonl": ".jsonl",
    "json.gz": ".json.gz",
    "jsonl.gz": ".jsonl.gz",
    "parquet": ".parquet",
    "hub": ".parquet",
}
LINEAGE = ".lineage.jsonl"
SAMPLE = 200
"""Records from which a file's columns are learned; what only later ones have goes by its usual name."""
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(:[^/]+)?")
FILE_SUFFIX = re.compile(r"\.(jsonl?|ndjson|gz|zip|zst|bz2|xz|parquet|arrow|csv|tsv|txt|ya?ml)$", re.IGNORECASE)
SKIP_HINT = "Mend the file, or type the same command with --on-bad skip to leave these rows out."
LAYOUT_HINT = (
    "Name the format with --format or the columns with --columns, "
    "for example --columns instruction=question,output=reply."
)
History = Mapping[str, tuple[str, tuple[LineageStep, ...]]]
"""Row id in a file → origin and lineage."""


class Rejected(NamedTuple):
    """A record that was left out, unchanged, with the reason."""

    problem: Problem
    raw: str

    def as_json(self) -> dict[str, Json]:
        """Return the object written to `rejected.jsonl`."""
        return {
            "file": self.problem.file,
            "line": self.problem.line,
            "found": self.problem.found,
            "expected": self.problem.expected,
            "raw": self.raw,
        }


@dataclass(frozen=True, slots=True)
class RowFile:
    """One opened file: where it is, what it is, and the hash of its content.

    `name` is what the user typed (`-` for a pipe); `path` is where the bytes lie.
    """

    name: str
    path: Path
    container: str
    layout: Layout
    hash: str

    def chunks(self) -> list[Chunk | None]:
        """Return the parts that can be read side by side."""
        return [None] if self.container == "hub" else [*containers.chunks(self.path, self.container)]

    def records(self, chunk: Chunk | None = None) -> Iterator[Record]:
        """Yield the file's records, or those of one chunk."""
        return containers.read(self.path, self.container, chunk, self.name)

    def rows(self, chunk: Chunk | None = None) -> Iterator[Row | Rejected]:
        """Yield a row, or what was rejected, per record. Ids have no ordinals yet."""
        parse, name = self.layout.parser(), self.name
        for line, value, problem, raw in self.records(chunk):
            if value is None:
                if problem is not None:
                    yield Rejected(problem, raw)
                continue
            try:
                messages, tools = parse(value)
            except FormatError as error:
                text = raw or json.dumps(value, ensure_ascii=False, default=str)
                yield Rejected(Problem(name, line, error.found, error.expected), text.strip())
                continue
            ident = content_id(messages, tools)
            yield Row(ident, ident, messages, tools, value, name, line)

    def history(self) -> History:
        """Read the origins and lineages that were written beside the file."""
        beside = lineage_path(self.path)
        return dict(_read_history(beside)) if beside.is_file() else {}


class RowSet:
    """Rows of one or more files, streamed with their final ids.

    Iterating reads the files anew; `rejected` then holds what was skipped.
    """

    def __init__(self, files: Sequence[RowFile], on_bad: OnBad) -> None:
        """Hold the opened files; `on_bad` decides between a report and leaving rows out."""
        self.files = tuple(files)
        self.on_bad = on_bad
        self.rejected: list[Rejected] = []

    @property
    def inputs(self) -> dict[str, str]:
        """Name → content hash, for the run's key; a file that is named twice counts twice."""
        found: dict[str, str] = {}
        for file in self.files:
            name = file.name
            while name in found:
                name += " again"
            found[name] = file.hash
        return found

    def __iter__(self) -> Iterator[Row]:
        """Yield rows in file order; refuse with one report, or skip, as `on_bad` says."""
        self.rejected = []
        over_all = RepeatCounter()
        for file in self.files:
            history, in_file = file.history(), RepeatCounter()
            for item in file.rows():
                if isinstance(item, Rejected):
                    self.reject(item)
                elif not self.rejected or self.on_bad == "skip":
                    ident = over_all.name(item.id)
                    known = history.get(in_file.name(item.id)) if history else None
                    if known is not None:
                        yield replace(item, id=ident, origin=known[0], lineage=known[1])
                    else:
                        yield item if ident == item.id else replace(item, id=ident, origin=ident)
        self.raise_if_rejected()

    def reject(self, item: Rejected) -> None:
        """Note a refused record; stop at once when the report is full."""
        if self.on_bad == "skip" and item.problem.found == containers.BOM_FOUND:
            return
        self.rejected.append(item)
        if self.on_bad == "refuse" and len(self.rejected) > SHOWN_PROBLEMS:
            self.raise_if_rejected()

    def raise_if_rejected(self) -> None:
        """Raise the report of everything refused, unless rows are being skipped."""
        if self.rejected and self.on_bad == "refuse":
            raise InputError([item.problem for item in self.rejected], SKIP_HINT)


def open_rows(
    names: Iterable[str], format: str | None = None, columns: tuple[str, ...] = (), on_bad: OnBad = "refuse"
) -> RowSet:
    """Open row files by path, glob, `-` (a pipe) or data set id, and recognise what they are.

    Raises:
        InputError: files that are missing, empty, a directory or of no known layout.
        SettingsError: an unknown format or column word.
    """
    hints = layout.parse_hints(columns)
    known = layout.format_named(format)
    files: list[RowFile] = []
    problems: list[Problem] = []
    steps: dict[str, None] = {}
    more = False
    for name in names:
        try:
            files += [_open(each, path, known, hints, on_bad) for each, path in _expand(name)]
        except InputError as error:
            problems += error.problems
            steps[error.next_step] = None
            more = more or error.more
    if problems:
        raise InputError(problems, " ".join(step for step in steps if step), more)
    if not files:
        raise SettingsError("no row files given; type a path, a glob, - for a pipe, or a data set id")
    return RowSet(files, on_bad)


def _expand(name: str) -> list[tuple[str, Path]]:
    """Return what a name stands for, as (name, path) pairs; a pipe is first copied to a file."""
    path = Path(name)
    try:
        if name == "-":
            return [(name, _spool(sys.stdin.buffer))]
        if path.is_fifo():
            with path.open("rb") as pipe:
                return [(name, _spool(pipe))]
        if path.is_dir() and (kept := find_run_rows(path)) is not None:
            return [(str(kept), kept)]
        if path.exists() or not glob.has_magic(name):
            return [(name, path)]
    except OSError as error:
        raise InputError([Problem(abbreviate(name, quoted=False), None, _unreadable(error), "a file")]) from error
    found = [item for item in sorted(glob.glob(name, recursive=True)) if not item.endswith(LINEAGE)]
    if not found and not _is_hub_id(name):
        raise InputError([Problem(name, None, "no file that matches", "at least one")])
    return [(name, path)] if not found else [(item, Path(item)) for item in found]


def find_run_rows(folder: Path) -> Path | None:
    """Return the row file of a run folder that holds one: what `select` kept, what a repair or `falsify` wrote."""
    from tunescope.runs import Run

    if not (folder / "run.json").is_file():
        return None
    files = Run(folder).result.get("files", {})
    file = files.get("kept") or files.get("rows")
    return folder / file if file else None


def _spool(pipe: IO[bytes]) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="tunescope-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with (folder / "stdin").open("wb") as file:
        shutil.copyfileobj(pipe, file)
    return folder / "stdin"


def _unreadable(error: OSError) -> str:
    return f"something that can't be opened ({error.strerror})"


def _open(name: str, path: Path, format: str | None, hints: Mapping[str, str], on_bad: OnBad) -> RowFile:
    try:
        container = _container(name, path)
        found = _layout(name, path, container, format, hints, on_bad)
        return RowFile(name, path, container, found, _hash(name, path, container))
    except OSError as error:
        raise InputError([Problem(name, None, _unreadable(error), "a file")]) from error


def _container(name: str, path: Path) -> str:
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
        raise InputError([Problem(name, None, "no such file", "a file, a glob, - or a data set id")])
    if not path.is_file():
        raise InputError([Problem(name, None, "a device", "a file, a glob, - or a data set id")])
    try:
        return containers.recognise(path)
    except InputError as error:
        raise InputError([replace(problem, file=name) for problem in error.problems], error.next_step) from error


def _is_hub_id(name: str) -> bool:
    """Tell a data set id from a mistyped path."""
    return bool(HUB_ID.fullmatch(name)) and not FILE_SUFFIX.search(name) and not Path(name).parent.exists()


def _layout(
    name: str, path: Path, container: str, format: str | None, hints: Mapping[str, str], on_bad: OnBad
) -> Layout:
    problems: dict[tuple[str, str], Problem] = {}
    records = containers.read(path, container, name=name)
    for line, value, problem, _ in records:
        if value is not None:
            try:
                layout.detect(value, format, hints)
                further = [record.value for record in islice(records, SAMPLE) if record.value is not None]
                return layout.detect_all([value, *further], format, hints)
            except FormatError as error:
                problem = Problem(name, line, error.found, error.expected)
        if problem is not None and len(problems) <= SHOWN_PROBLEMS:
            # columns that nobody knows are said once, other problems one by one
            place = (problem.found, problem.expected) if value is not None else (str(line), problem.found)
            problems.setdefault(place, problem)
        if on_bad == "refuse" and line > SHOWN_PROBLEMS:
            break
    found = list(problems.values()) or [Problem(name, None, "no rows", "at least one row")]
    hint = LAYOUT_HINT if any(problem.found.startswith(("the columns", "no column")) for problem in found) else ""
    raise InputError(found, hint)


def _hash(name: str, path: Path, container: str) -> str:
    """Hash what the rows and their histories are read from."""
    if container == "hub" and not path.is_dir():
        paths = [Path(file["filename"]) for file in tables.load_hub(name).cache_files]
    else:
        paths = [path, *filter(Path.is_file, [lineage_path(path)])]
    hashes = [containers.content_hash(each) for each in paths]
    return hashes[0] if len(hashes) == 1 else blake2b("".join(hashes).encode(), digest_size=16).hexdigest()


def lineage_path(path: Path) -> Path:
    """Return the path of `NAME.lineage.jsonl` for a row file `NAME.json`, `NAME.jsonl.gz` and so on."""
    for suffix in sorted(SUFFIXES.values(), key=len, reverse=True):
        if path.name.endswith(suffix):
            return path.with_name(path.name.removesuffix(suffix) + LINEAGE)
    return path.with_name(path.name + LINEAGE)


def _read_history(path: Path) -> Iterator[tuple[str, tuple[str, tuple[LineageStep, ...]]]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                record = decode(line.decode())
                steps = tuple(LineageStep.from_json(step) for step in record["lineage"])
                yield f"{record['row_id']}", (f"{record['origin']}", steps)
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                problem = Problem(str(path), number, f"no lineage record ({error!r})", "row_id, origin, lineage")
                raise InputError([problem], "Delete the file to read the rows without their history.") from error

"""A table of scores from a file: CSV, TSV, JSON, JSON lines or Parquet; wide or long.

Wide: a column of tasks and one per dose, with optional columns `retuned` and `seed`. Long: columns task, dose and
score, and optionally seed; the dose `retuned` is the 100 % model after clean re-tuning. Every cell is a number,
a number with a % sign, or missing.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from tunescope.errors import InputError, Problem, SettingsError
from tunescope.rows import containers
from tunescope.rows.json_text import abbreviate, kind
from tunescope.verbs.analyze.score_table import ScoreTable, TaskScore

_NAMES = {
    "task": ("task", "tasks", "benchmark", "data set", "dataset", "name"),
    "dose": ("dose", "cr", "corruption ratio", "corruption", "falsity", "noise"),
    "score": ("score", "accuracy", "acc", "value"),
    "seed": ("seed",),
    "retuned": ("retuned",),
}
"""Our name of a column → the names it usually has in tables (without case, - and _)."""
_MISSING = {"", "-", "–", "—", "na", "n/a", "nan", "null", "none", "missing"}
_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_SCORE = re.compile(rf"([+-]?{_NUMBER})\s*(%?)")
_DOSE = re.compile(
    rf"(?:(?:cr|dose|falsity|corruption(?: ratio)?|noise)[ =:]*)?({_NUMBER})\s*(%?)(?: (?:falsity|corruption|noise))?"
)
_EXPECTED = "a column per dose such as 0, 0.25, 25% or 'CR 25%', or the columns task, dose and score"


class _RawCell(NamedTuple):
    """A cell as it was read: `dose` is the file's name of the dose; `line` and `column` are for errors."""

    task: str
    dose: str
    retuned: bool
    seed: str
    line: int
    column: str
    value: Any


class _RawTable(NamedTuple):
    """The cells of a file, the names of its doses in order, and the columns that weren't used."""

    cells: list[_RawCell]
    doses: list[str]
    unused: list[str]


_Rows = Sequence[tuple[int, Mapping[str, Any]]]
"""The line and the record of each row."""


def read_table(path: str, hints: Sequence[str] = ()) -> ScoreTable:
    """Read a table of scores; `hints` are WORD=COLUMN, with WORD one of task, dose, score, seed, retuned.

    Raises:
        InputError: the file doesn't exist, is no table, or has no doses; a cell isn't a number or occurs twice.
        SettingsError: a hint names a column that isn't there.
    """
    columns, rows = _read_records(path)
    names = _match_columns(path, columns, hints)
    is_long = "dose" in names and "score" in names
    table = (_read_long if is_long else _read_wide)(path, columns, rows, names)
    read_as = _parse_doses(path, table.doses)
    if not is_long:
        _refuse_equal_doses(path, read_as)
    scores, unit = _parse_scores(path, table.cells, read_as)
    if not scores:
        raise InputError([Problem(path, None, "a table without rows", "a row per task")])
    return ScoreTable(tuple(scores), read_as, tuple(table.unused), unit)


def _read_long(path: str, columns: Sequence[str], rows: _Rows, names: Mapping[str, str]) -> _RawTable:
    """Read a row per score."""
    task_column = names.get("task")
    if task_column is None:
        raise _unusable_columns(path, columns)
    cells: list[_RawCell] = []
    for line, row in rows:
        dose = _text(row.get(names["dose"]))
        retuned = _plain(dose) in _NAMES["retuned"]
        seed = _text(row.get(names["seed"])) if "seed" in names else ""
        task, value = _text(row.get(task_column)), row.get(names["score"])
        cells.append(_RawCell(task, "100%" if retuned else dose, retuned, seed, line, names["score"], value))
    used = {task_column, *(names[word] for word in ("dose", "score", "seed") if word in names)}
    doses = list(dict.fromkeys(cell.dose for cell in cells if not cell.retuned))
    return _RawTable(cells, doses, [name for name in columns if name not in used])


def _read_wide(path: str, columns: Sequence[str], rows: _Rows, names: Mapping[str, str]) -> _RawTable:
    """Read a row per task with a column per dose."""
    names = {word: name for word, name in names.items() if word in ("task", "seed", "retuned")}
    doses = [name for name in columns if name not in names.values() and _DOSE.fullmatch(_plain(name))]
    others = [name for name in columns if name not in (*doses, *names.values())]
    task_column = names.get("task") or next(iter(others), None)
    if not doses or task_column is None:
        raise _unusable_columns(path, columns)
    cells: list[_RawCell] = []
    for line, row in rows:
        seed = _text(row.get(names["seed"])) if "seed" in names else ""
        task = _text(row.get(task_column))
        cells += [_RawCell(task, dose, False, seed, line, dose, row.get(dose)) for dose in doses]
        if "retuned" in names:
            column = names["retuned"]
            cells.append(_RawCell(task, "100%", True, seed, line, column, row.get(column)))
    return _RawTable(cells, doses, [name for name in others if name != task_column])


def _unusable_columns(path: str, columns: Sequence[str]) -> InputError:
    listed = ", ".join(abbreviate(name) for name in columns[:20]) or "none"
    hint = "Name them with --columns, for example --columns task=benchmark,score=acc."
    return InputError([Problem(path, None, f"the columns {listed}", _EXPECTED)], hint)


def _read_records(path: str) -> tuple[list[str], list[tuple[int, Mapping[str, Any]]]]:
    """Return the columns in order, and (line, record) for each row."""
    file = Path(path)
    if file.is_dir():
        step = f"Type --from {path} for a run folder." if (file / "run.json").is_file() else ""
        raise InputError([Problem(path, None, "a directory", "a table of scores")], step)
    try:
        parse = _parse_separated if file.suffix.lower() in (".csv", ".tsv") else _parse_records
        rows = list(parse(path, file))
    except FileNotFoundError as error:
        raise InputError([Problem(path, None, "no such file", "a table of scores")]) from error
    except OSError as error:
        raise InputError([Problem(path, None, f"a file that can't be read ({error.strerror})", "a table")]) from error
    return list(dict.fromkeys(name for _, row in rows for name in row)), rows


def _parse_records(path: str, file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for record in containers.read(file, containers.recognise(file), name=path):
        if record.value is None:
            raise InputError([record.problem or Problem(path, record.line, "no object", "an object per row")])
        yield record.line, record.value


def _parse_separated(path: str, file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError([Problem(path, None, f"bytes that aren't UTF-8 (at {error.start})", "UTF-8 text")]) from error
    head = text.lstrip().partition("\n")[0]
    delimiter = "\t" if file.suffix.lower() == ".tsv" else ";" if "," not in head and ";" in head else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if names is None:
                names = [cell.strip() for cell in cells]
                twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
                if twice is not None:
                    problem = Problem(
                        path, reader.line_num, f"two columns called {abbreviate(twice)}", "a name per column"
                    )
                    raise InputError([problem])
            elif len(cells) != len(names):
                expected = f"{len(names)}, one per column of line 1"
                raise InputError([Problem(path, reader.line_num, f"{len(cells)} cells", expected)])
            else:
                yield reader.line_num, dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise InputError([Problem(path, reader.line_num, f"no table row ({error})", "whole cells")]) from error
    if names is None:
        raise InputError([Problem(path, None, "an empty file", "a header and a row per task")])


def _match_columns(path: str, columns: Sequence[str], hints: Sequence[str]) -> dict[str, str]:
    """Return our name of each column that is there → the file's name of it."""
    names: dict[str, str] = {}
    for entry in (part for text in hints for part in text.split(",")):
        word, equals, name = (part.strip() for part in entry.partition("="))
        if not equals or word not in _NAMES:
            raise SettingsError(f"--columns {entry!r}: expected WORD=COLUMN with WORD one of {', '.join(_NAMES)}")
        if name not in columns:
            listed = ", ".join(abbreviate(column) for column in columns)
            raise SettingsError(f"--columns {entry}: {path} has no such column; it has {listed}")
        names[word] = name
    for word, usual in _NAMES.items():
        free = [name for name in columns if name not in names.values()]
        match = next((name for usual_name in usual for name in free if _plain(name) == usual_name), None)
        if word not in names and match is not None:
            names[word] = match
    return names


def _plain(name: str) -> str:
    """Return a name without case, - and _; "re-tuned" is "retuned"."""
    return " ".join(re.sub(r"[-_\s]+", " ", name).split()).lower().replace("re tuned", "retuned")


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _parse_doses(path: str, words: Sequence[str]) -> dict[str, tuple[float, str]]:
    """Return each dose name → its share, and whether it was read as a share or a percentage.

    A number with a % sign is a percentage. Numbers without one are percentages if any of them is above 1,
    else shares.
    """
    matches = {word: _DOSE.fullmatch(_plain(word)) for word in words}
    problems = [
        Problem(path, None, f"the dose {abbreviate(word)}", "0 to 1, 0% to 100%, or retuned")
        for word, match in matches.items()
        if match is None or not isfinite(float(match[1]))
    ]
    if problems:
        raise InputError(problems)
    values = {word: (float(match[1]), bool(match[2])) for word, match in matches.items() if match is not None}
    bare = {word: value for word, (value, percent) in values.items() if not percent}
    percents = any(value > 1 for value in bare.values())
    if percents and any(0 < value < 1 for value in bare.values()):
        listed = ", ".join(bare)
        mixed = f"the doses {listed}, of which some look like shares and some like percentages"
        raise InputError([Problem(path, None, mixed, "all shares (0.25), or percentages with their sign (25%)")])
    read_as: dict[str, tuple[float, str]] = {}
    for word, (value, signed) in values.items():
        share = value / 100 if signed or percents else value
        if share > 1:
            raise InputError([Problem(path, None, f"the dose {abbreviate(word)}", "doses from 0 to 100 %")])
        read_as[word] = (share, "percent" if signed or percents else "share")
    return read_as


def _refuse_equal_doses(path: str, read_as: Mapping[str, tuple[float, str]]) -> None:
    """Raise `InputError` where two columns have the same dose."""
    first: dict[float, str] = {}
    for name, (dose, _) in read_as.items():
        if first.setdefault(dose, name) != name:
            twice = f"two columns for one dose, {abbreviate(first[dose])} and {abbreviate(name)}"
            raise InputError([Problem(path, None, twice, "a column per dose")])


def _parse_scores(
    path: str, cells: Sequence[_RawCell], read_as: Mapping[str, tuple[float, str]]
) -> tuple[list[TaskScore], str]:
    """Return the scores and their unit; raises `InputError` with a problem per cell that can't be used."""
    problems: list[Problem] = []
    scores: list[TaskScore] = []
    first_lines: dict[tuple[str, float, bool, str], int] = {}
    signs: dict[bool, _RawCell] = {}
    for cell in cells:
        dose = 1.0 if cell.retuned else read_as[cell.dose][0]
        place = (cell.task, dose, cell.retuned, cell.seed)
        if not cell.task:
            problems.append(Problem(path, cell.line, "no task", "a name per row"))
        elif place in first_lines:
            model = "retuned" if cell.retuned else cell.dose
            twice = f"the task {abbreviate(cell.task)} at {model} again (first in line {first_lines[place]})"
            problems.append(Problem(path, cell.line, twice, "each once, or a column seed"))
        first_lines.setdefault(place, cell.line)
        try:
            value, has_sign = _parse_number(cell.value)
        except ValueError as error:
            where = f"{error} in column {abbreviate(cell.column)}"
            problems.append(Problem(path, cell.line, where, "a number such as 54.71 or 54.71%, or nothing"))
            continue
        if value is not None:
            signs.setdefault(has_sign, cell)
        scores.append(TaskScore(cell.task, dose, cell.seed, cell.retuned, value))
    if len(signs) == 2:
        where = f"a score with a % sign, where that of line {signs[False].line} has none"
        problems.append(Problem(path, signs[True].line, where, "all scores with it, or none"))
    if problems:
        raise InputError(problems)
    return scores, "%" if True in signs else ""


def _parse_number(value: Any) -> tuple[float | None, bool]:
    """Return a score and whether it has a % sign; raises ValueError with the value where it is no number."""
    if value is None or (isinstance(value, str) and value.strip().lower() in _MISSING):
        return None, False
    if isinstance(value, str):
        match = _SCORE.fullmatch(value.strip().replace("\N{MINUS SIGN}", "-"))
        number = float(match[1]) if match else float("inf")
        if isfinite(number) and match:
            return number, bool(match[2])
        raise ValueError(abbreviate(value))
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e308:
        return float(value), False
    raise ValueError(abbreviate(value) if isinstance(value, bool | int | float) else kind(value))

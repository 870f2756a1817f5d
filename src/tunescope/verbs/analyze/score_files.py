"""A table of scores from a file: CSV, TSV, JSON, JSON lines or Parquet, in one of three forms.

A column per dose: a column of tasks and one per dose, with optional columns `retuned`, `seed` and `category`. A row per
dose: a column of doses and one per task, with an optional column `seed`. A row per score: columns task, dose and score,
with optional columns seed and category. The dose `retuned` is the 100 % model after clean re-tuning. Every score is a
number, a number with a % sign, or missing.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from tunescope.errors import InputError, Problem
from tunescope.rows import containers
from tunescope.rows.json_text import abbreviate
from tunescope.verbs.analyze.score_table import ScoreTable, TaskScore
from tunescope.verbs.analyze.table_forms import RawCell, match_dose, parse_number, read_form


def read_table(path: str, hints: Sequence[str] = ()) -> ScoreTable:
    """Read a table of scores; `hints` are WORD=COLUMN, with WORD one of task, dose, score, seed, retuned, category.

    Raises:
        InputError: the file doesn't exist, is no table, or has no doses; a cell isn't a number or occurs twice.
        SettingsError: a hint names a column that isn't there.
    """
    columns, rows = _read_records(path)
    table = read_form(path, columns, rows, hints)
    read_as = _parse_doses(path, table.doses)
    if table.has_dose_columns:
        _refuse_equal_doses(path, read_as)
    scores, unit = _parse_scores(path, table.cells, read_as)
    if not scores:
        raise InputError([Problem(path, None, "a table without rows", "a row per task")])
    return ScoreTable(
        tuple(scores),
        read_as,
        tuple(table.unused),
        unit,
        unused_rows=tuple(table.unused_rows),
        categories=dict(table.categories),
    )


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


def _parse_doses(path: str, words: Sequence[str]) -> dict[str, tuple[float, str]]:
    """Return each dose name → its share, and whether it was read as a share or a percentage.

    A number with a % sign is a percentage. Numbers without one are percentages if any of them is above 1,
    else shares.
    """
    matches = {word: match_dose(word) for word in words}
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
    path: str, cells: Sequence[RawCell], read_as: Mapping[str, tuple[float, str]]
) -> tuple[list[TaskScore], str]:
    """Return the scores and their unit; raises `InputError` with a problem per cell that can't be used."""
    problems: list[Problem] = []
    scores: list[TaskScore] = []
    first_lines: dict[tuple[str, float, bool, str], int] = {}
    signs: dict[bool, RawCell] = {}
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
            value, has_sign = parse_number(cell.value)
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

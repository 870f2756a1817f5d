"""A table of scores from a file: CSV, TSV, JSON, JSON lines or Parquet; wide or long.

Wide: a column of tasks and one per dose, perhaps `retuned` and `seed`. Long: columns task, dose and score,
perhaps seed; a dose called `retuned` is the 100 % model after clean re-tuning. Every cell is a number, a
number with a % sign, or missing.
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
from tunescope.verbs.analyze.scores import Score, Scores

WORDS = {
    "task": ("task", "tasks", "benchmark", "data set", "dataset", "name"),
    "dose": ("dose", "cr", "corruption ratio", "corruption", "falsity", "noise"),
    "score": ("score", "accuracy", "acc", "value"),
    "seed": ("seed",),
    "retuned": ("retuned",),
}
"""Our word for a column, and what tables usually call it (without case, - and _)."""
MISSING = {"", "-", "–", "—", "na", "n/a", "nan", "null", "none", "missing"}
NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
SCORE = re.compile(rf"([+-]?{NUMBER})\s*(%?)")
DOSE = re.compile(
    rf"(?:(?:cr|dose|falsity|corruption(?: ratio)?|noise)[ =:]*)?({NUMBER})\s*(%?)(?: (?:falsity|corruption|noise))?"
)
EXPECTED = "a column per dose such as 0, 0.25, 25% or 'CR 25%', or the columns task, dose and score"


class _Cell(NamedTuple):
    """A value with the line it stands in and the column it is in, for errors."""

    line: int
    column: str
    value: Any


def read_table(path: str, hints: Sequence[str] = ()) -> Scores:
    """Read a table of scores; `hints` are WORD=COLUMN with WORD one of `WORDS`.

    Raises:
        InputError: no such file, no table, no doses, a cell that is no number, the same cell twice.
        SettingsError: a hint that names no column.
    """
    columns, rows = _records(path)
    named = _named(path, columns, hints)
    unused: list[str] = []
    cells: list[tuple[str, str, bool, str, _Cell]] = []  # task, what the dose is called, retuned, seed, score
    problems: list[Problem] = []
    if "dose" in named and "score" in named:
        task_column = named.get("task") or _refuse_columns(path, columns)
        used = {task_column, *(named[word] for word in ("dose", "score", "seed") if word in named)}
        unused = [name for name in columns if name not in used]
        for line, row in rows:
            value = _text(row.get(named["dose"]))
            again = _plain(value) in WORDS["retuned"]
            seed = _text(row.get(named["seed"])) if "seed" in named else ""
            score = _Cell(line, named["score"], row.get(named["score"]))
            cells.append((_text(row.get(task_column)), "100%" if again else value, again, seed, score))
        words = [word for _, word, again, _, _ in cells if not again]
        read_as = _doses(path, list(dict.fromkeys(words)))
    else:
        named = {word: name for word, name in named.items() if word in ("task", "seed", "retuned")}
        words = [name for name in columns if name not in named.values() and DOSE.fullmatch(_plain(name))]
        if not words:
            _refuse_columns(path, columns)
        others = [name for name in columns if name not in (*words, *named.values())]
        task_column = named.get("task") or next(iter(others), None) or _refuse_columns(path, columns)
        unused = [name for name in others if name != task_column]
        for line, row in rows:
            seed = _text(row.get(named["seed"])) if "seed" in named else ""
            task = _text(row.get(task_column))
            cells += [(task, word, False, seed, _Cell(line, word, row.get(word))) for word in words]
            if "retuned" in named:
                column = named["retuned"]
                cells.append((task, "100%", True, seed, _Cell(line, column, row.get(column))))
        read_as = _doses(path, words)
        twice = next((word for word, (dose, _) in read_as.items() if _first(read_as, dose) != word), None)
        if twice is not None:
            found = (
                f"two columns for one dose, {abbreviate(_first(read_as, read_as[twice][0]))} and {abbreviate(twice)}"
            )
            raise InputError([Problem(path, None, found, "a column per dose")])
    cells_read, unit = _scores(path, cells, read_as, problems)
    if problems:
        raise InputError(problems)
    if not cells_read:
        raise InputError([Problem(path, None, "a table without rows", "a row per task")])
    return Scores(tuple(cells_read), read_as, tuple(unused), unit)


def _refuse_columns(path: str, columns: Sequence[str]) -> str:
    listed = ", ".join(abbreviate(name) for name in columns[:20]) or "none"
    hint = "Name them with --columns, for example --columns task=benchmark,score=acc."
    raise InputError([Problem(path, None, f"the columns {listed}", EXPECTED)], hint)


def _records(path: str) -> tuple[list[str], list[tuple[int, Mapping[str, Any]]]]:
    """Return the columns in order, and (line, record) for each row."""
    file = Path(path)
    if file.is_dir():
        step = f"Type --from {path} for a run folder." if (file / "run.json").is_file() else ""
        raise InputError([Problem(path, None, "a directory", "a table of scores")], step)
    try:
        read = _separated if file.suffix.lower() in (".csv", ".tsv") else _parsed
        rows = list(read(path, file))
    except FileNotFoundError as error:
        raise InputError([Problem(path, None, "no such file", "a table of scores")]) from error
    except OSError as error:
        raise InputError([Problem(path, None, f"a file that can't be read ({error.strerror})", "a table")]) from error
    return list(dict.fromkeys(name for _, row in rows for name in row)), rows


def _parsed(path: str, file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for line, value, problem, _ in containers.read(file, containers.recognise(file), name=path):
        if value is None:
            raise InputError([problem or Problem(path, line, "no object", "an object per row")])
        yield line, value


def _separated(path: str, file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError([Problem(path, None, f"bytes that aren't UTF-8 (at {error.start})", "UTF-8 text")]) from error
    head = text.lstrip().partition("\n")[0]
    mark = "\t" if file.suffix.lower() == ".tsv" else ";" if "," not in head and ";" in head else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    names: list[str] | None = None
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if names is None:
                names = [cell.strip() for cell in cells]
                twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
                if twice is not None:
                    found = f"two columns called {abbreviate(twice)}"
                    raise InputError([Problem(path, reader.line_num, found, "a name per column")])
            elif len(cells) != len(names):
                found = f"{len(cells)} cells"
                raise InputError([Problem(path, reader.line_num, found, f"{len(names)}, one per column of line 1")])
            else:
                yield reader.line_num, dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise InputError([Problem(path, reader.line_num, f"no row of a table ({error})", "whole cells")]) from error
    if names is None:
        raise InputError([Problem(path, None, "an empty file", "a header and a row per task")])


def _named(path: str, columns: Sequence[str], hints: Sequence[str]) -> dict[str, str]:
    """Return our word → the column, for those that are there."""
    named: dict[str, str] = {}
    for entry in (part for text in hints for part in text.split(",")):
        word, equals, name = (part.strip() for part in entry.partition("="))
        if not equals or word not in WORDS:
            raise SettingsError(f"--columns {entry!r}: expected WORD=COLUMN with WORD one of {', '.join(WORDS)}")
        if name not in columns:
            listed = ", ".join(abbreviate(column) for column in columns)
            raise SettingsError(f"--columns {entry}: {path} has no such column; it has {listed}")
        named[word] = name
    for word, usual in WORDS.items():
        free = [name for name in columns if name not in named.values()]
        found = next((name for known in usual for name in free if _plain(name) == known), None)
        if word not in named and found is not None:
            named[word] = found
    return named


def _plain(name: str) -> str:
    """Return a name without case, - and _; "re-tuned" is "retuned"."""
    return " ".join(re.sub(r"[-_\s]+", " ", name).split()).lower().replace("re tuned", "retuned")


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _doses(path: str, words: Sequence[str]) -> dict[str, tuple[float, str]]:
    """Read what the doses are called, as shares.

    With a % sign it is a percentage. Numbers without one are percentages where any of them is above 1,
    else shares.
    """
    matches = {word: DOSE.fullmatch(_plain(word)) for word in words}
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
        found = f"the doses {listed}, of which some look like shares and some like percentages"
        raise InputError([Problem(path, None, found, "all shares (0.25), or percentages with their sign (25%)")])
    read_as: dict[str, tuple[float, str]] = {}
    for word, (value, signed) in values.items():
        share = value / 100 if signed or percents else value
        if share > 1:
            raise InputError([Problem(path, None, f"the dose {abbreviate(word)}", "doses from 0 to 100 %")])
        read_as[word] = (share, "percent" if signed or percents else "share")
    return read_as


def _first(read_as: Mapping[str, tuple[float, str]], dose: float) -> str:
    """Return the first name of a dose."""
    return next(word for word, (share, _) in read_as.items() if share == dose)


def _scores(
    path: str,
    cells: Sequence[tuple[str, str, bool, str, _Cell]],
    read_as: Mapping[str, tuple[float, str]],
    problems: list[Problem],
) -> tuple[list[Score], str]:
    found: list[Score] = []
    seen: dict[tuple[str, float, bool, str], int] = {}
    signs: dict[bool, _Cell] = {}
    for task, word, again, seed, cell in cells:
        dose = 1.0 if again else read_as[word][0]
        place = (task, dose, again, seed)
        if not task:
            problems.append(Problem(path, cell.line, "no task", "a name per row"))
        elif place in seen:
            twice = f"the task {abbreviate(task)} at {'retuned' if again else word} again (first in line {seen[place]})"
            problems.append(Problem(path, cell.line, twice, "each once, or a column seed"))
        seen.setdefault(place, cell.line)
        try:
            value, percent = _number(cell.value)
        except ValueError as error:
            where = f"{error} in column {abbreviate(cell.column)}"
            problems.append(Problem(path, cell.line, where, "a number such as 54.71 or 54.71%, or nothing"))
            continue
        if value is not None:
            signs.setdefault(percent, cell)
        found.append(Score(task, dose, seed, again, value))
    if len(signs) == 2:
        where = f"a score with a % sign, where that of line {signs[False].line} has none"
        problems.append(Problem(path, signs[True].line, where, "all scores with it, or none"))
    return found, "%" if True in signs else ""


def _number(value: Any) -> tuple[float | None, bool]:
    """Return a score and whether it has a % sign; raises ValueError that says what was found."""
    if value is None or (isinstance(value, str) and value.strip().lower() in MISSING):
        return None, False
    if isinstance(value, str):
        match = SCORE.fullmatch(value.strip().replace("\N{MINUS SIGN}", "-"))
        number = float(match[1]) if match else float("inf")
        if isfinite(number) and match:
            return number, bool(match[2])
        raise ValueError(abbreviate(value))
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e308:
        return float(value), False
    raise ValueError(abbreviate(value) if isinstance(value, bool | int | float) else kind(value))

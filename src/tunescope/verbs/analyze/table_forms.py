"""The forms of a table of scores: a column per dose, a row per dose, or a row per score.

Which form it is follows from its columns. Columns that are called by doses make it a table with a column per dose.
Columns of dose and score make it one with a row per score. A column of doses beside columns of numbers makes it one
with a row per dose and a column per task.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

from tunescope.errors import InputError, Problem, SettingsError
from tunescope.rows.json_text import abbreviate, kind

_NAMES = {
    "task": ("task", "tasks", "benchmark", "data set", "dataset", "name"),
    "dose": ("dose", "cr", "corruption ratio", "corruption", "falsity", "noise"),
    "score": ("score", "accuracy", "acc", "value"),
    "seed": ("seed",),
    "retuned": ("retuned",),
    "category": ("category",),
}
"""Our name of a column → the names it usually has in tables (without case, - and _)."""
_MISSING = {"", "-", "–", "—", "na", "n/a", "nan", "null", "none", "missing"}
_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_SCORE = re.compile(rf"([+-]?{_NUMBER})\s*(%?)")
_DOSE = re.compile(
    rf"(?:(?:cr|dose|falsity|corruption(?: ratio)?|noise)[ =:]*)?({_NUMBER})\s*(%?)(?: (?:falsity|corruption|noise))?"
)
_EXPECTED = (
    "a column per dose such as 0, 0.25, 25% or 'CR 25%', a column of doses beside a column per task, or the columns "
    "task, dose and score"
)
Rows = Sequence[tuple[int, Mapping[str, Any]]]
"""The line and the record of each row."""


class RawCell(NamedTuple):
    """A cell as it was read: `dose` is the file's name of the dose; `line` and `column` are for errors."""

    task: str
    dose: str
    retuned: bool
    seed: str
    line: int
    column: str
    value: Any


class RawTable(NamedTuple):
    """The cells of a file, the names of its doses in order, and what wasn't used of it.

    Attributes:
        cells: in the order of the file.
        doses: names of the doses, in order.
        unused: names of columns that weren't used.
        unused_rows: of a table with a row per dose, the names of rows that aren't of a dose.
        categories: task → category, where the table says it.
        has_dose_columns: whether it has a column per dose.
    """

    cells: list[RawCell]
    doses: list[str]
    unused: list[str]
    unused_rows: Sequence[str] = ()
    categories: Mapping[str, str] = {}
    has_dose_columns: bool = False


def read_form(path: str, columns: Sequence[str], rows: Rows, hints: Sequence[str]) -> RawTable:
    """Recognise the form of a table and read its cells; `hints` are WORD=COLUMN.

    Raises:
        InputError: columns from which no form follows, or two.
        SettingsError: a hint that isn't WORD=COLUMN, or names a column that isn't there.
    """
    hinted = _parse_hints(path, columns, hints)
    names = hinted | _match_columns(columns, hinted)
    if "dose" in names and "score" in names:
        return _read_long(path, columns, rows, names)
    dose_columns = [name for name in columns if name not in names.values() and _is_dose(name)]
    if dose_columns and "dose" not in hinted:
        if "task" not in names and "dose" in names and _has_doses(rows, names["dose"]):
            listed = ", ".join(abbreviate(name) for name in dose_columns[:5])
            two = f"doses as names of columns ({listed}) and in the column {abbreviate(names['dose'])}"
            steps = f"Type --columns dose={names['dose']} if each row is a dose, or --columns task={names['dose']}."
            raise InputError([Problem(path, None, two, "doses in one of them")], steps)
        return _read_wide(path, columns, rows, names)
    column = hinted.get("dose") or _find_dose_column(path, columns, rows, {*hinted.values(), names.get("seed")})
    if column is None or "task" in hinted:
        raise _unusable_columns(path, columns)
    return _read_row_per_dose(path, columns, rows, column, names.get("seed"))


def _read_long(path: str, columns: Sequence[str], rows: Rows, names: Mapping[str, str]) -> RawTable:
    """Read a row per score."""
    task_column = names.get("task")
    if task_column is None:
        raise _unusable_columns(path, columns)
    cells: list[RawCell] = []
    for line, row in rows:
        dose = _text(row.get(names["dose"]))
        retuned = _is_retuned(dose)
        seed = _text(row.get(names["seed"])) if "seed" in names else ""
        task, value = _text(row.get(task_column)), row.get(names["score"])
        cells.append(RawCell(task, "100%" if retuned else dose, retuned, seed, line, names["score"], value))
    used = {task_column, *(names[word] for word in ("dose", "score", "seed", "category") if word in names)}
    doses = list(dict.fromkeys(cell.dose for cell in cells if not cell.retuned))
    categories = _read_categories(path, rows, task_column, names.get("category"))
    return RawTable(cells, doses, [name for name in columns if name not in used], categories=categories)


def _read_wide(path: str, columns: Sequence[str], rows: Rows, names: Mapping[str, str]) -> RawTable:
    """Read a row per task with a column per dose."""
    names = {word: name for word, name in names.items() if word in ("task", "seed", "retuned", "category")}
    doses = [name for name in columns if name not in names.values() and _is_dose(name)]
    others = [name for name in columns if name not in (*doses, *names.values())]
    task_column = names.get("task") or next(iter(others), None)
    if task_column is None:
        raise _unusable_columns(path, columns)
    cells: list[RawCell] = []
    for line, row in rows:
        seed = _text(row.get(names["seed"])) if "seed" in names else ""
        task = _text(row.get(task_column))
        cells += [RawCell(task, dose, False, seed, line, dose, row.get(dose)) for dose in doses]
        if "retuned" in names:
            column = names["retuned"]
            cells.append(RawCell(task, "100%", True, seed, line, column, row.get(column)))
    categories = _read_categories(path, rows, task_column, names.get("category"))
    unused = [name for name in others if name != task_column]
    return RawTable(cells, doses, unused, categories=categories, has_dose_columns=True)


def _read_row_per_dose(
    path: str, columns: Sequence[str], rows: Rows, dose_column: str, seed_column: str | None
) -> RawTable:
    """Read a column per task with a row per dose; rows whose dose is no dose, such as `ABS`, aren't used."""
    dosed = [
        (line, row, dose) for line, row in rows if _is_dose(dose := _text(row.get(dose_column))) or _is_retuned(dose)
    ]
    others = [name for name in columns if name not in (dose_column, seed_column)]
    tasks = [name for name in others if any(_is_number(row.get(name)) for _, row, _ in dosed)]
    doses = list(dict.fromkeys(dose for _, _, dose in dosed if not _is_retuned(dose)))
    if not tasks or not doses:
        raise _unusable_columns(path, columns)
    cells: list[RawCell] = []
    for task in tasks:
        for line, row, dose in dosed:
            retuned = _is_retuned(dose)
            seed = "" if seed_column is None else _text(row.get(seed_column))
            cells.append(RawCell(task, "100%" if retuned else dose, retuned, seed, line, task, row.get(task)))
    lines = {line for line, _, _ in dosed}
    unused_rows = [_text(row.get(dose_column)) for line, row in rows if line not in lines]
    return RawTable(cells, doses, [name for name in others if name not in tasks], unused_rows)


def _find_dose_column(path: str, columns: Sequence[str], rows: Rows, taken: Collection[str | None]) -> str | None:
    """Return the column of doses of a table without a column per dose: by its name, else by its cells.

    By its cells a column is one of doses if some of them are written with a word (`CR 25%`), or if they are at least
    two and go from 0 to 100 %.

    Raises:
        InputError: several columns could be it.
    """
    free = [name for name in columns if name not in taken and _has_doses(rows, name)]
    by_name = [name for name in free if _plain(name) in _NAMES["dose"]]
    by_word = [name for name in free if any(re.match("[a-z]", _plain(dose)) for dose in _doses_of(rows, name))]
    by_range = [name for name in free if _spans_all_doses(_doses_of(rows, name))]
    candidates = by_name or by_word or by_range
    if len(candidates) > 1:
        listed = " and ".join(abbreviate(name) for name in candidates[:5])
        two = f"{len(candidates)} columns that could be doses, {listed}"
        raise InputError([Problem(path, None, two, "one")], f"Name it: --columns dose={candidates[0]}.")
    return next(iter(candidates), None)


def _doses_of(rows: Rows, column: str) -> list[str]:
    return [dose for _, row in rows if _is_dose(dose := _text(row.get(column)))]


def _has_doses(rows: Rows, column: str) -> bool:
    return bool(_doses_of(rows, column))


def _spans_all_doses(doses: Sequence[str]) -> bool:
    matches = [match for dose in doses if (match := match_dose(dose)) is not None]
    values = {float(match[1]) / (100 if match[2] else 1) for match in matches}
    return 0.0 in values and max(values) in (1.0, 100.0)


def _read_categories(path: str, rows: Rows, task_column: str, column: str | None) -> dict[str, str]:
    """Return the category of each task; raises `InputError` where a task has two."""
    categories: dict[str, str] = {}
    if column is None:
        return categories
    for line, row in rows:
        task, category = _text(row.get(task_column)), _text(row.get(column))
        if category and categories.setdefault(task, category) != category:
            two = f"the category {abbreviate(category)} of {abbreviate(task)}"
            expected = f"{abbreviate(categories[task])}, as in an earlier line"
            raise InputError([Problem(path, line, two, expected)])
    return categories


def _unusable_columns(path: str, columns: Sequence[str]) -> InputError:
    listed = ", ".join(abbreviate(name) for name in columns[:20]) or "none"
    hint = "Name them with --columns, for example --columns task=benchmark,score=acc, or --columns dose=ratio."
    return InputError([Problem(path, None, f"the columns {listed}", _EXPECTED)], hint)


def _parse_hints(path: str, columns: Sequence[str], hints: Sequence[str]) -> dict[str, str]:
    """Return our name of each column that is named by a person → the file's name of it."""
    names: dict[str, str] = {}
    for entry in (part for text in hints for part in text.split(",")):
        word, equals, name = (part.strip() for part in entry.partition("="))
        if word not in _NAMES and name in _NAMES:
            raise SettingsError(
                f"--columns {entry!r}: expected WORD=COLUMN, with your column's name second; "
                f"type --columns '{name}={word}'"
            )
        if not equals or word not in _NAMES:
            raise SettingsError(f"--columns {entry!r}: expected WORD=COLUMN with WORD one of {', '.join(_NAMES)}")
        if name not in columns:
            listed = ", ".join(abbreviate(column) for column in columns)
            raise SettingsError(f"--columns {entry}: {path} has no such column; it has {listed}")
        names[word] = name
    return names


def _match_columns(columns: Sequence[str], hinted: Mapping[str, str]) -> dict[str, str]:
    """Return our name of each other column that is there by a usual name → the file's name of it."""
    names: dict[str, str] = {}
    for word, usual in _NAMES.items():
        free = [name for name in columns if name not in (*hinted.values(), *names.values())]
        match = next((name for usual_name in usual for name in free if _plain(name) == usual_name), None)
        if word not in hinted and match is not None:
            names[word] = match
    return names


def _plain(name: str) -> str:
    """Return a name without case, - and _; "re-tuned" is "retuned"."""
    return " ".join(re.sub(r"[-_\s]+", " ", name).split()).lower().replace("re tuned", "retuned")


def _is_retuned(dose: str) -> bool:
    """Return whether a dose's name is that of the model after clean re-tuning."""
    return _plain(dose) in _NAMES["retuned"]


def match_dose(name: str) -> re.Match[str] | None:
    """Return the match of a dose's name, with its number and its % sign as groups."""
    return _DOSE.fullmatch(_plain(name))


def _is_dose(name: str) -> bool:
    return match_dose(name) is not None


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _is_number(value: Any) -> bool:
    try:
        return parse_number(value)[0] is not None
    except ValueError:
        return False


def parse_number(value: Any) -> tuple[float | None, bool]:
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

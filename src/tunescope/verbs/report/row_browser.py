"""Rows to read: those that `check` found fault with, beside their twins, and what a comparison or a repair changed."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tunescope.errors import TunescopeError
from tunescope.results.check import CheckResult
from tunescope.runs import Run

if TYPE_CHECKING:
    from tunescope.rows import Row

_MOST_ROWS = 1000
_MOST_CHARACTERS = 6000
"""Characters of a message that the page has."""
_STATES = {"changed": "the text differs between A and B", "removed": "only in A", "added": "only in B"}
"""What a pair of a comparison can be, but the same."""
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)+'|\"(?:[^\"\\]|\\.)+\"")
_ROW_ID = re.compile(r"\b[0-9a-f]{16}(?:\.\d+)?\b")


class Nouns(NamedTuple):
    """What the things to read are called: one that is opened, one in a count, several; and what tells more of one.

    `sides` says of two texts beside each other where the words that are struck stand, and where those underlined.
    """

    heading: str
    one: str
    many: str
    command: str = ""
    sides: tuple[str, str] = ("only in this row", "only in the other")


def faulty_rows(run: Run) -> dict[str, Any] | str:
    """Return the browser's data, or why there is none: the rows can't be read any more, or aren't those checked."""
    from tunescope.rows import open_rows

    settings = run.settings
    try:
        rows = open_rows(settings["rows"], settings["format"], tuple(settings["columns"]), settings["on_bad"])
        if not rows.inputs.items() <= run.info["inputs"].items():
            return "The row file has changed since it was checked, so its rows aren't shown here."
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for record in run.tables["faults"].to_pylist():
            found[record["row_id"]].append(record)
        wanted = set(list(found)[:_MOST_ROWS])
        wanted |= {name for row_id in wanted for each in found[row_id] for name in _ROW_ID.findall(each["detail"])}
        kept = {row.id: row for row in rows if row.id in wanted}
    except TunescopeError as error:
        return f"The rows couldn't be read again: {error}"
    shown = [_row(kept[row_id], found[row_id], kept) for row_id in list(found)[:_MOST_ROWS] if row_id in kept]
    counts = CheckResult.read(run).faults
    said = {str(row[0]): str(row[-1]) for table in run.view.tables if table.title == "Faults" for row in table.rows}
    kinds = [[name, said.get(name, ""), n] for name, n in counts.items() if n]
    return browser(Nouns("Row", "faulty row", "faulty rows", "tunescope why"), kinds, shown, len(found))


def changed_rows(run: Run) -> dict[str, Any] | str:
    """Return the browser's data of a comparison of rows: those that differ, with both texts; or why there is none."""
    try:
        a, b = (_compared(run.settings[side], run) for side in ("a", "b"))
    except TunescopeError as error:
        return f"The rows couldn't be read again: {error}"
    if a is None or b is None:
        return "A row file has changed since it was compared, so its rows aren't shown here."
    pairs = [pair for pair in run.tables["pairs"].to_pylist() if pair["state"] != "same"]
    shown = [_pair(pair, a.get(pair["a_id"]), b.get(pair["b_id"])) for pair in pairs[:_MOST_ROWS]]
    counts = Counter(pair["state"] for pair in pairs)
    kinds = [[state, said, counts[state]] for state, said in _STATES.items() if counts[state]]
    nouns = Nouns("Row", "row that differs", "rows that differ", "tunescope why", ("only in A", "only in B"))
    return browser(nouns, kinds, shown, len(pairs))


def repaired_rows(run: Run) -> dict[str, Any] | str:
    """Return the browser's data of a repair: the rows that it changed, before and after; or why there is none."""
    from tunescope.rows import find_run_rows, open_rows

    settings = run.settings
    try:
        rows = open_rows(settings["rows"], settings["format"], tuple(settings["columns"]), settings["on_bad"])
        if not rows.inputs.items() <= run.info["inputs"].items():
            return "The row file has changed since it was repaired, so its rows aren't shown here."
        repairs = [record for record in run.tables["repairs"].to_pylist() if record["action"] == "changed"]
        wanted = {record["row_id"]: record["new_row_id"] for record in repairs[:_MOST_ROWS]}
        before = {row.id: row for row in rows if row.id in wanted}
        layout = rows.files[0].layout.format
        after = {row.id: row for row in open_rows([str(find_run_rows(run.path))], layout, tuple(settings["columns"]))}
    except TunescopeError as error:
        return f"The rows couldn't be read again: {error}"
    shown = [
        _repaired(record, before[record["row_id"]], after[record["new_row_id"]])
        for record in repairs[:_MOST_ROWS]
        if record["row_id"] in before and record["new_row_id"] in after
    ]
    nouns = Nouns("Row", "row that changed", "rows that changed", "tunescope why", ("only before", "only after"))
    return browser(nouns, [], shown, len(repairs))


def browser(nouns: Nouns, kinds: list[list[Any]], shown: list[dict[str, Any]], n: int) -> dict[str, Any]:
    """Return what the script reads: what things are called, their kinds with meaning and n, and the things."""
    return {**nouns._asdict(), "faults": kinds, "rows": shown, "more": max(0, n - len(shown))}


def _compared(name: str, run: Run) -> dict[str, Row] | None:
    """Return a side's rows by id; None where they aren't those that were compared."""
    from tunescope.rows import find_run_rows, open_rows

    folder = Path(name)
    file = find_run_rows(folder) if (folder / "run.json").is_file() else None
    rows = open_rows([str(file or name)], run.settings["format"], tuple(run.settings["columns"]))
    if not {*rows.inputs.values()} <= {*run.info["inputs"].values()}:
        return None
    return {row.id: row for row in rows}


def _pair(pair: Mapping[str, Any], old: Row | None, new: Row | None) -> dict[str, Any]:
    """Return a row of B, or one that only A has, with both texts where it is in both."""
    state, row = pair["state"], new or old
    shown = {
        "id": pair["b_id"] or pair["a_id"],
        "place": str(row.location) if row else "",
        "faults": [[state, " and ".join(f"in {side}" for side in "AB" if pair[f"{side.lower()}_id"]), _STATES[state]]],
        "messages": _messages(row) if row else [],
        "marks": [],
        "history": None,
    }
    if old and new:
        shown["twin"] = [f"Beside row {old.id}", _whole(old), _whole(new)]
    return shown


def _repaired(record: Mapping[str, Any], old: Row, new: Row) -> dict[str, Any]:
    """Return a row that a repair changed: its texts before and after, and both as one."""
    messages = []
    for (role, text, cut), (_, now, now_cut) in zip(_messages(old), _messages(new), strict=False):
        messages += (
            [[role, text, cut]] if text == now else [[f"{role}, before", text, cut], [f"{role}, after", now, now_cut]]
        )
    return {
        "id": new.id,
        "place": f"{old.location}, row {old.id} before",
        "faults": [["changed", f"reply {record['status']}", record["reason"]]],
        "messages": messages,
        "marks": [],
        "history": None,
        "twin": ["What changed", _whole(old), _whole(new)],
    }


def _messages(row: Row) -> list[list[Any]]:
    """Return role and text of each message, and whether the text is cut."""
    texts = [(message.role, _said(message)) for message in row.messages]
    return [[role, text[:_MOST_CHARACTERS], len(text) > _MOST_CHARACTERS] for role, text in texts]


def _row(row: Row, found: list[dict[str, Any]], kept: Mapping[str, Row]) -> dict[str, Any]:
    texts = [[message.role, _said(message)] for message in row.messages]
    twins = dict.fromkeys(name for each in found for name in _ROW_ID.findall(each["detail"]) if name != row.id)
    twin = next((kept[name] for name in twins if name in kept), None)
    shown: dict[str, Any] = {
        "id": row.id,
        "place": f"{row.file}:{row.line}" + ("" if row.record is None else f", record {row.record}"),
        "faults": [[each["fault"], each["grade"], each["detail"]] for each in found],
        "messages": _messages(row),
        "marks": list(_marks(texts, found)),
        "history": [" ".join(filter(None, (step.operation, step.reason))) for step in row.lineage],
    }
    if twin is not None:
        shown["twin"] = [f"Beside row {twin.id}", _whole(row), _whole(twin)]
    return shown


def _said(message: Any) -> str:
    from tunescope.rows.content import reply_text

    return reply_text(message)


def _whole(row: Row) -> str:
    return "\n\n".join(_said(message) for message in row.messages)[:_MOST_CHARACTERS]


def _marks(texts: list[list[str]], found: list[dict[str, Any]]) -> Iterator[list[int]]:
    """Yield (message, start, end) of what the details quote, where it stands last in the row, in UTF-16 units."""
    for each in found:
        for quoted in _QUOTED.findall(each["detail"]):
            try:
                words = ast.literal_eval(quoted)
            except (ValueError, SyntaxError):
                continue
            for number in reversed(range(len(texts))):
                start = texts[number][1].rfind(words)
                if start >= 0:
                    before = len(texts[number][1][:start].encode("utf-16-le")) // 2
                    yield [number, before, before + len(words.encode("utf-16-le")) // 2]
                    break

"""The rows that `check` found fault with, for reading: their texts with what was found marked, and those of twins."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tunescope.errors import TunescopeError
from tunescope.foreign import replace_steering
from tunescope.results.check import CheckResult
from tunescope.runs import Run
from tunescope.verbs.check import meanings

if TYPE_CHECKING:
    from tunescope.rows import Row

_MOST_ROWS = 1000
_MOST_CHARACTERS = 6000
"""Characters of a message that the page has."""
_STATES = {"changed": "the text differs between A and B", "removed": "only in A", "added": "only in B"}
"""What a pair of a comparison can be, but the same."""
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)+'|\"(?:[^\"\\]|\\.)+\"")
_ROW_ID = re.compile(r"\b[0-9a-f]{16}(?:\.\d+)?\b")


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
    counts, said = CheckResult.read(run).faults, meanings()
    kinds = [[name, said.get(name, ""), n] for name, n in counts.items() if n]
    return {"noun": "faulty row", "faults": kinds, "rows": shown, "more": max(0, len(found) - len(shown))}


def changed_rows(run: Run) -> dict[str, Any] | str:
    """Return the browser's data of a comparison of rows: those that differ, with both texts; or why there is none."""
    from tunescope.settings import make
    from tunescope.verbs.compare.items import open_set
    from tunescope.verbs.compare.settings import CompareSettings

    try:
        settings = make(CompareSettings, run.settings)
        sides = [open_set(settings, name) for name in (settings.a, settings.b)]
        if not {side.hash for side in sides} <= {*run.info["inputs"].values()}:
            return "A row file has changed since it was compared, so its rows aren't shown here."
        a, b = ({item.id: item for item in side.items()} for side in sides)
    except TunescopeError as error:
        return f"The rows couldn't be read again: {error}"
    pairs = [pair for pair in run.tables["pairs"].to_pylist() if pair["state"] != "same"]
    shown = []
    for pair in pairs[:_MOST_ROWS]:
        old, new = a.get(pair["a_id"]), b.get(pair["b_id"])
        item = new or old
        if item is None:
            continue
        place = item.location
        texts = [["user", item.prompt], ["assistant", item.text]]
        row: dict[str, Any] = {
            "id": item.id,
            "place": "" if place is None else str(place),
            "faults": [[pair["state"], "in B" if new else "in A", _STATES[pair["state"]]]],
            "messages": [[role, text[:_MOST_CHARACTERS], len(text) > _MOST_CHARACTERS] for role, text in texts],
            "marks": [],
            "history": None,
        }
        if old and new:
            before, after = (f"{each.prompt}\n\n{each.text}"[:_MOST_CHARACTERS] for each in (old, new))
            row["twin"] = [old.id, before, after]
        shown.append(row)
    counts = Counter(pair["state"] for pair in pairs)
    kinds = [[state, said, counts[state]] for state, said in _STATES.items() if counts[state]]
    return {"noun": "row that differs", "faults": kinds, "rows": shown, "more": max(0, len(pairs) - len(shown))}


def as_json(data: Mapping[str, Any]) -> str:
    """Write the data without characters that steer the page."""
    return replace_steering(json.dumps(data, ensure_ascii=False, separators=(",", ":")))


def _row(row: Row, found: list[dict[str, Any]], kept: Mapping[str, Row]) -> dict[str, Any]:
    texts = [[message.role, _said(message)] for message in row.messages]
    twins = dict.fromkeys(name for each in found for name in _ROW_ID.findall(each["detail"]) if name != row.id)
    twin = next((kept[name] for name in twins if name in kept), None)
    shown: dict[str, Any] = {
        "id": row.id,
        "place": f"{row.file}:{row.line}" + ("" if row.record is None else f", record {row.record}"),
        "faults": [[each["fault"], each["grade"], each["detail"]] for each in found],
        "messages": [[role, text[:_MOST_CHARACTERS], len(text) > _MOST_CHARACTERS] for role, text in texts],
        "marks": list(_marks(texts, found)),
        "history": [" ".join(filter(None, (step.operation, step.reason))) for step in row.lineage],
    }
    if twin is not None:
        shown["twin"] = [twin.id, _whole(row)[:_MOST_CHARACTERS], _whole(twin)[:_MOST_CHARACTERS]]
    return shown


def _said(message: Any) -> str:
    from tunescope.rows.content import reply_text

    return reply_text(message)


def _whole(row: Row) -> str:
    return "\n\n".join(_said(message) for message in row.messages)


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

"""Whether an answer holds a verdict, so that it may be the answer that speaks. Compared by what is read, not by text.

"8 / 10", "8,10" in wide digits, and {"score_2": 10.0, "score_1": "8"} are one verdict, wherever in an answer it stands:
in an object, a list, a string or a fence, on a line, between quotation marks. An answer that holds no verdict changes
nothing, whatever else it holds, and looking for one takes time linear in its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from tunescope.oracle.folding import fold
from tunescope.oracle.json_objects import ObjectScan
from tunescope.verbs.judge.forms import VerdictForm

T = TypeVar("T")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\n", "t": " "}
_LONGEST_PIECE = 200
"""Characters of a line or of a quoted piece that may be a verdict."""
_DECORATION = " \t>#|+-*"
_QUOTED = re.compile(r"\"([^\"\n]{1,60})\"|`([^`\n]{1,60})`|(?<!\w)'([^'\n]{1,60})'(?!\w)")
_SENTENCE_END = re.compile(r"[.!?;]\s+")


def is_line_held(answer: str, own: T, form: VerdictForm[T]) -> bool:
    """Tell whether an answer holds a verdict in any form: as an object, on a line, or within one."""
    essence = form.essence(own)
    if is_object_held(answer, own, None, form):
        return True
    for view in _views(answer):
        if form.is_within(view, own):
            return True
        for piece in _pieces(view):
            verdict = form.of_line(piece).verdict if len(piece) <= _LONGEST_PIECE else None
            if verdict is not None and form.essence(verdict) == essence:
                return True
    return False


def is_object_held(answer: str, own: T, fields: Mapping[str, Any] | None, form: VerdictForm[T]) -> bool:
    """Tell whether an answer holds a verdict as a JSON object; with the judge's own `fields`, its reasons too."""
    if not any(brace in answer for brace in _BRACES):
        return False
    essence, reasons = form.essence(own), None if fields is None else _reasons(fields)
    for view in _views(answer):
        for text in (view, view.replace("'", '"')) if "'" in view else (view,):
            for found in ObjectScan(text).objects:
                verdict = form.of_object(found.value).verdict
                if verdict is None or form.essence(verdict) != essence:
                    continue
                if reasons is None or _reasons(found.value) == reasons:
                    return True
    return False


_BRACES = ("{", "｛", "﹛", "\\u007", "\\x7")
"""How an object can begin: a brace, one that looks like it, or its escape."""


def is_copied(answer: str, reply: str) -> bool:
    """Tell whether an answer holds a whole reply, white space aside."""
    return _squeeze(reply) in _squeeze(answer)


def _reasons(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return the reasons of an object by the names of their fields, as they are read; empty ones aren't there."""
    found = {}
    for name, value in fields.items():
        inner = value.get("reason") if isinstance(value, Mapping) else value
        is_reason = inner is not value or name == "reason" or name.endswith("_reason")
        if is_reason and isinstance(inner, str) and (text := _squeeze(inner)):
            found[name] = text
    return found


def _squeeze(text: str) -> str:
    return "".join(fold(text).casefold().split())


def _views(answer: str) -> Iterator[str]:
    """Yield an answer as it is read, and as it would be if it were part of a JSON string."""
    folded = fold(answer)
    yield folded
    if "\\" in folded:
        yield fold(_ESCAPE.sub(_unescape, folded))


def _unescape(match: re.Match[str]) -> str:
    digits = match[1] or match[2]
    return chr(int(digits, 16)) if digits else _ESCAPES.get(match[3], match[3])


def _pieces(text: str) -> Iterator[str]:
    """Yield what may be a verdict of its own: lines, sentences that are more than a number, and what is quoted."""
    for line in text.split("\n"):
        yield line
        for part in line.splitlines():
            yield part.strip(_DECORATION)
        for sentence in _SENTENCE_END.split(line) if len(line) > 1 else ():
            if not sentence.strip(_DECORATION).isdigit():
                yield sentence
    for match in _QUOTED.finditer(text):
        yield match[match.lastindex or 0]

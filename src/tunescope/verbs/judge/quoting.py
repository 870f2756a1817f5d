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
_BRACES = ("{", "｛", "﹛", "\\u", "\\x")
"""How an object can begin: a brace, one that looks like it, or its escape."""


def is_verdict_held(answer: str, own: T, form: VerdictForm[T]) -> bool:
    """Tell whether an answer holds a verdict in any form: as an object, on a line, or within one."""
    return is_object_held(answer, own, None, form) or any(form.is_within(view, own) for view in _views(answer))


def is_object_held(answer: str, own: T, fields: Mapping[str, Any] | None, form: VerdictForm[T]) -> bool:
    """Tell whether an answer holds a verdict as a JSON object; with the judge's own `fields`, its reasons too."""
    if not any(brace in answer for brace in _BRACES):
        return False
    essence, reasons = form.essence(own), None if fields is None else _reasons(fields)
    for view in _views(answer):
        if form.names.search(view) is None:
            continue
        for text in (view, view.replace("'", '"')) if "'" in view else (view,):
            for found in ObjectScan(text).objects:
                verdict = form.of_object(found.value).verdict
                if verdict is None or form.essence(verdict) != essence:
                    continue
                if reasons is None or _reasons(found.value) == reasons:
                    return True
    return False


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

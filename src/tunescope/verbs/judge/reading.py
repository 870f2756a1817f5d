"""What a judge's reply to our own prompts says, where answers try to speak for the judge. Pure.

Each prompt has two nonces, made from the texts that are judged and occurring in none of them. Answers stand between
lines with the first, the delimiter. The judge writes its verdict behind the second, the verdict marker, so what stands
there is the judge's own, whatever else the reply quotes and whatever answers hold.

A verdict without the marker counts as the JSON object that the reply is, or ends with, or as its last line, and not
where an answer holds the same (`quoting`). Where the judge was asked for JSON there is no marker, and its reply is one
object alone: that object is an answer's only where its reasons are the answer's too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from tunescope.oracle.json_objects import ObjectScan, begun_object, object_of
from tunescope.text.declining import declines
from tunescope.verbs.judge.forms import ParsedVerdict
from tunescope.verbs.judge.quoting import is_copied, is_object_held, is_verdict_held

if TYPE_CHECKING:
    from tunescope.oracle.replies import Reply
    from tunescope.oracle.reply_format import ReplyFormat
    from tunescope.verbs.judge.forms import VerdictForm

T = TypeVar("T")
MARKER_FIELD = "code"
"""The field with the verdict marker in a verdict that is JSON."""
_BEFORE = re.compile(r"(?:[\s:=*_`>\]]|-(?![0-9]))*+")
"""What may stand between the marker and the verdict; a minus before a number is the number's."""


class _Said(NamedTuple):
    """A reply as it is read.

    Attributes:
        lines: its text, without the last line where it was cut within it: 1 may have been 10.
        fields: those of the object that it is; of one that was cut, those that are whole.
        is_closed: whether it is one whole object.
        was_cut: whether more may have followed.
    """

    lines: str
    fields: Mapping[str, Any]
    is_closed: bool
    was_cut: bool


def read_verdict(
    reply: Reply, form: VerdictForm[T], marker: str, answers: Sequence[str], reply_format: ReplyFormat
) -> ParsedVerdict[T]:
    """Read the judge's own verdict in a reply; `answers` are those that it was shown."""
    if reply.ending == "refused":
        return ParsedVerdict(None, "refused")
    said = _said(reply)
    if marker in reply.text:
        parsed = _marked(said, form, marker)
    else:
        parsed, fields = _unmarked(said, form)
        if parsed.verdict is not None and _is_held(reply, parsed.verdict, fields, said, form, answers, reply_format):
            return ParsedVerdict(None, "quoted")
    if parsed.why != "no_verdict":
        return parsed
    texts = [value for value in said.fields.values() if isinstance(value, str) and value.strip()]
    if (texts and all(map(declines, texts))) or (reply.ending != "cut" and declines(reply.text)):
        return ParsedVerdict(None, "refused")
    return ParsedVerdict(None, "truncated" if said.was_cut else "no_verdict")


def _said(reply: Reply) -> _Said:
    text = reply.text
    fields, is_closed = object_of(text) if "{" in text else ({}, False)
    was_cut = reply.ending != "whole" and not (reply.ending == "unknown" and is_closed)
    if was_cut and not is_closed:
        fields = begun_object(text)
    lines = text.replace("\u2028", "\n").replace("\u2029", "\n")
    lines = lines.rpartition("\n")[0] if reply.ending != "whole" else lines
    return _Said(lines, fields, is_closed, was_cut)


def _marked(said: _Said, form: VerdictForm[T], marker: str) -> ParsedVerdict[T]:
    """Read the last verdict that has the marker: on a line behind it, or in an object that holds it."""
    if said.fields.get(MARKER_FIELD) == marker and said.lines.count(marker) <= 1:
        return form.of_object(said.fields)
    found = [(0, form.of_object(said.fields))] if said.fields.get(MARKER_FIELD) == marker else []
    at = said.lines.find(marker)
    while at >= 0:
        end = said.lines.find("\n", at)
        line = said.lines[at + len(marker) : end if end >= 0 else None]
        found.append((at, form.of_line(_BEFORE.sub("", line, count=1))))
        at = said.lines.find(marker, at + len(marker))
    for each in ObjectScan(said.lines).objects:
        if each.value.get(MARKER_FIELD) == marker:
            found.append((each.start, form.of_object(each.value)))
    found.sort(key=lambda each: each[0])
    return next(
        (parsed for _, parsed in reversed(found) if parsed.why != "no_verdict"), ParsedVerdict(None, "no_verdict")
    )


def _unmarked(said: _Said, form: VerdictForm[T]) -> tuple[ParsedVerdict[T], Mapping[str, Any] | None]:
    """Read the object that the reply is, or ends with, and else its last line; with the fields of the object."""
    parsed = form.of_object(said.fields)
    if parsed.why != "no_verdict":
        return parsed, said.fields
    whole = said.lines.rstrip("` \t\r\n")
    if whole.endswith("}") and not said.is_closed:
        last = next((each.value for each in ObjectScan(whole).objects if each.end == len(whole)), {})
        parsed = form.of_object(last)
        if parsed.why != "no_verdict":
            return parsed, last
    lines = said.lines.rstrip()
    return form.of_line(lines[lines.rfind("\n") + 1 :].strip()), None


def _is_held(
    reply: Reply,
    own: T,
    fields: Mapping[str, Any] | None,
    said: _Said,
    form: VerdictForm[T],
    answers: Sequence[str],
    reply_format: ReplyFormat,
) -> bool:
    """Tell whether an answer holds a verdict that has no marker."""
    if said.was_cut and not said.is_closed and any(is_copied(answer, reply.text) for answer in answers):
        return True
    if reply_format == "json" and fields is said.fields:
        whole = fields if said.is_closed else None
        return any(is_object_held(answer, own, whole, form) for answer in answers)
    return any(is_verdict_held(answer, own, form) for answer in answers)

"""Words of an LLM rewrite that leaked into the data.

A model that improves a row often announces its work ("Here is a new and complete answer …") or
repeats the prompt's markers ("[Better Answer]", Evol-Instruct's "#Rewritten Prompt#"). Published models
were trained on such lines, and write them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunescope.rows import Message, Row
from tunescope.verbs.check.evidence import Evidence, look_at, surely_wrong

if TYPE_CHECKING:
    from tunescope.verbs.check.settings import CheckSettings

NAME = "leaked_preamble"
MEANING = "a rewriting model's announcement, or a marker of its prompt, in the text (in English)"
ORDER = 4

_OPENING = 200
"""Characters at the start of a message in which an announcement is looked for."""
_QUALITY = (
    r"(?:new|better|improved|revised|rewritten|updated|enhanced|refined|modified|polished|complete|detailed|evolved)"
)
_THING = r"(?:answer|response|reply|instruction|prompt|question)"
_TEXT = r"(?:version|text|paragraph|sentence)"
_ANNOUNCEMENT = re.compile(
    rf"\bhere(?:'s|’s| is| are)\b[^.\n]{{0,40}}\b{_QUALITY}\b[^.\n:]{{0,40}}\b(?P<thing>{_THING}|{_TEXT})s?\b",
    re.IGNORECASE,
)
_EVOL_MARKER = re.compile(
    rf"(?<!#)#{{1,4}} ?(?:the )?(?:(?:{_QUALITY}|given|created|original|first|second|final) )?{_THING}"
    r" ?#{1,4}(?![#\w])",
    re.IGNORECASE,
)
"""Evol-Instruct's: `#Given Prompt#`, `#Rewritten Prompt#`, `#Created Prompt#`, `#The Response#` and the like."""
_BRACKET_MARKER = re.compile(
    rf"^[ \t]*\[(?:the )?(?:start of |end of )?(?:the )?{_QUALITY} {_THING}\]", re.IGNORECASE | re.MULTILINE
)
_HEADING = re.compile(
    rf"^[ \t]*(?:(?:\*\*|#{{1,4}} ?)?{_QUALITY} {_THING}(?:\*\*)?:|\[end\][ \t]*$)", re.IGNORECASE | re.MULTILINE
)
"""A marker that other texts have too, as a heading or the last line of a script."""
_REWRITTEN = re.compile(r"\s*(?:\*\*|#{1,4} ?)?(?:rewritten|evolved) ", re.IGNORECASE)
_ASKS_FOR_REWRITING = re.compile(
    r"\b(?:re-?writ|re-?phras|paraphras|reword|improv|revis|edit|proofread|updat|better|enhanc|polish|refin|modif"
    r"|correct the|chang\w+ (?:the|this|it)\b)",
    re.IGNORECASE,
)


def find(row: Row, answers: Sequence[Message], settings: CheckSettings) -> Evidence | None:
    """Quote the first announcement or marker in a user or assistant message."""
    asked = ""
    for message in row.messages:
        text = message.content or ""
        if message.role == "user":
            asked = text
        elif message.role != "assistant":
            continue
        evidence = _marker(text) or (_announcement(text, asked) if message.role == "assistant" else None)
        if evidence is not None:
            return evidence
    return None


def _marker(text: str) -> Evidence | None:
    """Quote a marker of a rewriting prompt."""
    for character, pattern in (("#", _EVOL_MARKER), ("[", _BRACKET_MARKER)):
        if character in text and (match := pattern.search(text)):
            return surely_wrong(f"{match.group().strip()!r}")
    match = _HEADING.search(text) if "[" in text or ":" in text else None
    if match is None:
        return None
    grade = surely_wrong if not text[: match.start()].strip() and _REWRITTEN.match(match.group()) else look_at
    return grade(f"{match.group().strip()!r}")


def _announcement(text: str, asked: str) -> Evidence | None:
    """Quote an announcement of a rewrite; it is an answer like any other where a rewrite was asked for."""
    opening = text[:_OPENING]
    match = _ANNOUNCEMENT.search(opening) if "here" in opening.lower() else None
    if match is None:
        return None
    is_asked_for = _ASKS_FOR_REWRITING.search(asked) is not None
    if is_asked_for and re.fullmatch(_TEXT, match["thing"], re.IGNORECASE):
        return None
    return (look_at if is_asked_for else surely_wrong)(f"{match.group().strip()!r}")

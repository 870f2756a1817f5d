"""What a reply says: sections between tags, and how it ended. Pure; nothing here gives a default answer.

A tag counts only at the beginning of a line (an opening one) or at the end of a line (a closing one), and the
outermost pair holds: tags that a section quotes stay in it. A prompt's tags are chosen so that the row's own text
doesn't hold them (`tag_for`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from tunescope.oracle.endings import Ending, describe_refusal, ending_of, is_malformed
from tunescope.oracle.reply_format import ReplyFormat

Status = Literal["ok", "partial", "fallback", "unparsed", "refused", "truncated"]
STATUSES: tuple[Status, ...] = ("ok", "partial", "fallback", "unparsed", "refused", "truncated")
"""ok: all that was asked for; partial: some of it; fallback: the row's own text stands instead, as a whole; unparsed:
nothing that we can read; refused: the oracle, or its filter, declines; truncated: cut off before the end."""

NO_CHANGE = re.compile(
    r"\W*(?:no (?:further |other )?changes? (?:(?:is|are|were) )?(?:needed|required|necessary)"
    r"|same as (?:above|before))\W*",
    re.IGNORECASE,
)
"""What a model says of a text that it leaves as it is."""
NOT_A_REQUEST = re.compile(r"[\W_]*(?:n/?a|none|null)?[\W_]*", re.IGNORECASE)
"""A text that asks for nothing, though it may answer something."""
_PREAMBLE = re.compile(
    r"\s*[*_#]*[ \t]*(?:(?:sure|certainly|of course|absolutely)\b[,.!]?[ \t]*)?"
    r"(?:here(?:'s|’s| is| are)|below (?:is|are)|this is)\b"
    r"(?=[^\n]*\b(?:new|better|improved|revised|rewritten|updated|enhanced|refined|modified|polished|shorter|shortened"
    r"|concise|simplified|evolved|harder|rewrites?)\b)"
    r"[^\n:.!?]{0,80}\b(?:answers?|responses?|repl(?:y|ies)|instructions?|prompts?|versions?|rewrites?)\b"
    r"[^\n:.!?]{0,60}:[ \t]*[*_]*[ \t]*\n(?:[ \t]*\n)*",
    re.IGNORECASE,
)
"""A whole first line in which a model announces its rewriting ("Here is a new and complete answer:")."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's reply.

    Attributes:
        text: what it says, without the thoughts before it.
        finish_reason: why it ended, in the server's own word; None where it gives none.
        usage: its tokens as the server counted them; None where it doesn't.
        thinking: the thoughts before the text; None for none.
    """

    text: str
    finish_reason: str | None
    usage: dict[str, int] | None = None
    thinking: str | None = None

    @property
    def is_only_thoughts(self) -> bool:
        """Tell whether the model thought, and then said nothing."""
        return self.thinking is not None and not self.text.strip()

    @property
    def ending(self) -> Ending:
        """How it ended; a reply that is only thoughts was cut, whatever the server says of it."""
        ending = ending_of(self.finish_reason)
        return "cut" if self.is_only_thoughts and ending != "refused" else ending

    @property
    def is_answer(self) -> bool:
        """Tell whether its text is an answer, whole or cut at the limit: not declined, nor thoughts alone."""
        return not (self.ending == "refused" or self.is_only_thoughts or is_malformed(self.finish_reason))

    def describe_ending(self) -> str:
        """Say how a reply ended that isn't whole."""
        word = "" if self.finish_reason == "length" else f" (finish_reason {self.finish_reason})"
        if self.ending == "refused":
            return describe_refusal(self.finish_reason)
        if self.is_only_thoughts:
            more = "" if ending_of(self.finish_reason) == "whole" else "; give it more --max-new-tokens"
            return f"the model only thought, and said nothing{word}{more}"
        return f"the reply was cut off{word}" if self.finish_reason else "the server doesn't say how the reply ended"


class ParsedReply(NamedTuple):
    """A reply, and what it holds of what was asked for.

    Attributes:
        status: ok where no field is missing but optional ones.
        texts, numbers: the fields that are there, by name.
        problem: what is missing; "" where the status is ok.
        reply: the reply as it came.
        reply_format: the format that it was asked for in.
        verdict: of a judge, what it decided, or why it didn't (`verdicts.ParsedVerdict`); else None.
    """

    status: Status
    texts: dict[str, str]
    numbers: dict[str, float]
    problem: str
    reply: Reply
    reply_format: ReplyFormat = "tags"
    verdict: Any = None

    @property
    def text(self) -> str:
        """The reply's text."""
        return self.reply.text


def tag_for(name: str, *texts: str) -> str:
    """Return `name`, or `name_2`, `name_3` …: the first that none of the texts holds as a tag."""
    found, number = name, 1
    while any(f"<{found}>" in text or f"</{found}>" in text for text in texts):
        number += 1
        found = f"{name}_{number}"
    return found


def places(text: str, names: Sequence[str], tags: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return where the sections' texts start and end, by name, for those that are there in the order of their tags."""
    found: dict[str, tuple[int, int]] = {}
    at = 0
    for name, tag in zip(names, tags, strict=True):
        place = _outermost(text, tag, at)
        if place is not None:
            start, end, at = place
            found[name] = (start, end)
    return found


def _outermost(text: str, tag: str, at: int) -> tuple[int, int, int] | None:
    """Return where a section's text starts and ends, and where its closing tag ends; None for none or several."""
    marks = re.compile(rf"(?P<open>^[ \t]*<{re.escape(tag)}>)|(?P<close></{re.escape(tag)}>)(?=[ \t]*$)", re.MULTILINE)
    depth, start, end = 0, -1, None
    for mark in marks.finditer(text, at):
        if mark["open"] is not None:
            if end is not None:
                return None  # it is there twice, one after the other: which one is meant?
            start = mark.end() if depth == 0 else start
            depth += 1
        elif depth > 0:
            depth -= 1
            if depth == 0:
                end = mark
        elif end is not None:
            end = mark  # one more closing tag: those before it were quoted
    return None if end is None else (start, end.start(), end.end())


def without_preamble(text: str) -> tuple[str, str]:
    """Return a text without the line that announces it, and that line ("" where there is none).

    Only a whole first line goes, which speaks of the rewriting; what is in the same line as other words stays.
    """
    found = _PREAMBLE.match(text)
    if found is None or not text[found.end() :].strip():
        return text, ""
    return text[found.end() :], found.group().strip()

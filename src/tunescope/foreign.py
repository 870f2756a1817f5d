"""Text from outside: rows, names of files and models, a server's words. It may never steer a terminal or a page.

Control and format characters can hide text, and turn its direction round (Unicode Technical Report 36, section 3.3). A
terminal shows a replacement character for each, a page a badge with its number, and JSON its escape.
"""

from __future__ import annotations

import re
from html import escape

_UNSEEN = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f"
)
"""Controls but line breaks and tabs, and format characters but those that join letters and hyphenate words."""
_STEERING = re.compile(f"[{_UNSEEN}]")
_RIGHT_TO_LEFT = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe\U00010800-\U00010fff\U0001e800-\U0001efff"
"""Blocks of scripts that are written from right to left, such as Hebrew and Arabic."""
_STRETCH = re.compile(f"[{_RIGHT_TO_LEFT}]+(?:[ \xa0]+[{_RIGHT_TO_LEFT}]+)*")
_REPLACEMENT = "\ufffd"


def printable(text: str) -> str:
    """Replace what isn't printable: a file may be called anything."""
    if text.isprintable():
        return text
    return "".join(ch if ch.isprintable() or ch == " " else _REPLACEMENT for ch in text)


def replace_steering(text: str) -> str:
    """Replace what steers, keeping the length in UTF-16 units, for places where no element may stand."""
    return _STEERING.sub(lambda match: _REPLACEMENT * (1 + (ord(match[0]) > 0xFFFF)), text)


def escape_text(text: str) -> str:
    """Escape a text of its own, such as an answer, whose element has `dir="auto"`: what steers becomes a badge."""
    return _STEERING.sub(lambda match: f'<span class="badge">U+{ord(match[0]):04X}</span>', escape(text))


def escape_sentence(text: str) -> str:
    """Escape a sentence of ours: foreign words that are written from right to left stand apart from what is around."""
    return _STRETCH.sub(lambda match: f"<bdi>{match[0]}</bdi>", escape_text(text))


def escape_json(text: str) -> str:
    """Write what steers as escapes in a JSON text, which reads the same."""
    return _STEERING.sub(lambda match: _json_escape(match[0]), text)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))

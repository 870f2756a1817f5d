"""Text from outside: rows, names of files and models, a server's words. It may steer neither a terminal, page nor file.

Control and format characters can hide text, and turn its direction round (Unicode Technical Report 36, section 3.3). A
terminal shows each as an escape, a page as a badge with its number, and JSON as its escape. Those that join letters,
hyphenate words or choose a glyph stay, as Persian, Hindi and emoji need them.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from html import escape
from io import TextIOWrapper
from typing import Any, TextIO, cast

_UNSEEN = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f"
)
"""Controls but line breaks and tabs, half surrogate pairs, and format characters but those that stay."""
_ON_PAGES = re.compile(rf"[{_UNSEEN}]|\r(?!\n)")
_ON_TERMINALS = re.compile(f"[\r\u2028\u2029{_UNSEEN}]")
_ON_A_LINE = re.compile(f"[\n\r\u2028\u2029{_UNSEEN}]")
_RIGHT_TO_LEFT = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe\U00010800-\U00010fff\U0001e800-\U0001efff"
"""Blocks of scripts that are written from right to left, such as Hebrew and Arabic."""
_PER_CENT = re.compile(r"\d[\d.,]* %")
_STRETCH = re.compile(f"[{_RIGHT_TO_LEFT}]+(?:[ \xa0]+[{_RIGHT_TO_LEFT}]+)*")
_REPLACEMENT = "\ufffd"
_MARKUP = re.compile(r"[\\`*_{}\[\]#|~!@:]")
"""What begins markup, a mention or an address in Markdown; < > and & are escaped as in HTML."""
_FILE_NAME = re.compile(r"(?!(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$))[a-z0-9_][a-z0-9_.-]{0,99}(?<!\.)", re.IGNORECASE)
"""What every file system takes as a name in a folder, not hidden, and no device of Windows."""
_FORMULA = re.compile(r"(?![+-]?[\d.,]+(?:[eE][+-]?\d+)?\s*%?$)[=+\-@\t\r\n＝＋－＠]")
"""How a cell begins that a spreadsheet runs (OWASP, CSV Injection); a number isn't run."""


def show(text: str) -> str:
    r"""Write what steers as escapes (\x1b, \u202e), for a terminal; line feeds and tabs stay."""
    return text if text.isprintable() else _ON_TERMINALS.sub(_escape, text)


def show_line(text: str) -> str:
    r"""Write what steers as escapes, line feeds too (\n): a text from outside begins no line."""
    return text if text.isprintable() else _ON_A_LINE.sub(_escape, text)


def show_command(command: str) -> str:
    r"""Write a command on one line that means the same to a shell: words with what steers are quoted as $'a\x1b'."""
    shown = show_line(command)
    if shown == command:
        return command
    try:
        return " ".join(map(_quote, shlex.split(command)))
    except ValueError:  # an open quotation mark, or half a surrogate pair: no command
        return shown


def _quote(word: str) -> str:
    if show_line(word) == word:
        return shlex.quote(word)
    word = re.sub(r"[\\']", r"\\\g<0>", word)
    return f"$'{_ON_A_LINE.sub(_as_bytes, word)}'"


def _as_bytes(match: re.Match[str]) -> str:
    return "".join(f"\\x{byte:02x}" for byte in match[0].encode("utf-8", "surrogateescape"))


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


class Gate:
    """A stream to a person, on which text from outside shows and steers nothing.

    Attributes:
        beside: the stream itself, for what we mean to steer the terminal with.
    """

    def __init__(self, stream: TextIO) -> None:
        """Stand before a stream."""
        self.beside = stream

    def write(self, text: str) -> int:
        """Write a text with escapes for what steers; return its length."""
        self.beside.write(show(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        """Be the stream in all else."""
        return getattr(self.beside, name)


def gate_streams() -> None:
    """Put a gate before this process's stdout and stderr: whatever prints, tracebacks and other packages too."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)  # None where it is closed
        if isinstance(stream, TextIOWrapper):  # a terminal may lack our dashes, a file name may be no UTF-8
            stream.reconfigure(errors="backslashreplace")
        if stream is not None and not isinstance(stream, Gate):
            setattr(sys, name, Gate(stream))


def beside_gate(stream: TextIO) -> TextIO:
    """Return the stream behind a gate, for our own codes alone: those of the progress bar."""
    return cast(TextIO, getattr(stream, "beside", stream))


def show_cell(cell: Any) -> Any:
    """Return a cell for a spreadsheet: text that would run as a formula gets an apostrophe before it, numbers stay."""
    if not isinstance(cell, str):
        return cell
    return ("'" if _FORMULA.match(cell) else "") + show(cell)


def is_file_name(name: str) -> bool:
    """Tell whether a name from outside may be a file's: of ASCII letters, digits, _ - and . inside, at most 100."""
    return _FILE_NAME.fullmatch(name) is not None


def replace_steering(text: str) -> str:
    """Replace what steers, keeping the length in UTF-16 units, for places where no element may stand."""
    return _ON_PAGES.sub(lambda match: _REPLACEMENT * (1 + (ord(match[0]) > 0xFFFF)), text)


def escape_markdown(text: str) -> str:
    """Escape a line for GitHub's Markdown: no markup, element, mention or address in it is one."""
    return _MARKUP.sub(r"\\\g<0>", escape(show_line(text), quote=False))


def escape_text(text: str) -> str:
    """Escape a text of its own, such as an answer, whose element has `dir="auto"`: what steers becomes a badge."""
    return _ON_PAGES.sub(lambda match: f'<span class="badge">U+{ord(match[0]):04X}</span>', escape(text))


def split_at_badges(text: str) -> list[str]:
    """Split a text for a script that draws it: its stretches, and between them the names of what steers."""
    parts, place = [], 0
    for match in _ON_PAGES.finditer(text):
        parts += [text[place : match.start()], f"U+{ord(match[0]):04X}"]
        place = match.end()
    return [*parts, text[place:]]


def escape_sentence(text: str) -> str:
    """Escape a sentence of ours: foreign words that are written from right to left stand apart from what is around.

    No line ends between a number and its per cent sign.
    """
    apart = _STRETCH.sub(lambda match: f"<bdi>{match[0]}</bdi>", escape_text(text))
    return _PER_CENT.sub(r'<span class="whole">\g<0></span>', apart)


def escape_json(text: str) -> str:
    """Write what steers as escapes in a JSON text, which reads the same."""
    return text if text.isprintable() else _ON_TERMINALS.sub(lambda match: _json_escape(match[0]), text)


def dump_json(value: Any, **options: Any) -> str:
    """Write a value as JSON, as `json.dumps` does with these options, with escapes for what steers."""
    return escape_json(json.dumps(value, **options))


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))

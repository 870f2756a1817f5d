"""What holds of every view that a terminal shows: its lines fit, and its names are whole. Counted not by our code."""

from __future__ import annotations

import json
import re
import shlex
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from tunescope.foreign import show_command, show_line
from tunescope.terminal import to_text
from tunescope.views import View, shorten, show

MAX_CELL_CHARS = 200


def columns(text: str) -> int:
    """Count the columns that a text takes."""
    return sum(
        0 if unicodedata.category(ch) in ("Mn", "Me", "Cf") else 1 + (unicodedata.east_asian_width(ch) in "WF")
        for ch in text
    )


def is_one_name(line: str) -> bool:
    """Tell whether a line holds one name alone, or one word of a command in its quotation marks."""
    line = line.strip().removesuffix(" \\")
    if len(line.split()) == 1 or re.fullmatch(r"\$'(?:[^'\\]|\\.)*'", line):  # bash's own quotation, with escapes
        return True
    try:
        return len(shlex.split(line)) == 1
    except ValueError:
        return False


def names_of(view: View) -> Iterator[str]:
    """Yield the words that must stand in the text as they are: all but those of quoted texts and of commands.

    A word with wide characters, or of a script without spaces, may be wrapped inside.
    """
    texts = [*view.sentences, *(text.title for text in view.texts)]
    for table in view.tables:
        texts += [table.title, table.note]
        cells = [*table.columns, *(show(cell) for row in table.rows for cell in row)]
        texts += [shorten(show_line(" ".join(cell.split())), MAX_CELL_CHARS) for cell in cells]
    for word in (word for text in texts for word in show_line(" ".join(text.split())).split()):
        if columns(word) <= len(word) and not re.search("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]", word):
            yield word


def faults_of(view: View, width: int) -> list[str]:
    """Return what is wrong with a view's text at a width: lines that are too wide, names that are broken."""
    text = to_text(view, width)
    faults = [f"wider than {width}: {line}" for line in text.split("\n") if columns(line) > width]
    faults = [fault for fault in faults if not is_one_name(fault.partition(": ")[2])]
    words = set(text.split())
    faults += [f"not whole: {name}" for name in names_of(view) if name not in words and f"{name}:" not in words]
    unfolded = text.replace(" \\\n      ", " ")
    return faults + [f"not whole: {command}" for command in view.next if f"  {show_command(command)}\n" not in unfolded]


def run_views(folder: Path) -> Iterator[tuple[str, View]]:
    """Yield the verb and the view of every run under a folder."""
    for path in sorted(folder.rglob("run.json")):
        if "data" not in path.relative_to(folder).parts[:1]:
            record = json.loads(path.read_text("utf-8"))
            yield record["verb"], View.from_json(record["view"])

"""A view as text: how it is laid out for so many columns, and how a terminal draws it.

There is one text. A pipe, a terminal with TERM=dumb or NO_COLOR, and the docs show it as it is; in another terminal
rich adds weight and colour to the same characters. rich's own tables aren't used: to make a table fit they break a
path, a run folder or a model's name inside, which then can't be copied.

A table that is too wide gives way in this order: its widest columns wrap between words; its headings wrap; columns of
long names, then of texts, go to lines of their own under each row (above it, where it is the first column), as does a
column that would make rows very high; at last the table continues below itself, with the columns that name its rows
again. A line is wider than the terminal only where it is one name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from shutil import get_terminal_size
from typing import NamedTuple, TextIO

from tunescope.foreign import beside_gate, show_command, show_line
from tunescope.views import Marked, Table, View, display_width, shorten, show, visible

_LINE = re.compile(r"[^\n]+")
_LEAST_COLUMNS = 80
_PIPE_COLUMNS = 100
"""Columns where there is no terminal to ask and `COLUMNS` isn't set."""
_LONGEST = 200
"""Characters of a cell that are shown."""
_NARROWEST = 14
"""Columns below which no text is narrowed while headings are whole."""
_SHORT_CELL = 20
"""Columns up to which a cell stays whole once a table has to give way in other ways, as intervals do."""
_LONG_NAME = 24
"""Columns from which on a name, or a text, may get a line of its own."""
_TALL = 8
"""Lines above which a cell's text may get lines of its own."""
_MAX_LABELS = 3
_MARK = "‾"
_GLUED = "\xa0%"
_SPACELESS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
"""Thai, Lao, Burmese and Khmer, which are written without spaces, as scripts with wide characters are."""
_SHELL_WORD = re.compile(r"""(?:\$'(?:[^'\\]|\\.)*'|[^\s'"\\]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+""")
_STYLES = {"title": "bold", "head": "bold dim", "note": "dim", "mark": "bold yellow", "command": "cyan"}
"""How rich draws a piece of each role."""


class _Piece(NamedTuple):
    """A stretch of a line, and its role in the view: a key of `_STYLES`, or nothing."""

    text: str
    role: str = ""


def _terminal_columns() -> int:
    """Return the columns of the terminal, at least 80: of `COLUMNS`, else of the terminal on stdout, else 100."""
    return max(_LEAST_COLUMNS, get_terminal_size((_PIPE_COLUMNS, 24)).columns)


def is_plain(stream: TextIO) -> bool:
    """Tell whether a stream takes text alone: it is no terminal, a dumb one, or its person set NO_COLOR."""
    dumb = os.environ.get("TERM", "").lower() in ("dumb", "unknown")
    return not stream.isatty() or dumb or bool(os.environ.get("NO_COLOR"))


def to_text(view: View, width: int | None = None) -> str:
    """Draw a view as text of `width` columns (default: the terminal's own, at least 80)."""
    return "".join("".join(piece.text for piece in line) + "\n" for line in _lines(view, width or _terminal_columns()))


def draw(view: View, stream: TextIO) -> None:
    """Write a view to a stream: its text and, where the stream is a terminal that takes more, the same with colour."""
    if is_plain(stream):
        stream.write(to_text(view))
    else:
        from rich.console import Console
        from rich.text import Text

        text = Text()
        for line in _lines(view, _terminal_columns()):
            for piece in line:
                text.append(piece.text, _STYLES.get(piece.role))
            text.append("\n")
        Console(file=beside_gate(stream)).print(text, end="", soft_wrap=True, highlight=False)
    stream.flush()


def _lines(view: View, width: int) -> Iterator[list[_Piece]]:
    """Yield the lines of a view, with an empty one between its parts."""
    blocks = [[[_Piece(line)] for sentence in view.sentences for line in fold(sentence, width)]]
    blocks += [list(_marked_lines(text, width)) for text in view.texts]
    blocks += [list(_table_lines(table, width)) for table in view.tables]
    if view.next:
        commands = (line for command in view.next for line in _fold_command(command, width - 2))
        blocks.append([[_Piece("Next:", "title")], *([_Piece(f"  {line}", "command")] for line in commands)])
    blocks = [block for block in blocks if block]
    for number, block in enumerate(blocks):
        yield from [[]] * (number > 0)
        yield from block
    if not blocks:
        yield []


def fold(text: str, width: int) -> list[str]:
    """Wrap a text between words only, so that a path can be copied whole, and not before a per cent sign.

    A word of a script without spaces is wrapped inside where it is wider than a line. Any other has a line of its own.
    """
    lines: list[str] = []
    for word in show_line(" ".join(text.split())).replace(" %", _GLUED).split(" "):
        if lines and display_width(lines[-1]) + 1 + display_width(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines += _pieces(word, width)
    return [line.replace(_GLUED, " %") for line in lines if line]


def _has_spaces(word: str) -> bool:
    """Tell whether a word's script sets words apart by spaces, so that it is to stay whole."""
    return word.isascii() or (_SPACELESS.search(word) is None and all(display_width(ch) < 2 for ch in word))


def _pieces(word: str, width: int) -> list[str]:
    """Cut a word to lines where its script allows it; else return it whole."""
    if display_width(word) <= width or _has_spaces(word):
        return [word]
    lines, used = [""], 0
    for ch in word:
        used += display_width(ch)
        if used > width and display_width(ch):
            lines.append("")
            used = display_width(ch)
        lines[-1] += ch
    return [line for line in lines if line]


def _fold_command(command: str, width: int) -> list[str]:
    r"""Wrap a command as a shell continues it, with \ at the ends of lines, an option's value beside its name."""
    shown = show_command(command)
    words = _SHELL_WORD.findall(shown)
    if len(shown) <= width or " ".join(words) != shown:
        return [shown]
    units: list[str] = []
    for word in words:
        last = units[-1] if units else ""
        is_value = last.startswith("-") and " " not in last and not word.startswith("-")
        if is_value and display_width(f"    {last} {word} \\") <= width:
            units[-1] += f" {word}"
        else:
            units.append(word)
    lines = [units[0]]
    for number, unit in enumerate(units[1:], 2):
        room = width - 2 * (number < len(units))
        if display_width(lines[-1]) + 1 + display_width(unit) <= room:
            lines[-1] += f" {unit}"
        else:
            lines[-1] += " \\"
            lines.append(f"    {unit}")
    return lines


def _marked_lines(marked: Marked, width: int) -> Iterator[list[_Piece]]:
    """Draw a text with a line of marks under each line that has some."""
    flags = bytearray(len(marked.text))
    for start, end in marked.marks:
        flags[start:end] = b"\x01" * (end - start)
    yield from ([_Piece(line, "title")] for line in fold(marked.title, width))
    for start, end in _cut(marked.text, width - 2):
        line = list(zip(marked.text[start:end], flags[start:end], strict=True))
        above = _stripped([_Piece(visible(ch), "mark" * flag) for ch, flag in line])
        below = "".join((_MARK if flag else " ") * display_width(ch) for ch, flag in line).rstrip()
        if above:
            yield [_Piece("  "), *above]
        if below:
            yield [_Piece(f"  {below}", "mark")]


def _stripped(pieces: list[_Piece]) -> list[_Piece]:
    """Join neighbours of one role; leave out the blanks at the end."""
    while pieces and not pieces[-1].text.strip():
        pieces.pop()
    return [
        _Piece("".join(piece.text for piece in group), role)
        for role, group in groupby(pieces, key=lambda piece: piece.role)
    ]


def _cut(text: str, width: int) -> Iterator[tuple[int, int]]:
    """Cut a text at its line breaks, and between words where a line would be wider than `width` columns."""
    for line in _LINE.finditer(text):
        start, used, blank = line.start(), 0, -1
        for place in range(line.start(), line.end()):
            used += display_width(text[place])
            while used > width and place > start:
                cut = blank + 1 if blank >= start else place
                yield start, cut
                start, blank = cut, -1
                used = display_width(text[start : place + 1])
            if text[place].isspace():
                blank = place
        yield start, line.end()


@dataclass(frozen=True, eq=False)
class _Column:
    """A column as text: its heading, its cells, whether they stand on the right, and how wide they are.

    `is_rest` says that it has only the cells that don't fit into their column, which has the heading.
    """

    name: str
    cells: tuple[str, ...]
    right: bool
    is_rest: bool = False

    def text(self, number: int) -> str:
        """Return a cell, or at -1 the heading."""
        if number < 0:
            return "" if self.is_rest else self.name
        return self.cells[number]

    def without_long_names(self) -> tuple[_Column, _Column | None]:
        """Return the cells with long names, and the column without them; all and nothing, where they are the most."""
        is_long = [_longest_name(cell) >= _LONG_NAME for cell in self.cells]
        if not 0 < sum(is_long) <= len(self.cells) / 2:
            return self, None
        long = tuple(cell if flag else "" for cell, flag in zip(self.cells, is_long, strict=True))
        short = tuple("" if flag else cell for cell, flag in zip(self.cells, is_long, strict=True))
        return _Column(self.name, long, False, True), _Column(self.name, short, self.right)

    @property
    def natural(self) -> int:
        """Return the columns that it takes unwrapped."""
        return max(map(display_width, (self.name, *self.cells)))

    @property
    def natural_cells(self) -> int:
        """Return the columns that its cells take unwrapped, without its heading."""
        return max(map(display_width, self.cells), default=0)

    @property
    def longest_name(self) -> int:
        """Return the columns of its widest word that can't be wrapped inside."""
        return max(_longest_name(text) for text in (self.name, *self.cells))

    @property
    def least(self) -> int:
        """Return the columns that it needs where its heading is whole if it is short."""
        return max(self.longest_name, min(self.natural, _NARROWEST))

    @property
    def least_wrapped(self) -> int:
        """Return the columns that it needs where its heading is wrapped; short cells are whole."""
        cells = self.natural_cells
        return max(self.longest_name, cells if cells <= _SHORT_CELL else _NARROWEST)

    def height(self, width: int) -> int:
        """Return the lines of its highest cell at a width."""
        return max((len(fold(cell, width)) for cell in self.cells), default=1)


class _Apart(NamedTuple):
    """What has lines of its own: above rows and below them, how far these rows are indented, and within what width."""

    above: _Column | None = None
    below: tuple[_Column, ...] = ()
    indent: int = 0
    width: int = 0


def _longest_name(text: str) -> int:
    words = text.replace(" %", _GLUED).split(" ")
    return max(display_width(word) if _has_spaces(word) else 2 for word in words)


def _table_lines(table: Table, width: int) -> Iterator[list[_Piece]]:
    columns = [
        _Column(_one_line(name), tuple(_one_line(show(row[i])) for row in table.rows), _is_numeric(table, i))
        for i, name in enumerate(table.columns)
    ]
    yield from ([_Piece(line, "title")] for line in fold(table.title, width))
    yield from _grid(columns, len(table.rows), width)
    yield from ([_Piece(f"  {line}", "note")] for line in fold(table.note, width - 2))


def _one_line(text: str) -> str:
    return shorten(show_line(" ".join(text.split())), _LONGEST)


def _is_numeric(table: Table, i: int) -> bool:
    return bool(table.rows) and all(row[i] is None or isinstance(row[i], int | float) for row in table.rows)


def _grid(columns: Sequence[_Column], n_rows: int, width: int) -> Iterator[list[_Piece]]:
    """Yield the lines of a table's heading and rows."""
    widths = _narrow([column.natural for column in columns], [column.least for column in columns], width)
    tall = [i for i, column in enumerate(columns) if column.height(widths[i]) > _TALL]
    beside, below = dict(enumerate(columns)), dict[int, _Column]()
    if len(tall) == 1 and len(columns) > 1:  # several are compared, so they stay side by side
        below[tall[0]] = beside.pop(tall[0])
    elif _total(widths) <= width:
        yield from _rows(columns, widths, n_rows, _Apart())
        return
    while _total([column.least_wrapped for column in beside.values()]) > width and len(beside) > 1:
        longest = max(beside, key=lambda i: beside[i].longest_name)
        texts = [i for i, column in beside.items() if column.natural_cells >= _LONG_NAME]
        if beside[longest].longest_name >= _LONG_NAME:
            whole = columns[longest], None  # once its long names are below, the rest goes there too
            below[longest], rest = whole if longest in below else beside[longest].without_long_names()
            beside.pop(longest)
            beside |= {} if rest is None else {longest: rest}
        elif texts:  # together, since they may be there to be compared
            moved = texts[len(texts) == len(beside) :]
            below |= {i: columns[i] for i in moved}
            beside = {i: column for i, column in beside.items() if i not in moved}
        else:
            break
    beside = dict(sorted(beside.items()))
    apart = _Apart(below.pop(0, None), tuple(below[i] for i in sorted(below)), 0 if 0 in beside else 2, width)
    for number, block in enumerate(_blocks(list(beside.values()), width - apart.indent)):
        yield from [[]] * (number > 0)
        least = [column.least_wrapped for column in block]
        widths = _narrow([column.natural for column in block], least, width - apart.indent)
        yield from _rows(block, widths, n_rows, apart if number == 0 else _Apart(indent=apart.indent))


def _narrow(widths: list[int], least: list[int], width: int) -> list[int]:
    """Narrow the widest columns until the table fits, none below its least."""
    widths = list(widths)
    while _total(widths) > width:
        wide = [i for i in range(len(widths)) if widths[i] > least[i]]
        if not wide:
            break
        widths[max(wide, key=lambda i: widths[i])] -= 1
    return widths


def _total(widths: Sequence[int]) -> int:
    """Return the columns of a table: two blanks stand before each of its columns."""
    return sum(widths) + 2 * len(widths)


def _blocks(columns: Sequence[_Column], width: int) -> Iterator[list[_Column]]:
    """Share out columns that don't fit beside each other; each block begins with those that name the rows."""
    labels = _labels(columns, width)
    block = list(columns[:labels])
    for column in columns[labels:]:
        if len(block) > labels and _total([each.least_wrapped for each in [*block, column]]) > width:
            yield block
            block = list(columns[:labels])
        block.append(column)
    yield block


def _labels(columns: Sequence[_Column], width: int) -> int:
    """Return how many of the first columns name the rows: as many as tell them apart, with one of text among them."""
    n_rows = len(columns[0].cells)
    if n_rows < 2:
        return 0
    for n in range(1, min(_MAX_LABELS, len(columns) - 1) + 1):
        first = columns[:n]
        apart = len(set(zip(*(column.cells for column in first), strict=True))) == n_rows
        if apart and not all(column.right for column in first):
            return n if 2 * _total([column.least_wrapped for column in first]) <= width else 1
    return 1


def _rows(columns: Sequence[_Column], widths: Sequence[int], n_rows: int, apart: _Apart) -> Iterator[list[_Piece]]:
    """Yield the heading and the rows of a block.

    Where several columns stand below, each begins with its heading. What stands above isn't said twice in a row.
    """
    said = ""
    for number in range(-1, n_rows):
        role = "head" if number < 0 else ""
        above = "" if apart.above is None else apart.above.text(number)
        yield from ([_Piece(f"  {line}", role)] for line in fold(above, apart.width - 2) if above != said)
        said = above
        parts = [fold(column.text(number), room) or [""] for column, room in zip(columns, widths, strict=True)]
        for n in range(max(map(len, parts))):
            line = " " * apart.indent
            for part, room, column in zip(parts, widths, columns, strict=True):
                text = part[n] if n < len(part) else ""
                blanks = " " * (room - display_width(text))
                line += "  " + (blanks + text if column.right else text + blanks)
            yield [_Piece(line.rstrip(), role)]
        under = [(column, column.text(number)) for column in apart.below if len(apart.below) == 1 or number >= 0]
        for column, text in under:
            text = f"{column.name}: {text}" if text and len(apart.below) > 1 else text
            yield from ([_Piece(f"    {line}", role)] for line in fold(text, apart.width - 4))

"""What a run says to a person: sentences, texts with marks, tables and the commands to type next.

A verb returns a `View` beside its numbers; the terminal (`terminal.py`), the report and notebooks draw the
same one. Cells are text, numbers or None (missing).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tunescope.foreign import escape_markdown, escape_sentence, escape_text, show_line

Cell = str | int | float | None
MISSING = "–"
_LARGEST_WRITTEN_OUT = 1e15
"""From here on a float has fewer exact digits than it would show."""
_LONG_NAME = 40
"""Characters of a cell without blanks from which on its lines may end behind slashes."""
_SLASH = re.compile("(?<!<)/")


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table; `note` says what its numbers are."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Marked:
    """A titled text with stretches of it marked, as (start, end) in characters, in order and apart."""

    title: str
    text: str
    marks: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """What to read first, texts with marks and tables under it, and what to type next."""

    sentences: tuple[str, ...]
    tables: tuple[Table, ...] = ()
    next: tuple[str, ...] = ()
    texts: tuple[Marked, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return plain lists and objects."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> View:
        """Read what `as_json` gave."""
        tables = tuple(
            Table(t["title"], tuple(t["columns"]), tuple(tuple(row) for row in t["rows"]), t["note"])
            for t in record["tables"]
        )
        texts = tuple(
            Marked(t["title"], t["text"], tuple((start, end) for start, end in t["marks"]))
            for t in record.get("texts", ())  # runs of before 2026-11-27 have none
        )
        return cls(tuple(record["sentences"]), tables, tuple(record["next"]), texts)


def excerpt(title: str, text: str, begin: int, end: int, marks: Sequence[tuple[int, int]]) -> Marked:
    """Return a stretch of a marked text, with ellipses where it was cut and the marks that lie in it."""
    lead, tail = "… " * (begin > 0), " …" * (end < len(text))
    shift = len(lead) - begin
    inside = tuple((max(s, begin) + shift, min(e, end) + shift) for s, e in marks if s < end and e > begin)
    return Marked(title, f"{lead}{text[begin:end]}{tail}", inside)


def counted(count: int, noun: str) -> str:
    """Write a number with its noun, which takes an s where there isn't one."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def rejected_sentence(count: int) -> str:
    """Say where the records are that couldn't be read."""
    if count == 1:
        return "1 record couldn't be read. It is in rejected.jsonl with the reason."
    return f"{count:,} records couldn't be read. They are in rejected.jsonl with the reasons."


def reason_of(error: BaseException, most: int = 300) -> str:
    """Return what an exception of another library says: one line, shortened; its class where it says nothing."""
    return shorten(" ".join(str(error).split()), most) or type(error).__name__


def shorten(text: str, most: int) -> str:
    """Return a text of at most `most` characters: a longer one is cut at a word's end, with an ellipsis behind it.

    Where the last word takes up more than half of the room, as in a script without spaces, it is cut inside that word,
    but not before a mark that joins the letter before it.
    """
    if len(text) <= most:
        return text
    end = most - 1
    while end > 1 and display_width(text[end]) == 0:
        end -= 1
    last_word = re.search(r"\S*\Z", text[:end]) if not text[end].isspace() else None
    if last_word is not None and 2 * last_word.start() > most:
        end = last_word.start()
    return text[:end].rstrip() + "…"


def visible(ch: str) -> str:
    """Return a character as a line of a terminal shows it: a blank for any blank, an escape for what steers."""
    return " " if ch.isspace() else show_line(ch)


def display_width(text: str) -> int:
    """Return how many columns of a terminal a text of one line takes."""
    return len(text) if text.isascii() and text.isprintable() else sum(map(_columns, text))


def _columns(ch: str) -> int:
    shown = visible(ch)
    if len(shown) == 1 and unicodedata.category(shown) in ("Mn", "Me", "Cf"):  # it joins others, or stands over them
        return 0
    return 2 if unicodedata.east_asian_width(shown[0]) in "WF" else len(shown)


def show(cell: Cell) -> str:
    """Write a cell: thousands separated, four significant digits, a dash for what is missing.

    A float of 1e15 and more has an exponent.
    """
    if cell is None:
        return MISSING
    if isinstance(cell, bool | str):
        return str(cell)
    if isinstance(cell, int):
        return f"{cell:,}"
    return f"{cell:.4g}" if abs(cell) < 1000 or abs(cell) >= _LARGEST_WRITTEN_OUT else f"{cell:,.0f}"


def duration(minutes: float) -> str:
    """Write a time in the unit that suits it."""
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    return f"{minutes:.1f} minutes" if minutes < 90 else f"{minutes / 60:.1f} hours"


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """Write an interval as `[low, high]`, or a dash where there is none."""
    if low is None or high is None:
        return MISSING
    return f"[{low:.{digits}f}, {high:.{digits}f}]"


def percent(share: float | None, digits: int = 2) -> str:
    """Write a share between 0 and 1 as a percentage."""
    return MISSING if share is None else f"{100 * share:.{digits}f} %"


def percent_interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """Write an interval of shares between 0 and 1 as `[low, high]` in per cent, or a dash where there is none."""
    return MISSING if low is None or high is None else interval(100 * low, 100 * high, digits)


def to_html(view: View) -> str:
    """Draw a view as HTML without styles of its own; every text is escaped."""
    parts = [f"<p>{escape_sentence(sentence)}</p>" for sentence in view.sentences]
    parts += [_html_marked(text) for text in view.texts]
    parts += [_html_table(table) for table in view.tables]
    if view.next:
        commands = "\n".join(escape_sentence(command) for command in view.next)
        parts.append(f'<p class="next">Next</p><pre class="next">{commands}</pre>')
    return "\n".join(parts)


def to_markdown(view: View) -> str:
    """Draw a view as GitHub's Markdown; no text of it is markup. What to type next is left out."""
    parts = [escape_markdown(sentence) for sentence in view.sentences]
    parts += [f"**{escape_markdown(text.title)}**\n\n> {escape_markdown(text.text)}" for text in view.texts]
    parts += map(_markdown_table, view.tables)
    return "".join(f"{part}\n\n" for part in parts)


def _markdown_table(table: Table) -> str:
    lines = [_markdown_row(table.columns), "|" + "---|" * len(table.columns), *map(_markdown_row, table.rows)]
    title = f"**{escape_markdown(table.title)}**\n\n" if table.title else ""
    return title + "\n".join(lines) + (f"\n\n{escape_markdown(table.note)}" if table.note else "")


def _markdown_row(row: Sequence[Cell]) -> str:
    return f"| {' | '.join(escape_markdown(show(cell)) for cell in row)} |"


def _html_marked(marked: Marked) -> str:
    title = f"<h3>{escape_sentence(marked.title)}</h3>" if marked.title else ""
    parts, at = [], 0
    for start, end in marked.marks:
        parts += [escape_text(marked.text[at:start]), f"<mark>{escape_text(marked.text[start:end])}</mark>"]
        at = end
    return f'{title}<p class="text" dir="auto">{"".join(parts)}{escape_text(marked.text[at:])}</p>'


def _html_table(table: Table) -> str:
    names = map(escape_sentence, table.columns)
    head = "".join(f'<th scope="col">{name}</th>' if name else "<td></td>" for name in names)
    body = "\n".join(_html_row(row) for row in table.rows)
    title = f"<caption>{escape_sentence(table.title)}</caption>" if table.title else ""
    note = f'<p class="note">{escape_sentence(table.note)}</p>' if table.note else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"


def _html_row(row: Sequence[Cell]) -> str:
    return f"<tr>{''.join(map(_html_cell, row))}</tr>"


def _html_cell(cell: Cell) -> str:
    """Draw a cell; a long name may end a line behind each of its slashes."""
    text = escape_sentence(show(cell))
    if isinstance(cell, int | float):
        return f'<td class="number">{text}</td>'
    if isinstance(cell, str) and len(cell) > _LONG_NAME and " " not in cell:
        return f'<td class="long">{_SLASH.sub("/<wbr>", text)}</td>'
    return f"<td>{text}</td>"

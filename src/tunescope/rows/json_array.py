"""JSON arrays: one record per element, read without holding the file.

An element that can't be decoded is skipped as a whole: `_Outline` follows brackets and strings to the
comma after it. The same outline decides where a large file may be cut, so a file gives the same
records in one piece and in many.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from io import BufferedIOBase
from json import JSONDecodeError
from pathlib import Path
from typing import NamedTuple

from tunescope.rows.json_text import DECODER, Fault, abbreviate, explain, skip_blanks
from tunescope.rows.records import LONGEST, READ_SIZE, Chunk, FileRecord, bad_record, to_record
from tunescope.rows.row import Json

# A string in JSON holds no line end, so one that meets a line end has lost its closing quote.
_STRING_BODY = r"(?:[^\"\\\n]++|\\[^\n])*+"
_IN_STRING = re.compile(_STRING_BODY)
_BETWEEN_ELEMENTS = re.compile(rf'(?:[^"\[\]{{}},]++|"{_STRING_BODY}")*+')
_IN_ELEMENT = re.compile(rf'(?:[^"\[\]{{}}]++|"{_STRING_BODY}")*+')
_NEAR = 20
"""Characters of a faulty text shown in an error."""
_KEPT = 100
"""Characters kept before the place reached, to know how far an element is indented."""


class _Outline:
    """Follows one element, valid or not, through its brackets and strings, piece by piece."""

    __slots__ = ("broken", "depth", "in_string")

    def __init__(self) -> None:
        self.depth = 0
        self.in_string = False
        self.broken = False

    def follow(self, text: str, place: int) -> tuple[int, bool]:
        """Go on at `place`; return (where the element ends, True), or (how far the text went, False)."""
        while True:
            if self.in_string:
                place = _end(_IN_STRING, text, place)
                if place >= len(text) - 1 and text[place:] != '"' and text[place:] != "\n":
                    return place, False
                self.broken = self.broken or text[place] != '"'
                self.in_string = False
                place += 1
            place = _end(_IN_ELEMENT if self.depth else _BETWEEN_ELEMENTS, text, place)
            if place == len(text):
                return place, False
            mark = text[place]
            if mark == '"':
                self.in_string = True
            elif mark in "[{":
                self.depth += 1
            elif self.depth:
                self.depth -= 1
            else:
                self.broken = self.broken or mark == "}"
                return place, True
            place += 1


def _end(pattern: re.Pattern[str], text: str, place: int) -> int:
    match = pattern.match(text, place)
    return match.end() if match else place


def cut(path: Path, size: int, step: int) -> list[Chunk]:
    """Cut a file of `size` bytes: each chunk ends before the first element from its `step`-th byte on.

    A file whose brackets or strings don't match up isn't cut.
    """
    chunks: list[Chunk] = []
    start, start_line, start_number = 0, 1, 1
    element, element_line, element_number, line = 0, 1, 1, 1
    text, place, opened = "", 0, False
    outline = _Outline()
    with path.open("rb") as file:
        while data := file.read(4 * READ_SIZE):
            text = text[place:] + data.decode("latin-1")  # a character per byte
            offset, place, counted = file.tell() - len(text), 0, 0
            if not opened:
                opened = "[" in text
                place = text.index("[") + 1 if opened else len(text)
            going = opened
            while going:
                place, going = outline.follow(text, place)
                if outline.broken:
                    return [Chunk(0, size, 1)]
                if going and text[place] == "]":
                    return [*chunks, Chunk(start, size, start_line, start_number)]
                if going:
                    if element - start >= step:
                        chunks.append(Chunk(start, element, start_line, start_number))
                        start, start_line, start_number = element, element_line, element_number
                    place += 1
                    line += text.count("\n", counted, place)
                    counted, element, element_line = place, offset + place, line
                    element_number += 1
            line += text.count("\n", counted, place)
    return [Chunk(0, size, 1)]


class _Element(NamedTuple):
    """An element's value and text, or its text and fault; the fault's position is its line, from 0."""

    value: Json
    text: str
    fault: Fault | None = None


class _ArrayReader:
    """A sliding window over the text of an array; counts lines as it goes."""

    def __init__(self, stream: BufferedIOBase, line: int, length: int | None) -> None:
        self.line = line
        self._text = ""
        self._place = 0
        self._more = True
        self._stream = stream
        self._n_left = length
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode

    def _refill(self, size: int) -> None:
        """Drop what was read, but for a little, and take up to `size` bytes more."""
        # read1: what a broken gzip file still gives is given before it raises
        data = self._stream.read1(size if self._n_left is None else min(size, self._n_left))
        if self._n_left is not None:
            self._n_left -= len(data)
        self._more = bool(data)
        dropped = max(0, self._place - _KEPT)
        self._text = self._text[dropped:] + self._decode(data, not data)
        self._place -= dropped

    def advance(self, end: int) -> None:
        """Move to `end`, counting the lines passed."""
        self.line += self._text.count("\n", self._place, end)
        self._place = end

    def peek(self) -> str:
        """Skip blanks and return the next character, or "" at the end."""
        while True:
            self.advance(skip_blanks(self._text, self._place))
            if self._place < len(self._text):
                return self._text[self._place]
            if not self._more:
                return ""
            self._refill(READ_SIZE)

    def take(self) -> None:
        """Move past the character that `peek` returned."""
        self.advance(self._place + 1)

    def rest(self) -> str:
        """Return the rest of the text, up to the length of the longest element."""
        while self._more and len(self._text) - self._place < LONGEST:
            self._refill(READ_SIZE)
        return self._text[self._place :][:LONGEST].rstrip()

    def element(self) -> _Element:
        """Decode the element here and move past it; a faulty one is skipped as a whole."""
        size, followed = READ_SIZE, 0
        outline: _Outline | None = None
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._place)
                after = skip_blanks(self._text, end)
                mark = self._text[after : after + 1]
                if mark == "," or mark == "]" or not (mark or self._more):
                    text = self._text[self._place : end]
                    self.advance(after)
                    return _Element(value, text)
                if mark:
                    raise JSONDecodeError("Expecting ',' delimiter", self._text, after)
            except (ValueError, RecursionError) as error:
                outline = outline or _Outline()
                end, ended = outline.follow(self._text, self._place + followed)
                followed = end - self._place
                resume = self._end_of_fault(outline, end, ended)
                if resume is not None:
                    return self._faulty(error, resume)
            if len(self._text) - self._place > LONGEST:
                return self._too_long()
            self._refill(size)
            size *= 2

    def _end_of_fault(self, outline: _Outline, end: int, ended: bool) -> int | None:
        """Return where reading goes on after a faulty element; None if that takes more text.

        Where the outline is broken, the next line that begins like this element's is the next element.
        """
        if ended and not outline.broken:
            return end
        if outline.broken or not self._more:
            newline = self._text.rfind("\n", 0, self._place)
            indent = self._text[newline + 1 : self._place]
            if newline >= 0 and not indent.strip():
                next_element = self._text.find(f"\n{indent}{{", self._place)
                if next_element >= 0:
                    return next_element
        return None if self._more else len(self._text)

    def _faulty(self, error: Exception, end: int) -> _Element:
        position = error.pos if isinstance(error, JSONDecodeError) else self._place
        # a column would say little: such files are often one line long
        near = self._text[position : end + 1] if position <= end else self._text[position:][:_NEAR]
        fault = explain(error, f"at {abbreviate(near[:_NEAR])}")
        lines = self._text.count("\n", self._place, position)
        text = self._text[self._place : end].rstrip()
        if self._text[end : end + 1] == "\n":  # found by its line: the comma is still in the text
            text = text.removesuffix(",")
        self.advance(end)
        return _Element(None, text, fault._replace(position=lines))

    def _too_long(self) -> _Element:
        outline, length = _Outline(), 0
        while True:
            end, ended = outline.follow(self._text, self._place)
            length += end - self._place
            self.advance(end)
            if ended and self._text[end] == "}":
                self.take()
                length += 1
            elif ended or not self._more:
                break
            self._refill(READ_SIZE)
        fault = Fault(f"a row of {length:,} characters", f"at most {LONGEST:,}")
        return _Element(None, f"(the {length} characters of a row)", fault)


def read(name: str, stream: BufferedIOBase, chunk: Chunk | None, last: bool) -> Iterator[FileRecord]:
    """Yield a record per element, of the whole array or of one chunk of it (`last`: to its end).

    An element behind the bracket, a comma or another element on its line has its number.
    """
    array = _ArrayReader(stream, chunk.line if chunk else 1, chunk.end - stream.tell() if chunk else None)
    number = chunk.record if chunk else 1
    if chunk is None or chunk.start == 0:
        array.peek()
        array.take()  # the bracket by which the container was recognised
    line_before = array.line
    mark = array.peek()
    while mark != "]":
        line = array.line
        record = number if line == line_before else None
        if not mark:
            if last:
                yield bad_record(name, line, "the end of the file inside an array", "a closing ]")
            return
        element = array.element()
        if element.fault is None:
            yield to_record(name, line, element.value, element.text, record)
        else:
            found, expected, lines = element.fault
            yield bad_record(name, line + lines, found, expected, element.text, record)
        number += 1
        mark = array.peek()
        line_before = array.line
        if mark == ",":
            array.take()
            mark = array.peek()
            if mark == "]":
                yield bad_record(name, array.line, "a comma before the closing ]", "a row behind it")
    array.take()
    if array.peek():
        line = array.line
        yield bad_record(name, line, "more text behind the closing ]", "the end of the file", array.rest())

"""JSON objects: the one that a reply is, and all that a text holds. Pure, and in time linear in the text's length.

A text from outside may hold any number of braces. `ObjectScan` reads it from every brace that no earlier reading has
met outside of a string. Of two readings that go on side by side, one is in a string where the other is not, so no
character is read more than twice, and work is bounded whatever the text is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_MAX_HEIGHT = 50
"""Levels of objects and lists in a value from which on it is None in what it is part of."""
_LONGEST_WHOLE_NUMBER = 18
"""Characters up to which a whole number is kept exactly; longer ones become floats, infinity included."""
_SPACE = re.compile(r"[ \t\n\r]*+")
_START = re.compile(r"\{(?=[ \t\n\r]*+[\"}])")
_STRING = re.compile(r'"[^"\\]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\]*+)*+(?P<end>"?)')
_SCALAR = re.compile(
    r"(?P<whole>-?(?:0|[1-9][0-9]*+))(?P<rest>(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?)|null|true|false|NaN|-?Infinity"
)
_CONSTANTS = {"null": None, "true": True, "false": False}
_FENCED = re.compile(r"```[A-Za-z]*[ \t]*\n(.*)\n[ \t]*```", re.DOTALL)
_BEGIN, _NAME, _COMMA = re.compile(r"(?:```[A-Za-z]*)?\s*\{"), re.compile(r'\s*"(\w+)"\s*:\s*'), re.compile(r"\s*,")
"""How an object begins, a field in it, and what ends the field."""


def keep_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object's fields; one that is there twice is None: which one is meant?"""
    found: dict[str, Any] = {}
    for name, value in pairs:
        found[name] = None if name in found else value
    return found


def whole_number(text: str) -> int | float:
    """Return a whole number of any length, as a float (infinity too) where it is long."""
    return int(text) if len(text) <= _LONGEST_WHOLE_NUMBER else float(text)


_DECODER = json.JSONDecoder(object_pairs_hook=keep_once, parse_int=whole_number, strict=False)


def object_of(text: str) -> tuple[Mapping[str, Any], bool]:
    """Return the fields of the object that a reply is, alone or in a fence, and whether it is whole JSON."""
    text = text.strip()
    fenced = _FENCED.fullmatch(text)
    try:
        value = _DECODER.decode(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        return {}, False
    return (value, True) if isinstance(value, dict) else ({}, False)


def begun_object(text: str) -> Mapping[str, Any]:
    """Return the fields of an object that was cut off, as far as a comma says that they are whole."""
    found: list[tuple[str, Any]] = []
    start = _BEGIN.match(text)
    while start is not None and (name := _NAME.match(text, start.end())) is not None:
        try:
            value, end = _DECODER.raw_decode(text, name.end())
        except (ValueError, RecursionError):
            break
        start = _COMMA.match(text, end)
        if start is not None:
            found.append((name[1], value))
    return keep_once(found)


class _FoundObject(NamedTuple):
    """An object in a text, and the characters from its opening brace to behind its closing one."""

    value: dict[str, Any]
    start: int
    end: int


class _Open:
    """An object or a list that isn't closed yet; `height` is that of the highest value in it."""

    __slots__ = ("height", "is_object", "keys", "start", "values")

    def __init__(self, start: int, is_object: bool) -> None:
        self.start, self.is_object, self.height = start, is_object, 0
        self.keys: list[str] = []
        self.values: list[Any] = []


class ObjectScan:
    """All JSON objects in a text, wherever they begin: in others, in sentences, and in strings of others.

    Attributes:
        objects: by where they begin. A field that is there twice is None, and so is what is nested very deeply.
        work: characters that were read, each as often as it was; at most 5 for each character of the text.
    """

    def __init__(self, text: str) -> None:
        """Read the text."""
        self.objects: list[_FoundObject] = []
        self.work = len(text)
        self._text = text
        self._met: set[int] = set()
        for brace in _START.finditer(text):
            if brace.start() not in self._met:
                self._read_from(brace.start())
        self.objects.sort(key=lambda found: found.start)

    def _read_from(self, start: int) -> None:
        """Read an object and all that is in it, up to where it ends or is none."""
        opened = [_Open(start, True)]
        at: int | None = start + 1
        while opened and at is not None:
            at = self._read_item(opened, at)

    def _read_item(self, opened: list[_Open], at: int) -> int | None:
        """Read the innermost container's next item, or its end; return where that ends, None for no JSON."""
        inner = opened[-1]
        at = self._skip(at)
        mark = self._text[at : at + 1]
        if mark == ("}" if inner.is_object else "]"):
            self._close(opened, at + 1)
            return at + 1
        if inner.values:
            if mark != ",":
                return None
            at = self._skip(at + 1)
        if inner.is_object:
            key, at = self._string(at)
            if key is None:
                return None
            at = self._skip(at)
            if self._text[at : at + 1] != ":":
                return None
            inner.keys.append(key)
            at = self._skip(at + 1)
        return self._read_value(opened, at)

    def _read_value(self, opened: list[_Open], at: int) -> int | None:
        mark = self._text[at : at + 1]
        if mark in ("{", "["):
            if mark == "{":
                self._met.add(at)
            opened.append(_Open(at, mark == "{"))
            return at + 1
        if mark == '"':
            value, end = self._string(at)
            if value is None:
                return None
            opened[-1].values.append(value)
            return end
        match = _SCALAR.match(self._text, at)
        self.work += 1 if match is None else match.end() - at
        if match is None:
            return None
        opened[-1].values.append(_scalar(match))
        return match.end()

    def _close(self, opened: list[_Open], end: int) -> None:
        closed = opened.pop()
        value: Any = closed.values
        if closed.is_object:
            value = keep_once(list(zip(closed.keys, closed.values, strict=True)))
            self.objects.append(_FoundObject(value, closed.start, end))
        if opened:
            is_low = closed.height < _MAX_HEIGHT
            opened[-1].values.append(value if is_low else None)
            opened[-1].height = max(opened[-1].height, closed.height + 1 if is_low else 0)

    def _skip(self, at: int) -> int:
        match = _SPACE.match(self._text, at)
        assert match is not None
        self.work += match.end() - at + 1
        return match.end()

    def _string(self, at: int) -> tuple[str | None, int]:
        """Read a string and where it ends; None where there is none that ends."""
        match = _STRING.match(self._text, at)
        if match is None:
            return None, at
        self.work += match.end() - at
        if not match["end"]:
            return None, at
        token = match.group()
        return (_DECODER.decode(token) if "\\" in token else token[1:-1]), match.end()


def _scalar(match: re.Match[str]) -> Any:
    token = match.group()
    if match["whole"] is None:
        return _CONSTANTS[token] if token in _CONSTANTS else float(token.lower())
    return float(token) if match["rest"] else whole_number(token)

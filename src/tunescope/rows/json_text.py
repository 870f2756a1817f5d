"""Strict JSON: text that isn't JSON, not finite, not Unicode or nested too deeply gets an error that says so."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from tunescope.rows.message import Json
from tunescope.views import shorten

_DEEPEST = 200
"""Most levels of lists and objects; far below what Python's own JSON code can follow."""
SHOWN = 60
"""Characters of a value shown in an error."""


class FormatError(Exception):
    """A record doesn't fit a format, or a row doesn't: what was found, and what was expected."""

    def __init__(self, found: str, expected: str) -> None:
        """Keep both halves of the sentence apart."""
        super().__init__(f"found {found}; expected {expected}")
        self.found = found
        self.expected = expected


class Fault(NamedTuple):
    """What was found in a text, what was expected, and at which character."""

    found: str
    expected: str
    position: int = 0


class _BadNumber(ValueError):
    """A number that isn't finite: JSON has none, but Python's reader accepts them."""


def _reject_constant(name: str) -> float:
    raise _BadNumber(name)


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _BadNumber(text)
    return value


DECODER = json.JSONDecoder(parse_constant=_reject_constant, parse_float=_finite)
_KEY_END = re.compile(r'"[ \t\r\n]*:')
_BLANK = re.compile(r"[ \t\r\n]*")
_SURROGATE = re.compile("[\ud800-\udfff]")


def skip_blanks(text: str, position: int) -> int:
    """Return the position of the next character that isn't white space."""
    match = _BLANK.match(text, position)
    return match.end() if match else position


def decode(text: str) -> Json:
    """Decode a text that is one JSON value.

    Raises:
        ValueError, RecursionError: for `explain`.
    """
    value, end = DECODER.raw_decode(text, skip_blanks(text, 0))
    end = skip_blanks(text, end)
    if end != len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    return value


def explain(error: Exception, place: str = "") -> Fault:
    """Return what a failed decoding found, and where: at its column, or at `place` where it is given."""
    match error:
        case _BadNumber():
            return Fault(f"the number {abbreviate(str(error), quoted=False)}", "a finite number or null")
        case RecursionError():
            return Fault("JSON nested too deeply", f"at most {_DEEPEST} levels")
        case json.JSONDecodeError():
            place = place or f"at column {error.colno}"
            return Fault(f"text that isn't JSON ({error.msg.removesuffix(' at')} {place})", "a JSON object", error.pos)
        case _:  # int() refuses numbers of absurd length
            digits = sys.get_int_max_str_digits()
            return Fault(f"a number of more than {digits:,} digits", "a shorter one")


def find_fault(value: Json, text: str) -> Fault | None:
    """Return what a decoded value holds that a row can't hold: half a surrogate pair, or too many levels.

    `text` is what the value was decoded from. Cheap looks at it pass most values.
    """
    if text.count("{") + text.count("[") > _DEEPEST and _too_deep(value):
        return explain(RecursionError())
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:  # a byte that isn't UTF-8, kept by `surrogateescape`
            return Fault(f"invalid UTF-8 (byte 0x{ord(text[error.start]) & 0xFF:02x})", "UTF-8", error.start)
    if "\\ud" in text or "\\uD" in text:
        half = _SURROGATE.search(json.dumps(value, ensure_ascii=False))
        if half:
            return Fault(f"half a surrogate pair (\\u{ord(half.group()):04x})", "whole characters")
    return _find_repeated_key(value, text)


def _find_repeated_key(value: Json, text: str) -> Fault | None:
    """Return the fault of an object with one key twice, of which Python keeps the last value.

    Each key ends with a quotation mark before a colon, so a text with as many of these as the value has keys repeats
    none; nor does one with as many colons, which are quicker to count.
    """
    n_keys = _count_keys(value)
    if text.count(":") == n_keys or len(_KEY_END.findall(text)) == n_keys:
        return None
    repeated: list[str] = []

    def note(pairs: list[tuple[str, Json]]) -> None:
        names = [name for name, _ in pairs]
        repeated.extend(name for place, name in enumerate(names) if name in names[:place])

    json.JSONDecoder(object_pairs_hook=note).raw_decode(text, skip_blanks(text, 0))
    return Fault(f"the key {abbreviate(repeated[0])} twice in one object", "each key once") if repeated else None


def _count_keys(value: Json) -> int:
    if not isinstance(value, dict | list):
        return 0
    n = len(value) if isinstance(value, dict) else 0
    for part in value.values() if isinstance(value, dict) else value:  # a loop, for speed: all records come here
        if isinstance(part, dict | list):
            n += _count_keys(part)
    return n


def _too_deep(value: Json) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            part
            for item in level
            if isinstance(item, dict | list)
            for part in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return True


def decode_embedded(text: str) -> Json:
    """Decode JSON inside a string of a row (tools, a function call).

    Raises:
        ValueError: not JSON, or JSON that no row can hold.
    """
    try:
        value = decode(text)
    except RecursionError as error:
        raise ValueError(str(error)) from error
    fault = find_fault(value, text)
    if fault is not None:
        raise ValueError(fault.found)
    return value


def decode_holder(value: Json) -> Json:
    """Return the list or object that a JSON text holds, as `datasets` writes them; else the value itself."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        decoded = decode_embedded(value)
    except ValueError:
        return value
    return decoded if isinstance(decoded, list | dict) else value


def kind(value: Json) -> str:
    """Name a JSON value's type, with its article, for an error."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), f"a value of type {type(value).__name__}")


def abbreviate(value: Any, quoted: bool = True, limit: int = SHOWN) -> str:
    """Return a value as text for an error: on one line, cut to `limit` characters, printable everywhere."""
    text = repr(value) if quoted else repr(value)[1:-1]
    return shorten(text, limit)


def list_columns(record: Mapping[str, Json]) -> str:
    """List a record's columns for an error."""
    names = [abbreviate(str(name), quoted=False) for name in record]
    return ", ".join(names[:20]) + (", …" if len(names) > 20 else "") or "none"

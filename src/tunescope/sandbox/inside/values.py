"""What passes between the tests and the solution: plain values as JSON, anything else as a number that names it.

The solution's side can send any bytes. Reading them makes plain values, and runs nothing of the solution's: its own
`__eq__`, `__bool__` or `__hash__` never reach the tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

_AS_TEXT: dict[str, tuple[type[Any], Callable[[Any], str], Callable[[str], Any]]] = {
    "int": (int, hex, lambda text: int(text, 16)),
    "bytes": (bytes, bytes.hex, bytes.fromhex),
    "fraction": (Fraction, str, Fraction),
    "decimal": (Decimal, str, Decimal),
    "datetime": (datetime, datetime.isoformat, datetime.fromisoformat),
    "date": (date, date.isoformat, date.fromisoformat),
    "time": (time, time.isoformat, time.fromisoformat),
}
"""Values that are written as text: by name the type, how it is written, how it is read."""
_AS_LIST: dict[str, tuple[type[Any], Callable[[Any], Any], Callable[[list[Any]], Any]]] = {
    "tuple": (tuple, list, tuple),
    "set": (set, list, set),
    "frozenset": (frozenset, list, frozenset),
    "dict": (dict, lambda value: [[key, item] for key, item in value.items()], dict),
    "keys": (type({}.keys()), list, lambda items: dict.fromkeys(items).keys()),
    "complex": (complex, lambda value: [value.real, value.imag], lambda parts: complex(*parts)),
    "range": (range, lambda value: [value.start, value.stop, value.step], lambda parts: range(*parts)),
    "timedelta": (timedelta, lambda value: [value.days, value.seconds, value.microseconds], lambda d: timedelta(*d)),
}
"""Values that are written as a list of values."""
_KINDS: tuple[type[Any], ...] = (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset)
_TYPES: dict[str, type[Any]] = {kind.__name__: kind for kind in _KINDS}
"""Types that some tests pass. They can't be changed, and calling one makes a plain value."""
_SMALL = 1 << 63


def dumps(value: Any, number_of: Callable[[Any], int]) -> bytes:
    """Write a value; `number_of` gives the number of what isn't plain, or raises TypeError."""
    return json.dumps(_plain(value, number_of)).encode()


def loads(data: bytes, object_of: Callable[[int], Any]) -> Any:
    """Read a value; `object_of` gives what a number stands for.

    Raises:
        ValueError, TypeError, KeyError, RecursionError: `data` isn't what `dumps` writes.
    """
    return _value(json.loads(data), object_of)


def _plain(value: Any, number_of: Callable[[Any], int]) -> Any:
    if type(value).__module__ == "numpy" and not getattr(value, "shape", True):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int) and -_SMALL < value < _SMALL:
        return int(value)
    if isinstance(value, list):
        return [_plain(item, number_of) for item in value]
    for name, (kind, write, _) in _AS_TEXT.items():
        if isinstance(value, kind):
            return {name: write(value)}
    for name, (kind, write, _) in _AS_LIST.items():
        if isinstance(value, kind):
            return {name: _plain(write(value), number_of)}
    if isinstance(value, type) and value in _KINDS:
        return {"type": value.__name__}
    return {"object": number_of(value)}


def _value(plain: Any, object_of: Callable[[int], Any]) -> Any:
    if isinstance(plain, list):
        return [_value(item, object_of) for item in plain]
    if not isinstance(plain, dict):
        return plain
    ((name, content),) = plain.items()
    if name == "object":
        return object_of(content)
    if name == "type":
        return _TYPES[content]
    if name in _AS_TEXT:
        return _AS_TEXT[name][2](content)
    return _AS_LIST[name][2](_value(content, object_of))

"""Inputs that are nearly right: files and replies that are changed at random, and who reads them."""

from __future__ import annotations

import json
import random
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tunescope.errors import OracleSignal, TunescopeError

SECONDS = 20
"""So long may reading one small input take, on a busy machine."""
NASTY: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**63,
    10**30,
    1e308,
    0.5,
    "",
    "x",
    "\ud800",
    "\x00",
    "\u2028",
    "1e999",
    "-0",
    [],
    [None],
    [[]],
    {},
    {"": None},
    {"role": "user"},
    ["a", 1],
)
TOKENS = (
    b"\xff",
    b"\x00",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\n",
    b"\r",
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"NaN",
    b"Infinity",
    b"-1e999",
    b"9" * 5000,
    b"[" * 3000,
    b'{"a":' * 3000,
    b"\\ud800",
    b"null",
    b"%",
    b"'",
    b"\t",
    b"&a *a",
    b"!!python/object:os.system x",
    b"<think>",
    b"</think>",
    b"10",
    b"nan",
)


class Reader(NamedTuple):
    """Who reads, and what it reads when nothing is wrong.

    Attributes:
        seeds: inputs that it takes.
        read: reads one; raises only errors of ours.
        share: how many of the inputs it gets, in proportion to others.
    """

    seeds: tuple[bytes, ...]
    read: Callable[[bytes], None]
    share: float = 1.0


class Hang(BaseException):
    """Reading took too long."""


class _Silent:
    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


@contextmanager
def silence() -> Iterator[None]:
    """Let nobody talk."""
    before = sys.stderr
    sys.stderr = _Silent()  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stderr = before


def mutate(rng: random.Random, seeds: tuple[bytes, ...]) -> bytes:
    """Return a seed, changed in its bytes or in its values."""
    data = rng.choice(seeds)
    if rng.random() < 0.5:
        changed = _in_values(rng, data)
        if changed is not None:
            return changed
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        _in_bytes(rng, data, seeds)
    return bytes(data)


def _in_bytes(rng: random.Random, data: bytearray, seeds: tuple[bytes, ...]) -> None:
    at = rng.randrange(len(data) + 1)
    end = min(len(data), at + rng.choice((1, 2, 8, 64, 512)))
    way = rng.randrange(7)
    if way == 0 and at < len(data):
        data[at] ^= 1 << rng.randrange(8)
    elif way == 1:
        del data[at:end]
    elif way == 2:
        data[at:at] = data[at:end]
    elif way == 3:
        data[at:at] = rng.choice(TOKENS)
    elif way == 4:
        del data[at:]
    elif way == 5:
        data[at:end] = rng.randbytes(end - at)
    else:
        other = rng.choice(seeds)
        start = rng.randrange(len(other) + 1)
        data[at:end] = other[start : start + rng.choice((1, 16, 200))]


def _in_values(rng: random.Random, data: bytes) -> bytes | None:
    """Change values of JSON, or of one of its lines; None where it isn't JSON."""
    lines = data.splitlines()
    try:
        whole = json.loads(data)
    except (ValueError, RecursionError):
        if not lines:
            return None
        number = rng.randrange(len(lines))
        try:
            changed = _change(rng, json.loads(lines[number]))
        except (ValueError, RecursionError):
            return None
        lines[number] = json.dumps(changed, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
        return b"\n".join(lines) + b"\n"
    changed = whole
    for _ in range(rng.choice((1, 1, 2, 5))):
        changed = _change(rng, changed)
    return json.dumps(changed, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def _change(rng: random.Random, value: Any) -> Any:
    """Return JSON with one value changed, somewhere in it."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        way = rng.random()
        if way < 0.1:
            return {name: each for name, each in value.items() if name != key}
        if way < 0.15:
            return {(f"{name}_" if name == key else name): each for name, each in value.items()}
        return {**value, key: _change(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        if rng.random() < 0.15:
            return [*value[:at], *value[at + 1 :]] if rng.random() < 0.5 else [*value, value[at]]
        return [*value[:at], _change(rng, value[at]), *value[at + 1 :]]
    if isinstance(value, str) and rng.random() < 0.4:
        at = rng.randrange(len(value) + 1)
        return value[:at] + rng.choice(("\x00", "\ud800", "9" * 400, "\n", " ", "é", "{", "[[", "</", "1")) + value[at:]
    return rng.choice(NASTY)


class Findings(NamedTuple):
    """What came of many inputs.

    Attributes:
        read: how many were read without a word.
        refused: how many were refused in an error of ours.
        faults: where another error came from → how often, its text and an input.
    """

    read: int
    refused: int
    faults: Mapping[str, tuple[int, str, bytes]]


def fuzz(reader: Reader, n: int, seed: int) -> Findings:
    """Have a reader read `n` inputs."""
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    faults: dict[str, tuple[int, str, bytes]] = {}

    def hang(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, hang)
    try:
        with silence():
            for _ in range(n):
                data = mutate(rng, reader.seeds)
                signal.setitimer(signal.ITIMER_REAL, SECONDS)
                try:
                    reader.read(data)
                    counts["read"] += 1
                except (TunescopeError, OracleSignal):
                    counts["refused"] += 1
                except (Exception, Hang) as error:  # noqa: BLE001
                    place, text = _where(error)
                    faults[place] = (faults.get(place, (0,))[0] + 1, text, data)
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)
    return Findings(counts["read"], counts["refused"], faults)


def _where(error: BaseException) -> tuple[str, str]:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/tunescope/" in frame.filename] or frames
    last = ours[-1]
    place = f"{type(error).__name__} at {last.filename.rpartition('/tunescope/')[2]}:{last.lineno} {last.name}"
    return place, str(error)[:200]


def in_file(folder: Path, name: str, read: Callable[[Path], object]) -> Callable[[bytes], None]:
    """Return what writes an input to a file and reads it."""
    path = folder / name

    def work(data: bytes) -> None:
        path.write_bytes(data)
        read(path)

    return work

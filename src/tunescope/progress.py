"""Progress on stderr: a bar in a terminal, a line per tenth in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Protocol

from tunescope.foreign import beside_gate, show_line


class Update(Protocol):
    """Tells how far a piece of work is."""

    def __call__(self, done: int, note: str = "") -> None:
        """Take the number of units done so far, and what else to show (a rate)."""


def say(text: str) -> None:
    """Talk to the person: one line on stderr."""
    print(show_line(text), file=sys.stderr, flush=True)


def _steer(codes: str) -> None:
    """Move the terminal's cursor, or erase: the one place whose codes don't go through the gate."""
    beside_gate(sys.stderr).write(codes)


@contextmanager
def progress(label: str, total: int) -> Iterator[Update]:
    """Yield a function that takes the number of units done so far, and a note to show with it."""
    start, terminal = monotonic(), sys.stderr.isatty()
    shown = 0

    def update(done: int, note: str = "") -> None:
        nonlocal shown
        tenth = 10 * done // max(total, 1)
        if not terminal and (tenth == shown or total < 2):
            return
        shown = tenth
        line = f"{label}: {done:,} of {total:,}, {monotonic() - start:.0f} s{', ' * bool(note)}{note}"
        if terminal:
            filled = 24 * done // max(total, 1)
            _steer("\r")
            sys.stderr.write(show_line(f"{line} [{'█' * filled}{'·' * (24 - filled)}]"))
            _steer("\x1b[K")
            sys.stderr.flush()
        else:
            say(line)

    try:
        yield update
    finally:
        if terminal:
            _steer("\r\x1b[K")
            sys.stderr.flush()

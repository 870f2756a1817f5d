"""Progress on stderr: a bar in a terminal, a line per tenth in a log."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from shutil import get_terminal_size
from time import monotonic
from typing import Protocol

from tunescope.foreign import beside_gate, show_line

_PATIENCE = 4.0
"""Seconds without a word that somebody may have to sit through."""
_SAY_AGAIN = 60.0
"""Seconds after which a log is told once more of a wait for the same cause."""


class Update(Protocol):
    """Tells how far a piece of work is."""

    def __call__(self, done: int, note: Callable[[], str] = str) -> None:
        """Take the number of units done so far, and what says more (a rate), which is asked only where it is shown."""


def say(text: str) -> None:
    """Talk to the person: one line on stderr."""
    print(show_line(text), file=sys.stderr, flush=True)


def _steer(codes: str) -> None:
    """Move the terminal's cursor, or erase: the one place whose codes don't go through the gate."""
    beside_gate(sys.stderr).write(codes)


class Waiting:
    """Says that something outside is waited for, before that was silent for long.

    In a terminal it is one line that changes, elsewhere a line for each cause.
    """

    def __init__(self) -> None:
        """Begin without a wait."""
        self._since: float | None = None
        self._said: dict[str, float] = {}

    def note(self, reason: str, seconds: float, began: float | None = None) -> None:
        """Take why, and for how long, nothing comes from now on; `began` is when something last was expected."""
        now = monotonic()
        if self._since is None:
            self._since = now if began is None else began
        if now + seconds - self._since < _PATIENCE:
            return
        line = f"waiting: {reason}, {seconds:.0f} s"
        if sys.stderr.isatty():
            _steer("\r")
            sys.stderr.write(show_line(line)[: get_terminal_size().columns - 1])
            _steer("\x1b[K")
            sys.stderr.flush()
            return
        cause = re.split(r": | \(", reason)[0]
        if now - self._said.get(cause, -_SAY_AGAIN) >= _SAY_AGAIN:
            self._said[cause] = now
            say(line)

    def end(self) -> None:
        """Take that something came."""
        self._since = None


@contextmanager
def progress(label: str, total: int) -> Iterator[Update]:
    """Yield a function that takes the number of units done so far, and what returns a note to show with it."""
    start, terminal = monotonic(), sys.stderr.isatty()
    shown = 0

    def update(done: int, note: Callable[[], str] = str) -> None:
        nonlocal shown
        tenth = 10 * done // max(total, 1)
        if not terminal and (tenth == shown or total < 2):
            return
        shown = tenth
        parts = (f"{label}: {done:,} of {total:,}", f"{monotonic() - start:.0f} s", note())
        line = ", ".join(filter(None, parts))
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

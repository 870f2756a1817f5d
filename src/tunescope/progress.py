"""Progress on stderr: a bar in a terminal, a line per tenth in a log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic


def say(text: str) -> None:
    """Talk to the person: one line on stderr."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes the number of units done so far."""
    start, terminal = monotonic(), sys.stderr.isatty()
    shown = 0

    def update(done: int) -> None:
        nonlocal shown
        tenth = 10 * done // max(total, 1)
        if not terminal and (tenth == shown or total < 2):
            return
        shown = tenth
        line = f"{label}: {done:,} of {total:,}, {monotonic() - start:.0f} s"
        if terminal:
            filled = 24 * done // max(total, 1)
            sys.stderr.write(f"\r{line} [{'█' * filled}{'·' * (24 - filled)}]\x1b[K")
            sys.stderr.flush()
        else:
            say(line)

    try:
        yield update
    finally:
        if terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

"""Progress on stderr: a line that changes in a terminal, a line per tenth in a log or a plain terminal."""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from shutil import get_terminal_size
from time import monotonic
from typing import Protocol

from tunescope.foreign import beside_gate, show_line
from tunescope.terminal import fold, is_plain
from tunescope.views import duration

_PATIENCE = 4.0
"""Seconds without a word that somebody may have to sit through."""
_SAY_AGAIN = 60.0
"""Seconds after which a log is told once more of a wait for the same cause."""
_BAR_COLUMNS = 24
_REDRAW_SECONDS = 0.05
_MIN_SECONDS = 1.0
"""Seconds below which a rate says little."""
_RATE_SECONDS = 60.0
"""Seconds over which a rate is taken."""
_MAX_MOVES = 10_000


class Update(Protocol):
    """Tells how far a piece of work is."""

    def __call__(self, done: int, note: Callable[[], str] = str) -> None:
        """Take the number of units done so far, and what says more (the budget), which is asked only if it is shown."""


def say(text: str) -> None:
    """Talk to the person: one line on stderr, wrapped between words in a terminal."""
    if not _is_plain():
        _clear()
    print("\n".join(_wrapped(show_line(text))), file=sys.stderr, flush=True)


def complain(text: str) -> None:
    """Say why a command ends, in the lines of an error; in a terminal they are wrapped between words."""
    print("\n".join(part for line in text.split("\n") for part in _wrapped(line)), file=sys.stderr)


def _wrapped(line: str) -> list[str]:
    """Wrap a line in a terminal as it begins; a pipe has it whole."""
    if sys.stderr is None or not sys.stderr.isatty():
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    return [indent + part for part in fold(line, _columns() - len(indent))] or [line]


def _is_plain() -> bool:
    return sys.stderr is None or is_plain(sys.stderr)


def _columns() -> int:
    """Return the columns of the terminal; one stays free, since some terminals wrap after the last."""
    return get_terminal_size().columns - 1


def _clear() -> None:
    """Empty the line that changes."""
    _steer("\r\x1b[K")


def _steer(codes: str) -> None:
    """Move the terminal's cursor, erase or colour: the one place whose codes don't go through the gate."""
    beside_gate(sys.stderr).write(codes)


class _Bar:
    """How far a piece of work is, and how fast.

    Attributes:
        wait: why nothing comes at the moment; empty while something does.
    """

    def __init__(self, label: str, total: int, clock: Callable[[], float]) -> None:
        """Begin with nothing done."""
        self.label, self.total, self.done = label, total, 0
        self.wait = self._note = ""
        self._clock = clock
        self._start, self._drawn = clock(), float("-inf")
        self._moves: deque[tuple[float, int]] = deque()

    def move(self, done: int) -> None:
        """Take how much is done."""
        now = self._clock()
        self.done, self.wait = done, ""
        self._moves.append((now, done))
        while len(self._moves) > 2 and (self._moves[1][0] < now - _RATE_SECONDS or len(self._moves) > _MAX_MOVES):
            self._moves.popleft()

    def facts(self, note: str) -> list[str]:
        """Return what is said of the work: how much, since when, how much longer, how fast, and what its verb says."""
        now, rate = self._clock(), self._rate()
        speed = left = ""
        if rate:
            speed = f"{rate:.1f} a second" if rate >= 1 else f"{60 * rate:.1f} a minute"
            left = f"about {duration((self.total - self.done) / rate / 60)} left" if self.done < self.total else ""
        so_far = f"{self.label}: {self.done:,} of {self.total:,}"
        return list(filter(None, (so_far, duration((now - self._start) / 60), left, speed, note)))

    def _rate(self) -> float:
        """Return the units a second of late; 0 where that can't be said yet.

        It begins with the first move: before that a model was loaded, and what an earlier run did came at once.
        """
        if not self._moves:
            return 0.0
        began, done = self._moves[0]
        seconds = self._clock() - began
        return (self.done - done) / seconds if seconds >= _MIN_SECONDS else 0.0

    def draw(self, note: Callable[[], str] | None = None) -> None:
        """Draw the line that changes, unless it was drawn just now; without a note it keeps the last one."""
        now = self._clock()
        if now - self._drawn < _REDRAW_SECONDS and not self.wait and self.done < self.total:
            return
        self._drawn = now
        self._note = self._note if note is None else note()
        facts = self.facts(self._note)
        _draw_line(", ".join([facts[0], self.wait, *facts[1:]] if self.wait else facts), self)


_bars: list[_Bar] = []
"""The bars of the work under way, the innermost last."""


def _draw_line(text: str, bar: _Bar | None = None) -> None:
    """Draw the line that changes: a bar, and a text that is cut where the terminal ends."""
    from rich.console import Console
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    console = Console(file=beside_gate(sys.stderr), width=_columns())
    line = Text(show_line(text))
    with console.capture() as capture:
        if bar is not None:
            line.truncate(max(1, console.width - _BAR_COLUMNS - 1), overflow="ellipsis")
            console.print(ProgressBar(max(bar.total, 1), bar.done, _BAR_COLUMNS, complete_style="cyan"), end="")
            console.print(" ", end="")
        else:
            line.truncate(console.width, overflow="ellipsis")
        console.print(line, end="", soft_wrap=True, highlight=False)
    _steer(f"\r{capture.get()}\x1b[K")
    sys.stderr.flush()


class Waiting:
    """Says that something outside is waited for, before that was silent for long.

    In a terminal it stands in the line that changes, elsewhere it is a line for each cause.
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
        if not _is_plain():
            if _bars:
                _bars[-1].wait = line
                _bars[-1].draw()
            else:
                _draw_line(line)
            return
        cause = re.split(r": | \(", reason)[0]
        if now - self._said.get(cause, -_SAY_AGAIN) >= _SAY_AGAIN:
            self._said[cause] = now
            say(line)

    def end(self) -> None:
        """Take that something came."""
        self._since = None


@contextmanager
def progress(label: str, total: int, clock: Callable[[], float] = monotonic) -> Iterator[Update]:
    """Yield a function that takes the number of units done so far, and what returns a note to show with it.

    A single unit isn't shown: there is nothing between its beginning and its end.
    """
    bar, plain = _Bar(label, total, clock), _is_plain()
    shown = 0

    def update(done: int, note: Callable[[], str] = str) -> None:
        nonlocal shown
        bar.move(done)
        if total < 2:
            return
        if not plain:
            bar.draw(note)
        elif (tenth := 10 * done // total) != shown:
            shown = tenth
            say(", ".join(bar.facts(note())))

    _bars.append(bar)
    try:
        yield update
    finally:
        _bars.remove(bar)
        if not plain:
            _clear()
            sys.stderr.flush()

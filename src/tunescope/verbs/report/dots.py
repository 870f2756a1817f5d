"""Charts of scores from 0 to 1: a table with a row per task, whose marks stand on one scale; inline SVG, no scripts.

Every number that is drawn is also in a cell of its row. So the drawings need no other text, and they take the width
that a screen has: places are per cent of it, and no letter shrinks with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tunescope.foreign import escape_sentence
from tunescope.views import Cell, show

_SHAPES = (
    '<circle r="4.5"/>',
    '<rect x="-4" y="-4" width="8" height="8"/>',
    '<path d="M0-5.5 5.5 0 0 5.5-5.5 0Z"/>',
    '<path d="M0-5 5 4H-5Z"/>',
)
MOST_LANES = len(_SHAPES)
"""Scores that a row draws below each other; each has its own shape."""
_MARGIN = 4
"""Per cent of the width left and right of the scale."""
_GRID = (0.0, 0.5, 1.0)


class Lane(NamedTuple):
    """What a row draws on one of its lines: a score, its interval or range, and single scores."""

    score: float | None = None
    low: float | None = None
    high: float | None = None
    dots: Sequence[float] = ()


class ChartRow(NamedTuple):
    """A row: its name, what is drawn, the score of guessing, and the numbers behind them as cells."""

    name: str
    lanes: Sequence[Lane]
    cells: Sequence[Cell]
    chance: float | None = None


class ChartColumn(NamedTuple):
    """A column of cells; `lane` is the line whose shape stands beside its name."""

    name: str
    lane: int | None = None


def draw_rows(title: str, first: str, columns: Sequence[ChartColumn], rows: Sequence[ChartRow], note: str = "") -> str:
    """Draw the rows under one scale from 0 to 1; `first` is the name of the column of their names."""
    head = "".join(f'<th scope="col">{_key(column.lane)}{escape_sentence(column.name)}</th>' for column in columns)
    scale = '<th scope="col" class="plot"><span class="hidden">drawn from 0 to 1</span>' + _scale() + "</th>"
    body = "\n".join(map(_row, rows))
    note = f'<p class="note">{escape_sentence(note)}</p>' if note else ""
    return (
        f'<table class="chart"><caption>{escape_sentence(title)}{_keys(columns)}</caption>'
        f'<thead><tr><th scope="col">{escape_sentence(first)}</th>{scale}{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>{note}"
    )


def _row(row: ChartRow) -> str:
    cells = "".join(f'<td class="number">{escape_sentence(show(cell))}</td>' for cell in row.cells)
    lines = [_line(x, "grid") for x in _GRID]
    lines += [_line(row.chance, "chance")] if row.chance is not None else []
    lanes = "".join(
        _lane(number, lane, 100 * (number + 1) / (len(row.lanes) + 1)) for number, lane in enumerate(row.lanes)
    )
    drawing = f'<td class="plot"><svg aria-hidden="true">{"".join(lines)}{lanes}</svg></td>'
    return f'<tr><th scope="row">{_breaking(row.name)}</th>{drawing}{cells}</tr>'


def _breaking(name: str) -> str:
    """Escape a name, whose words are often joined by underscores, so that a line may end behind one."""
    return escape_sentence(name).replace("_", "_<wbr>")


def _lane(number: int, lane: Lane, y: float) -> str:
    colour, parts = f"line-{number}", []
    if lane.low is not None and lane.high is not None:
        parts.append(
            f'<line class="range {colour}" x1="{_across(lane.low)}" x2="{_across(lane.high)}" '
            f'y1="{y:.1f}%" y2="{y:.1f}%"/>'
        )
    parts += [f'<circle class="dot {colour}" cx="{_across(x)}" cy="{y:.1f}%" r="3"/>' for x in lane.dots]
    if lane.score is not None:
        parts.append(f'<svg x="{_across(lane.score)}" y="{y:.1f}%" class="mark {colour}">{_shape(number)}</svg>')
    return "".join(parts)


def _shape(lane: int) -> str:
    return _SHAPES[lane]


def _key(lane: int | None) -> str:
    """Return the shape of a lane, for the head of its column."""
    if lane is None:
        return ""
    return (
        f'<svg class="key" viewBox="-7 -7 14 14" aria-hidden="true"><g class="mark line-{lane}">'
        f"{_shape(lane)}</g></svg>&nbsp;"
    )


def _keys(columns: Sequence[ChartColumn]) -> str:
    """Return the shapes and their names where there are several, for screens on which the columns are out of sight."""
    named = [f"<span>{_key(each.lane)}{escape_sentence(each.name)}</span>" for each in columns if each.lane is not None]
    return f'<span class="keys" aria-hidden="true">{" ".join(named)}</span>' if len(named) > 1 else ""


def _scale() -> str:
    ticks = "".join(f'<text x="{_across(x)}" y="100%" dy="-7">{x:g}</text>' for x in _GRID)
    return f'<svg aria-hidden="true">{ticks}</svg>'


def _line(x: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{_across(x)}" x2="{_across(x)}" y1="0" y2="100%"/>'


def _across(score: float) -> str:
    """Return where a score stands, in per cent of the width."""
    return f"{_MARGIN + score * (100 - 2 * _MARGIN):.2f}%"

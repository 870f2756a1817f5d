"""Line charts as inline SVG, drawn from numbers; no scripts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape as escape_html
from typing import NamedTuple

from tunescope.foreign import replace_steering

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 256, 52, 36, 28, 96


_Points = Sequence[tuple[float, float]]
_LETTER = 7
"""Width of a letter of a curve's name, about."""
_NAME_HEIGHT = 13


class Curve(NamedTuple):
    """A named line through (x, y) points; `dots` and `rings` are single points beside it."""

    name: str
    points: _Points
    dots: _Points = ()
    rings: _Points = ()


def draw(curves: Sequence[Curve], x_title: str, y_title: str) -> str:
    """Draw the curves over common axes; "" where no curve has two points.

    Lines differ in colour and in dash, so that colour isn't needed to tell them apart.
    """
    curves = [curve for curve in curves if len(curve.points) > 1]
    if not curves:
        return ""
    drawn = [point for curve in curves for point in (*curve.points, *curve.dots, *curve.rings)]
    xs, ys = [x for x, _ in drawn], [y for _, y in drawn]
    right = max(RIGHT, 12 + _LETTER * max(len(curve.name) for curve in curves))
    x_low, x_high, y_low, y_high = min(xs), max(xs), min(0.0, *ys), max(ys) * 1.05 or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / ((x_high - x_low) or 1)
        up = (y - y_low) / ((y_high - y_low) or 1)
        return LEFT + across * (WIDTH - LEFT - right), HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - TOP)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" class="curve">'
        f"<title>{_escape(y_title)} by {_escape(x_title)}: {_escape(', '.join(c.name for c in curves))}</title>"
    ]
    for step in range(5):
        y = y_low + (y_high - y_low) * step / 4
        x0, y0 = place(x_low, y)
        x1, _ = place(x_high, y)
        parts.append(f'<line class="grid" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y0:.1f}"/>')
        parts.append(f'<text class="tick end" x="{x0 - 6:.1f}" y="{y0 + 4:.1f}">{y:.2g}</text>')
        x = x_low + (x_high - x_low) * step / 4
        xt, yt = place(x, y_low)
        parts.append(f'<text class="tick middle" x="{xt:.1f}" y="{yt + 16:.1f}">{x:.0f}</text>')
    for number, curve in enumerate(curves):
        line = " ".join(f"{px:.1f},{py:.1f}" for px, py in (place(x, y) for x, y in curve.points))
        parts.append(f'<polyline class="line line-{number % 4}" points="{line}"/>')
        for kind, points in (("dot", curve.dots), ("ring", curve.rings)):
            for px, py in (place(x, y) for x, y in points):
                parts.append(f'<circle class="{kind} line-{number % 4}" cx="{px:.1f}" cy="{py:.1f}" r="3"/>')
    lowest = 0.0
    for (px, py), name in sorted(((place(*c.points[-1]), c.name) for c in curves), key=lambda end: end[0][1]):
        lowest = max(py + 4, lowest + _NAME_HEIGHT)  # names of lines that end together don't cover each other
        parts.append(f'<text class="name" x="{px + 9:.1f}" y="{lowest:.1f}">{_escape(name)}</text>')
    middle = (LEFT + WIDTH - right) / 2
    parts.append(f'<text class="tick middle" x="{middle}" y="{HEIGHT - 4}">{_escape(x_title)}</text>')
    parts.append(f'<text class="tick" x="4" y="{TOP - 14}">{_escape(y_title)}</text></svg>')
    return "".join(parts)


def _escape(text: str) -> str:
    """Escape a text of the drawing, which may hold no elements."""
    return escape_html(replace_steering(text))

"""What a page's pictures show, read back from their SVG."""

from __future__ import annotations

import re


def pictures(page: str) -> dict[str, str]:
    """Return each picture of a page by what a screen reader says of it."""
    return dict(re.findall(r'<figure class="picture" role="img" aria-label="([^"]*)">(.*?)</figure>', page, re.DOTALL))


def width_of_plot(svg: str) -> float:
    """Return the width of the plot, from the path of its background."""
    return float(re.search(r'class="background"[^>]* d="M0,0h([\d.]+)v', svg)[1])


def shares(svg: str) -> list[float]:
    """Return where the marks stand, as shares of the plot's width, from the top."""
    layers = re.findall(r'<g class="mark-symbol role-mark.*?</g>', svg, re.DOTALL)
    marks = [
        mark for layer in layers for mark in re.findall(r'transform="translate\(([\d.-]+),([\d.-]+)\)" d="M', layer)
    ]
    wide = width_of_plot(svg)
    return [round(float(x) / wide, 3) for x, _ in sorted(marks, key=lambda mark: float(mark[1]))]


def whiskers(svg: str) -> list[tuple[float, float]]:
    """Return where the whiskers begin and end, as shares of the plot's width, from the top."""
    layers = re.findall(r'<g class="mark-rule role-mark.*?</g>', svg, re.DOTALL)
    found = [
        line
        for layer in layers
        for line in re.findall(r'<line transform="translate\(([\d.-]+),([\d.-]+)\)" x2="([\d.-]+)" y2="0"', layer)
    ]
    wide = width_of_plot(svg)
    ordered = sorted(found, key=lambda line: float(line[1]))
    ends = [sorted((float(x) / wide, (float(x) + float(across)) / wide)) for x, _, across in ordered]
    return [(round(low, 3), round(high, 3)) for low, high in ends]


def ticks(svg: str) -> list[float]:
    """Return where upright ticks stand, as shares of the plot's width."""
    paths = re.findall(r'<path d="M([\d.-]+),[\d.-]+h2v[\d.]+h-2Z" fill="var\(--fourth\)"', svg)
    return [round((float(x) + 1) / width_of_plot(svg), 3) for x in paths]


def n_lines(svg: str) -> int:
    """Return how many curves there are."""
    return len(re.findall(r'<g class="mark-line role-mark', svg))


def n_marks(svg: str) -> int:
    """Return how many single points there are."""
    layers = re.findall(r'<g class="mark-symbol role-mark.*?</g>', svg, re.DOTALL)
    return sum(layer.count("<path ") for layer in layers)

"""Pictures: Vega-Lite specifications, made into SVG while the page is built, so that they need no script and print.

A picture is at most `WIDE` pixels wide with its labels, so that it fits a phone; several stand side by side on a wide
screen. Colours are the page's own variables: a picture follows dark and light. Series also differ in shape or dash.
Every number that is drawn stands in a table of the page too, so a picture is one image to a screen reader.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from math import isfinite
from typing import Any, NamedTuple

from tunescope.foreign import replace_steering

WIDE = 350
"""Pixels of a picture with its labels, about."""
_PLOT, _HEIGHT = 280, 170
_NAMES, _LETTER, _NARROWEST = 190, 6.2, 140
"""Most pixels of names beside a plot, pixels of a letter of theirs, and the least that is left for the plot."""
_STEP = 18
"""Pixels of a row of a plot with names."""
_COLOURS = ("var(--first)", "var(--second)", "var(--third)", "var(--fourth)")
_SHAPES = ("circle", "square", "diamond", "triangle-up")
_DASHES = ([1, 0], [6, 3], [2, 3], [9, 3, 2, 3])
MOST_SERIES = len(_COLOURS)
"""Series that a picture tells apart."""
_LEGEND = {
    "orient": "bottom",
    "direction": "vertical",
    "title": None,
    "labelLimit": 260,
    "symbolStrokeWidth": 2,
    "symbolOpacity": 1,
}
_UNDRAWN = re.compile("[\x00-\x1f\u2028\u2029\ud800-\udfff]")
"""Controls and half surrogate pairs, on which drawing aborts, and line breaks, which Vega's expressions can't hold."""
_ROLES = re.compile(r' (?:role|aria-roledescription)="[a-z -]*"')
_CONFIG: dict[str, Any] = {
    "font": "inherit",
    "aria": False,
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--soft)",
        "titleColor": "var(--soft)",
        "gridColor": "var(--line)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "labelLimit": _NAMES,
    },
    "legend": {"labelColor": "var(--ink)", "labelFontSize": 11},
    "title": {"color": "var(--ink)", "fontSize": 12, "anchor": "start", "fontWeight": "bold"},
    "header": {"labelColor": "var(--ink)", "labelFontSize": 11, "title": None},
    "text": {"color": "var(--ink)"},
    "rule": {"color": "var(--soft)"},
}


class Measured(NamedTuple):
    """A value under a name, with its interval, of one of a picture's series."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    series: str = ""


class Curve(NamedTuple):
    """A named line through (x, y) points; `dots` and `rings` are single points beside it, `band` (x, low, high)."""

    name: str
    points: Sequence[tuple[float, float]]
    dots: Sequence[tuple[float, float]] = ()
    rings: Sequence[tuple[float, float]] = ()
    band: Sequence[tuple[float, float, float]] = ()


class Scale(NamedTuple):
    """An axis of values: title, how numbers are written (d3-format), ends, and where nothing is different."""

    title: str
    format: str = ""
    ends: tuple[float, float] | None = None
    line: float | None = None

    def channel(self, field: str = "value", **more: Any) -> dict[str, Any]:
        """Return the encoding of a field on this axis."""
        axis = {"title": self.title, "tickCount": 5, "format": self.format or "~r"}
        scale = {"domain": [*self.ends], "nice": False} if self.ends else {}
        return {"field": field, "type": "quantitative", "axis": axis, "scale": {"zero": False, **scale}, **more}


def draw(spec: Mapping[str, Any], described: str) -> str:
    """Make a Vega-Lite specification into an image of the page; `described` is what a screen reader says of it."""
    import vl_convert

    whole = {"$schema": "https://vega.github.io/schema/vega-lite/v6.json", "background": None, "padding": 3, **spec}
    whole["config"] = _CONFIG | whole.get("config", {})
    svg = vl_convert.vegalite_to_svg(_clean(whole))
    svg = _ROLES.sub("", svg)  # the figure is one image
    name = escape(replace_steering(described))
    return f'<figure class="picture" role="img" aria-label="{name}">{svg}</figure>'


def _clean(value: Any) -> Any:
    """Return a specification without characters in its texts that steer a page, or that can't be drawn."""
    if isinstance(value, str):
        return _UNDRAWN.sub(" ", replace_steering(value))
    if isinstance(value, float) and not isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {_clean(key): _clean(each) for key, each in value.items()}
    return [_clean(each) for each in value] if isinstance(value, list | tuple) else value


def bars(values: Sequence[Measured], scale: Scale) -> str:
    """Draw a bar with a whisker for each name, in order; "" where there is no value."""
    records = _records(values)
    if not records:
        return ""
    layers = [
        {"mark": {"type": "bar", "color": "var(--first)", "opacity": 0.55}, "encoding": {"x": scale.channel()}},
        _whisker(scale),
    ]
    return draw(
        {**_rows_of([record["name"] for record in records]), "data": {"values": records}, "layer": layers},
        _said(scale, records),
    )


def dots(values: Sequence[Measured], scale: Scale, ticks: Mapping[str, float] | None = None) -> str:
    """Draw a mark with a whisker for each name, in order, and for each series its own below it; "" without a value.

    `ticks` are values by name that each row has once, such as what guessing gives.
    """
    records = _records(values)
    if not records:
        return ""
    series = list(dict.fromkeys(record["series"] for record in records))
    names = list(dict.fromkeys(record["name"] for record in records))
    apart = {"yOffset": {"field": "series", "type": "nominal", "scale": {"domain": series}}} if len(series) > 1 else {}
    legend = {"legend": _LEGEND if len(series) > 1 else None}
    colour = {"color": _by_series(series, _COLOURS, **legend), "shape": _by_series(series, _SHAPES, **legend)}
    layers: list[dict[str, Any]] = []
    if scale.line is not None:
        place = {"x": {"datum": scale.line}, "y": None}
        layers.append({"data": {"values": [{}]}, "mark": {"type": "rule", "strokeDash": [3, 3]}, "encoding": place})
    whisker = _whisker(scale, apart | {"color": _by_series(series, _COLOURS, **legend)})
    if ticks:
        marks = [{"name": name, "value": value} for name, value in ticks.items() if name in names]
        tick = {"type": "tick", "color": "var(--fourth)", "thickness": 2, "height": _STEP - 2}
        layers.append({"data": {"values": marks}, "mark": tick, "encoding": {"x": scale.channel()}})
    point = {"type": "point", "filled": True, "size": 45, "opacity": 1}
    layers += [whisker, {"mark": point, "encoding": {"x": scale.channel(), **apart, **colour}}]
    spec = _rows_of(names, 1 if len(series) == 1 else 0.75 * len(series))
    return draw({**spec, "data": {"values": records}, "layer": layers}, _said(scale, records))


def lines(curves: Sequence[Curve], x: Scale, y: Scale, title: str = "") -> str:
    """Draw curves over common axes; "" where none has two points."""
    curves = [curve for curve in curves if len(curve.points) > 1]
    if not curves:
        return ""
    names = [curve.name for curve in curves]
    records = [
        {"x": px, "y": py, "series": curve.name, "kind": kind}
        for curve in curves
        for kind, points in (("line", curve.points), ("dot", curve.dots), ("ring", curve.rings))
        for px, py in points
    ]
    stroke = _LEGEND | {"symbolType": "stroke", "symbolSize": 400}
    records += [
        {"x": px, "y": low, "high": high, "series": curve.name, "kind": "band"}
        for curve in curves
        for px, low, high in curve.band
    ]
    legend = {"legend": stroke if len(curves) > 1 else None}
    colour = {"color": _by_series(names, _COLOURS, **legend), "strokeDash": _by_series(names, _DASHES, **legend)}
    place = {"x": x.channel("x"), "y": y.channel("y")}
    plain = {"color": _by_series(names, _COLOURS, **legend)}
    layers: list[dict[str, Any]] = [_kind("line", {"type": "line", "strokeWidth": 2}, place | colour)]
    if any(curve.dots for curve in curves):
        layers.append(_kind("dot", {"type": "point", "filled": True, "size": 18, "opacity": 0.6}, place | plain))
    if any(curve.rings for curve in curves):
        layers.append(_kind("ring", {"type": "point", "filled": False, "size": 50, "opacity": 1}, place | plain))
    if any(curve.band for curve in curves):
        layers.insert(0, _kind("band", {"type": "area", "opacity": 0.18}, place | plain | {"y2": {"field": "high"}}))
    if y.line is not None:
        layers.insert(0, {"mark": {"type": "rule", "strokeDash": [3, 3]}, "encoding": {"y": {"datum": y.line}}})
    head = {"title": title} if title else {}
    return draw(
        {**head, "width": _PLOT, "height": _HEIGHT, "data": {"values": records}, "layer": layers},
        f"{title or y.title} by {x.title}: {', '.join(names)}",
    )


def histogram(values: Mapping[str, Sequence[float]], x: Scale, logarithmic: bool = False, n_bins: int = 24) -> str:
    """Draw how often values occur, as shares of each set's values; sets are drawn over each other."""
    import numpy as np

    known = {name: np.asarray(each, float) for name, each in values.items() if len(each)}
    if not known:
        return ""
    whole = np.concatenate(list(known.values()))
    if logarithmic:
        whole = whole[whole > 0]
    if not len(whole):
        return ""
    low, high = float(whole.min()), float(whole.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.geomspace(low, high, n_bins + 1) if logarithmic else np.linspace(low, high, n_bins + 1)
    records = []
    for name, each in known.items():
        counts, _ = np.histogram(each, edges)
        records += [
            {"from": float(a), "to": float(b), "value": float(n / len(each)), "series": name}
            for a, b, n in zip(edges, edges[1:], counts, strict=False)
        ]
    names = list(known)
    scale = {"type": "log"} if logarithmic else {"zero": False, "nice": False}
    axis = {"title": x.title, "tickCount": 5, "format": x.format or "~g", "grid": not logarithmic}
    place = {
        "x": {"field": "from", "type": "quantitative", "scale": scale, "axis": axis},
        "x2": {"field": "to"},
        "y": {"field": "value", "type": "quantitative", "axis": {"title": "share", "format": "%", "tickCount": 4}},
        "y2": {"datum": 0},
        "color": _by_series(names, _COLOURS, legend=_LEGEND if len(names) > 1 else None),
    }
    mark = {"type": "bar", "opacity": 0.5, "binSpacing": 0}
    spec = {"width": _PLOT, "height": 0.7 * _HEIGHT, "data": {"values": records}, "mark": mark, "encoding": place}
    return draw(spec, f"How often {x.title} occur: {', '.join(names)}")


def stacked(parts: Sequence[Measured], order: Sequence[str], colours: Sequence[str], scale: Scale) -> str:
    """Draw one bar for each name, made up of the series in `order`."""
    records = [record | {"place": order.index(record["series"])} for record in _records(parts)]
    if not records:
        return ""
    colour = _by_series(order, colours, legend=_LEGEND | {"direction": "horizontal"})
    place = {"x": scale.channel(stack="zero"), "color": colour, "order": {"field": "place", "type": "quantitative"}}
    mark = {"type": "bar", "stroke": "var(--ink)", "strokeWidth": 0.5}
    spec = _rows_of(list(dict.fromkeys(record["name"] for record in records)))
    return draw(
        {**spec, "data": {"values": records}, "layer": [{"mark": mark, "encoding": place}]}, _said(scale, records)
    )


def scattered(values: Mapping[str, Sequence[tuple[float, float]]], x: Scale, y: Scale) -> str:
    """Draw (x, y) points of several sets on logarithmic axes."""
    names = [name for name, points in values.items() if points]
    records = [{"x": a, "y": b, "series": name} for name in names for a, b in values[name]]
    if not records:
        return ""
    log = {"scale": {"type": "log"}}
    ticks = {"tickCount": 5, "format": "~r", "grid": False}
    place = {
        "x": {**x.channel("x"), **log, "axis": {"title": x.title, **ticks}},
        "y": {**y.channel("y"), **log, "axis": {"title": y.title, **ticks}},
        "color": _by_series(names, _COLOURS, legend=_LEGEND if len(names) > 1 else None),
        "shape": _by_series(names, _SHAPES, legend=_LEGEND if len(names) > 1 else None),
    }
    mark = {"type": "point", "size": 14, "opacity": 0.55, "filled": True}
    spec = {"width": _PLOT, "height": _HEIGHT, "data": {"values": records}, "mark": mark, "encoding": place}
    return draw(spec, f"{y.title} by {x.title}: {', '.join(names)}")


def heat(values: Sequence[Measured], scale: Scale, columns: Sequence[str]) -> str:
    """Draw a disc for each name and series, as large as its value, with the value written in it."""
    records = [record | {"text": format(record["value"], scale.format)} for record in _records(values)]
    if not records:
        return ""
    x = {
        "field": "series",
        "type": "nominal",
        "scale": {"domain": list(columns)},
        "axis": {"title": None, "labelAngle": -35},
    }
    sizes = {"range": [0, 600], **({"domain": [*scale.ends]} if scale.ends else {})}
    size = {"field": "value", "type": "quantitative", "legend": None, "scale": sizes}
    layers = [
        {"mark": {"type": "circle", "opacity": 0.3, "color": "var(--first)"}, "encoding": {"x": x, "size": size}},
        {"mark": {"type": "text", "fontSize": 10}, "encoding": {"x": x, "text": {"field": "text"}}},
    ]
    spec = _rows_of(list(dict.fromkeys(record["name"] for record in records)), 1.4)
    return draw({**spec, "data": {"values": records}, "layer": layers}, _said(scale, records))


def whisker(value: float, low: float, high: float, ends: tuple[float, float], described: str) -> str:
    """Draw one value with its interval on a scale, without axes: what stands under a number."""
    axis = {"scale": {"domain": [*ends], "nice": False, "zero": False}, "axis": None, "type": "quantitative"}
    record = {"value": value, "low": low, "high": high, "from": ends[0], "to": ends[1]}
    layers = [
        _span("from", "to", axis, "var(--line)", 1),
        _span("low", "high", axis, "var(--first)", 4),
        {
            "mark": {"type": "point", "filled": True, "size": 60, "color": "var(--ink)", "opacity": 1},
            "encoding": {"x": {"field": "value", **axis}},
        },
    ]
    return draw({"width": 180, "height": 14, "data": {"values": [record]}, "layer": layers}, described)


def _span(start: str, end: str, axis: Mapping[str, Any], colour: str, thick: int) -> dict[str, Any]:
    mark = {"type": "rule", "color": colour, "strokeWidth": thick}
    return {"mark": mark, "encoding": {"x": {"field": start, **axis}, "x2": {"field": end}}}


def _kind(kind: str, mark: Mapping[str, Any], encoding: Mapping[str, Any]) -> dict[str, Any]:
    """Return a layer of the records of a kind."""
    return {"transform": [{"filter": {"field": "kind", "equal": kind}}], "mark": mark, "encoding": encoding}


def _whisker(scale: Scale, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    place = {"x": scale.channel("low"), "x2": {"field": "high"}, **(more or {})}
    has_interval = {"filter": "isValid(datum.low) && isValid(datum.high)"}
    return {"transform": [has_interval], "mark": {"type": "rule", "strokeWidth": 2}, "encoding": place}


def _rows_of(names: Sequence[str], height: float = 1.0) -> dict[str, Any]:
    """Return the frame of a picture with a row for each name, in order."""
    y = {"field": "name", "type": "nominal", "scale": {"domain": list(names)}, "title": None}
    axis = {"ticks": False, "domain": False, "grid": False, "labelPadding": 6}
    return {
        "width": max(_NARROWEST, WIDE - min(_NAMES, _LETTER * max(map(len, names))) - 20),
        "height": max(1.0, height) * _STEP * len(names),
        "encoding": {"y": {**y, "axis": axis}},
    }


def _by_series(names: Sequence[str], ways: Sequence[Any], **more: Any) -> dict[str, Any]:
    kept = [ways[number % len(ways)] for number in range(len(names))]
    return {"field": "series", "type": "nominal", "scale": {"domain": list(names), "range": kept}, **more}


def _records(values: Sequence[Measured]) -> list[dict[str, Any]]:
    return [value._asdict() for value in values if value.value is not None]


def _said(scale: Scale, records: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(record["name"] for record in records))
    return f"{scale.title}: {', '.join(names)}"

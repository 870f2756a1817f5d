"""Pictures: marks stand where their values are, texts stay texts, and nothing is drawn of nothing."""

from __future__ import annotations

import re

import pytest
from tests.verbs.report.svg import pictures, shares, ticks, whiskers, width_of_plot

from tunescope.verbs.report.pictures import (
    WIDE,
    Curve,
    Measured,
    Scale,
    bars,
    dots,
    heat,
    histogram,
    lines,
    scattered,
    stacked,
    whisker,
)

SCORE = Scale("score", ends=(0.0, 1.0))


def of(page):
    ((said, svg),) = pictures(page).items()
    return said, svg


def test_marks_whiskers_and_ticks_stand_where_their_values_are():
    values = [
        Measured("copa", 0.75, 0.5, 0.9, "a"),
        Measured("piqa", 0.25, series="a"),
        Measured("copa", 0.15, 0.1, 0.2, "b"),
    ]
    said, svg = of(dots(values, SCORE, {"copa": 0.25, "gone": 0.9}))
    assert said == "score: copa, piqa"
    assert shares(svg) == [0.75, 0.15, 0.25]  # the second series below the first, then the next name
    assert whiskers(svg) == [(0.5, 0.9), (0.1, 0.2)]
    assert ticks(svg) == [0.25]


def test_the_line_at_which_nothing_is_different_goes_through_all_rows():
    _, svg = of(dots([Measured("a", -0.5), Measured("b", 0.5)], Scale("change", ends=(-1.0, 1.0), line=0.0)))
    across, up = re.search(
        r'<line transform="translate\(([\d.]+),[\d.]+\)" x2="0" y2="(-?[\d.]+)"[^>]*stroke-dash', svg
    ).groups()
    assert float(across) / width_of_plot(svg) == pytest.approx(0.5)
    assert abs(float(up)) == float(re.search(r'class="background"[^>]* d="M0,0h[\d.]+v([\d.]+)', svg)[1])


def test_bars_are_as_long_as_their_values():
    _, svg = of(
        bars([Measured("x", 0.5, 0.25, 1.0), Measured("y", 1.0), Measured("z", None)], Scale("share", ends=(0.0, 1.0)))
    )
    wide = width_of_plot(svg)
    lengths = [float(x) / wide for x in re.findall(r'<path d="M0,[\d.]+h([\d.]+)v', svg) if float(x) <= wide]
    assert [round(length, 3) for length in lengths] == [0.5, 1.0]
    assert whiskers(svg) == [(0.25, 1.0)]
    assert ">z<" not in svg


def test_curves_go_through_their_points():
    _, svg = of(
        lines([Curve("up", [(0, 0), (50, 1), (100, 2)])], Scale("dose", ends=(0, 100)), Scale("score", ends=(0, 2)))
    )
    path = re.search(r'class="mark-line.*?d="M([^"]+)"', svg)[1]
    points = [tuple(map(float, pair.split(","))) for pair in path.split("L")]
    wide, high = width_of_plot(svg), float(re.search(r'class="background"[^>]* d="M0,0h[\d.]+v([\d.]+)', svg)[1])
    assert [(round(x / wide, 3), round(1 - y / high, 3)) for x, y in points] == [(0, 0), (0.5, 0.5), (1, 1)]


def test_a_histogram_shows_shares_of_each_set():
    _, svg = of(histogram({"a": [1, 1, 1, 3], "b": [3, 3]}, Scale("words"), n_bins=2))
    high = float(re.search(r'class="background"[^>]* d="M0,0h[\d.]+v([\d.]+)', svg)[1])
    heights = [round(float(h) / high, 3) for h in re.findall(r'd="M[\d.]+,[\d.]+h[\d.]+v([\d.]+)h-[\d.]+Z" fill', svg)]
    assert heights == [0.75, 0.25, 0, 1]


def test_parts_of_a_bar_follow_each_other():
    values = [Measured("LoRA", share, series=name) for name, share in (("c", 0.1), ("a", 0.6), ("b", 0.3))]
    _, svg = of(stacked(values, ("a", "b", "c"), ("#111", "#222", "#333"), SCORE))
    wide = width_of_plot(svg)
    parts = re.findall(r'd="M([\d.]+),[\d.]+h([\d.]+)v[\d.]+h-[\d.]+Z" fill="(#\d+)" stroke', svg)
    where = {colour: (round(float(x) / wide, 3), round(float(length) / wide, 3)) for x, length, colour in parts}
    assert where == {"#111": (0.0, 0.6), "#222": (0.6, 0.3), "#333": (0.9, 0.1)}


def test_a_whisker_alone():
    _, svg = of(whisker(0.5, 0.25, 0.75, (0, 1), "half"))
    assert shares(svg) == [0.5]
    assert whiskers(svg) == [(0.0, 1.0), (0.25, 0.75)]


@pytest.mark.parametrize(
    "nothing",
    [
        bars([Measured("x", None)], SCORE),
        dots([], SCORE),
        lines([Curve("one", [(0, 1)])], SCORE, SCORE),
        histogram({"a": []}, SCORE),
        stacked([], ("a",), ("#111",), SCORE),
        scattered({"a": []}, SCORE, SCORE),
        heat([], SCORE, []),
    ],
)
def test_nothing_is_drawn_of_nothing(nothing):
    assert nothing == ""


def test_texts_stay_texts_and_steer_nothing():
    hostile = '</text></svg><script>alert(1)</script>" onload="x \u202egnp.js'
    svg = dots([Measured(hostile, 0.5, series=hostile), Measured("b", 0.5, series="b")], Scale(hostile)) + lines(
        [Curve(hostile, [(0, 1), (1, 2)]), Curve("b", [(0, 1), (1, 2)])], Scale("x"), Scale("y"), hostile
    )
    assert "<script" not in svg
    assert "\u202e" not in svg
    assert not re.search(r'<[^>]* onload="', svg)


def test_a_picture_fits_a_phone():
    values = [Measured("a name that goes on and on and on, as names of tasks do", 0.5)]
    for page in (dots(values, SCORE), bars(values, SCORE), lines([Curve("a", [(0, 1), (1, 2)])], SCORE, SCORE)):
        assert float(re.search(r'<svg [^>]*width="([\d.]+)"', page)[1]) <= WIDE + 20


def test_colours_follow_the_page():
    svg = dots([Measured("a", 0.5, 0.1, 0.9)], SCORE)
    colours = set(re.findall(r'(?:fill|stroke)="([^"]+)"', svg))
    assert colours <= {"none", *(each for each in colours if each.startswith("var(--"))}


def test_any_character_can_be_in_a_name():
    """Vega-Lite makes expressions of some names: none may break out of its string there."""
    names = ["a\u2028b", "'+datum+'", "\\", '"', "\x00\x1b", "\ud800", "e\u0301", "\n"]
    values = [Measured(name, 0.5, 0.1, 0.9, series) for name in names for series in names[:4]]
    for page in (
        dots(values, SCORE),
        bars([Measured(name, 0.5) for name in names], SCORE),
        stacked(values, names[:4], ("#111", "#222", "#333", "#444"), SCORE),
        heat(values, SCORE._replace(format=".0f"), names[:4]),
        histogram({name: [1, 2] for name in names[:4]}, SCORE),
        scattered({name: [(1, 2)] for name in names[:4]}, SCORE, SCORE),
        lines([Curve(name, [(0, 1), (1, 2)]) for name in names[:4]], SCORE, SCORE, names[0]),
    ):
        assert page.startswith("<figure")

"""Cells, tables and views: in a terminal, as HTML, as JSON."""

from __future__ import annotations

import json
import math
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunescope.views import Table, View, interval, percent, show, to_html, to_text

TEXT = st.text(st.characters(codec="utf-8"), max_size=300)
CELLS = st.none() | TEXT | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TABLES = st.integers(1, 4).flatmap(
    lambda n: st.builds(
        Table,
        TEXT,
        st.tuples(*[st.text("abc ", min_size=1, max_size=20)] * n),
        st.lists(st.tuples(*[CELLS] * n), max_size=4).map(tuple),
        TEXT,
    )
)
VIEWS = st.builds(View, st.lists(TEXT).map(tuple), st.lists(TABLES, max_size=3).map(tuple), st.lists(TEXT).map(tuple))


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        (None, "–"),
        ("text", "text"),
        (True, "True"),
        (0, "0"),
        (-1234567, "-1,234,567"),
        (0.0, "0"),
        (0.123456, "0.1235"),
        (999.94, "999.9"),
        (1234.56, "1,235"),
        (-0.00001234, "-1.234e-05"),
        (math.inf, "inf"),
    ],
)
def test_show(cell, shown):
    assert show(cell) == shown


def test_intervals_and_percentages():
    assert interval(0.123, 4.0) == "[0.12, 4.00]"
    assert interval(1.0, 2.0, 0) == "[1, 2]"
    assert interval(None, 1.0) == interval(1.0, None) == percent(None) == "–"
    assert percent(0.0123) == "1.23 %"
    assert percent(1.0, 0) == "100 %"


def test_a_view_in_a_terminal():
    view = View(
        ("Two rows.", "The second sentence."),
        (
            Table("Faults", ("fault", "rows", "share"), (("refusal", 1234, 0.5), ("empty", None, 12.0)), "A note."),
            Table("", ("only",), ()),
        ),
        ("tunescope why a", "tunescope why b"),
    )
    assert to_text(view, 80) == (
        "Two rows.\n"
        "The second sentence.\n"
        "\n"
        "Faults\n"
        "  fault     rows  share\n"
        "  refusal  1,234    0.5\n"
        "  empty        –     12\n"
        "  A note.\n"
        "\n"
        "  only\n"
        "\n"
        "Next:\n"
        "  tunescope why a\n"
        "  tunescope why b\n"
    )


def test_a_wide_table_is_wrapped_inside_its_columns():
    text = to_text(View((), (Table("", ("id", "found"), (("a" * 16, "word " * 30),)),)), 60)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 60
    assert lines[1].startswith("  aaaaaaaaaaaaaaaa  word word")
    assert all(line.startswith(" " * 20 + "word") for line in lines[2:])
    assert text.count("word") == 30


def test_sentences_are_wrapped_between_words_and_commands_never():
    path = "/a-long/path-with-hyphens/" * 5 + "rows.json"
    text = to_text(View((f"Kept: {path}.",), (), (f"tunescope check {path}",)), 60)
    assert text == f"Kept:\n{path}.\n\nNext:\n  tunescope check {path}\n"


def test_a_cell_is_one_line_without_control_characters():
    cell = "a\n\tb\x1b[31mred\x07" + "x" * 300
    line = to_text(View((), (Table("", ("c",), ((cell,),)),)), 400).splitlines()[1]
    assert line == "  a b\ufffd[31mred\ufffd" + "x" * (200 - 12 - 1) + "…"


@given(VIEWS)
def test_a_view_survives_json(view):
    assert View.from_json(json.loads(json.dumps(view.as_json()))) == view


@given(VIEWS, st.integers(60, 200))
def test_any_view_can_be_drawn(view, width):
    text = to_text(view, width)
    assert text.endswith("\n")
    assert all(line.isprintable() for line in text.split("\n"))


class Reader(HTMLParser):
    """Collects tags and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


@given(VIEWS)
def test_html_has_our_tags_only(view):
    assert set(Reader(to_html(view)).tags) <= {"p", "pre", "table", "caption", "thead", "tbody", "tr", "th", "td"}


def test_html_escapes_every_text():
    evil = "<script>alert('x')</script>&\""
    table = Table(evil, (evil,), ((evil,), (3,)), evil)
    html = to_html(View((evil,), (table,), (evil,)))
    assert "<script" not in html
    page = Reader(html)
    assert page.text.count(evil) == 6
    assert '<td class="number">3</td>' in html
    assert page.tags.count("tr") == 3

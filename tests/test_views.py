"""Cells, tables and views: in a terminal, as HTML, as JSON."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.tools import steers
from tunescope.terminal import to_text
from tunescope.views import Marked, Table, View, interval, percent, shorten, show, to_html

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


def marks(text):
    """Return stretches of a text in order and apart."""
    edges = st.lists(st.integers(0, len(text)), unique=True, max_size=8).map(sorted)
    return edges.map(lambda found: tuple(zip(found[::2], found[1::2], strict=False)))


MARKED = TEXT.flatmap(lambda text: st.builds(Marked, TEXT, st.just(text), marks(text)))
VIEWS = st.builds(
    View,
    st.lists(TEXT).map(tuple),
    st.lists(TABLES, max_size=3).map(tuple),
    st.lists(TEXT).map(tuple),
    st.lists(MARKED, max_size=3).map(tuple),
)


@pytest.mark.parametrize(
    ("text", "most", "shown"),
    [
        ("", 5, ""),
        ("one two three", 13, "one two three"),
        ("one two three", 12, "one two…"),
        ("one two three", 9, "one two…"),
        ("one two three", 8, "one two…"),
        ("one two three", 7, "one…"),
        ("one two, three", 9, "one two,…"),
        ("one\n\ntwo three", 10, "one\n\ntwo…"),
        ("a " + "b" * 50, 20, "a " + "b" * 17 + "…"),
        ("漢字仮名交じり文", 5, "漢字仮名…"),
        ("cafe\u0301s" * 2, 5, "caf…"),
    ],
)
def test_a_long_text_is_cut_at_a_word_s_end(text, most, shown):
    assert shorten(text, most) == shown
    assert len(shown) <= most


@given(TEXT, st.integers(2, 40))
def test_any_text_is_cut_to_its_length_and_begins_as_it_was(text, most):
    shown = shorten(text, most)
    assert len(shown) <= most
    assert shown == text or (shown.endswith("…") and text.startswith(shown[:-1]))


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
        (999_999_999_999_999.0, "999,999,999,999,999"),
        (-1.23456e59, "-1.235e+59"),
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


def test_sentences_and_commands_are_wrapped_between_words():
    path = "/a-long/path-with-hyphens/" * 5 + "rows.json"
    text = to_text(View((f"Kept: {path}.",), (), (f"tunescope check {path}",)), 60)
    assert text == f"Kept:\n{path}.\n\nNext:\n  tunescope check \\\n      {path}\n"


def test_a_cell_is_one_line_without_control_characters():
    cell = "a\n\tb\x1b[31mred\x07" + "x" * 300
    line = to_text(View((), (Table("", ("c",), ((cell,),)),)), 400).splitlines()[1]
    assert line == r"  a b\x1b[31mred\x07" + "x" * (200 - 18 - 1) + "…"


@given(VIEWS)
def test_a_view_survives_json(view):
    assert View.from_json(json.loads(json.dumps(view.as_json()))) == view


@given(VIEWS, st.integers(60, 200))
def test_any_view_can_be_drawn(view, width):
    text = to_text(view, width)
    assert text.endswith("\n")
    assert [ch for ch in text if steers(ch)] == []


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
    assert set(Reader(to_html(view)).tags) <= {
        "p",
        "pre",
        "h3",
        "mark",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "bdi",
        "span",
        "wbr",
    }


def test_html_escapes_every_text():
    evil = "<script>alert('x')</script>&\""
    table = Table(evil, (evil,), ((evil,), (3,)), evil)
    html = to_html(View((evil,), (table,), (evil,)))
    assert "<script" not in html
    page = Reader(html)
    assert page.text.count(evil) == 6
    assert '<td class="number">3</td>' in html
    assert page.tags.count("tr") == 3


def drawn(marked, width=80):
    return to_text(View((), (), (), (marked,)), width).removesuffix("\n").split("\n")


def test_marks_are_a_line_under_the_text():
    assert drawn(Marked("1. here", "one two three", ((4, 7), (8, 10)))) == [
        "1. here",
        "  one two three",
        "      \u203e\u203e\u203e \u203e\u203e",
    ]
    assert drawn(Marked("", "one two")) == ["  one two"]
    assert to_text(View(("Said.",), (), (), (Marked("", ""),))) == "Said.\n"


def test_marks_go_over_line_breaks():
    assert drawn(Marked("", "one two\n\nthree", ((4, 12),))) == [
        "  one two",
        "      \u203e\u203e\u203e",
        "  three",
        "  \u203e\u203e\u203e",
    ]


def test_wide_characters_have_wide_marks_and_combining_ones_none():
    assert drawn(Marked("", "a\u6f22\u5b57b", ((1, 3),))) == ["  a\u6f22\u5b57b", "   " + "\u203e" * 4]
    assert drawn(Marked("", "e\u0301x", ((2, 3),))) == ["  e\u0301x", "   \u203e"]
    assert drawn(Marked("", "e\u0301x", ((0, 2),))) == ["  e\u0301x", "  \u203e"]


def test_marked_texts_are_wrapped_between_words():
    text = "one two three four " * 3
    found = drawn(Marked("", text, ((8, 18),)), 22)
    assert found[:3] == ["  one two three four", "          " + "\u203e" * 10, "  one two three four"]
    wide = drawn(Marked("", "\u6f22" * 25), 22)
    assert wide == ["  " + "\u6f22" * 10, "  " + "\u6f22" * 10, "  " + "\u6f22" * 5]
    assert drawn(Marked("", "x" * 25, ((19, 21),)), 22) == [
        "  " + "x" * 20,
        " " * 21 + "\u203e",
        "  " + "x" * 5,
        "  \u203e",
    ]


def test_a_marked_text_leaves_a_terminal_nothing_to_obey():
    assert drawn(Marked("\x1b[31m", "a\x1b[31mb\tc\u200b", ((0, 1),))) == [
        r"\x1b[31m",
        r"  a\x1b[31mb c\u200b",
        "  \u203e",
    ]
    assert drawn(Marked("", "a\x1bb", ((1, 2),))) == [r"  a\x1bb", "   " + "\u203e" * 4]


@settings(deadline=None)
@given(MARKED, st.integers(12, 60))
@example(Marked("", "\r000\x1b\x1b"), 12)
def test_every_marked_character_is_underlined_once(marked, width):
    lines = drawn(Marked("", marked.text, marked.marks), width)
    assert all(columns(line) <= width for line in lines)
    flagged = [marked.text[i] for start, end in marked.marks for i in range(start, end)]
    shown = [ch for ch in flagged if ch != "\n"]
    assert sum(line.count("\u203e") for line in lines) >= sum(
        columns(ch) for ch in shown if ch.isprintable() and not ch.isspace() and ch != "\u203e"
    )
    for ch in marked.text:
        if ch.isprintable() and not ch.isspace():
            assert any(ch in line for line in lines)


def columns(text):
    """Count columns not by our own function."""
    joined = ("Mn", "Me", "Cf")
    wide = ("W", "F")
    return sum(
        0 if unicodedata.category(ch) in joined else 1 + (unicodedata.east_asian_width(ch) in wide) for ch in text
    )


def test_html_marks_and_escapes():
    evil = "<script>&x"
    html = to_html(View((), (), (), (Marked(evil, f"a{evil}b", ((1, 1 + len(evil)),)),)))
    assert html == ('<h3>&lt;script&gt;&amp;x</h3><p class="text" dir="auto">a<mark>&lt;script&gt;&amp;x</mark>b</p>')
    assert to_html(View((), (), (), (Marked("", "ab"),))) == '<p class="text" dir="auto">ab</p>'


@settings(deadline=None)
@given(MARKED)
def test_html_keeps_the_whole_text(marked):
    html = to_html(View((), (), (), (marked,)))
    html = re.sub('<span class="badge">U\\+([0-9A-F]+)</span>', lambda badge: chr(int(badge[1], 16)), html)
    page = Reader(html.replace("\r", "").replace("\0", "&#xFFFD;"))
    assert page.text == (marked.title + marked.text).replace("\r", "").replace("\0", "\ufffd")
    assert page.tags.count("mark") == len(marked.marks)


def test_a_view_of_before_there_were_marked_texts():
    record = View(("A.",), (), ("tunescope",)).as_json()
    del record["texts"]
    assert View.from_json(record) == View(("A.",), (), ("tunescope",))

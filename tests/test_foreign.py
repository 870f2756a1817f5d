"""Text from outside is shown, and obeyed by nothing."""

from __future__ import annotations

import io
import json
import pickle
import re
import shlex
import subprocess
import sys
from unicodedata import category

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tools import examples, steers
from tunescope import foreign
from tunescope.errors import InputError, Problem, TunescopeError
from tunescope.progress import progress, say

STEERING = (
    *("\x1b", "\x07", "\x08", "\x00", "\x7f", "\x9b", "\x9d", "\u061c", "\u202e", "\u2066", "\u2069", "\u200f"),
    *("\u200b", "\u2028", "\u2029", "\ufeff", "\ufffa", "\U000e0041", "\ud800"),
)
PEOPLE = (
    *("", "a b", "zwj 👩\u200d🔬❤\ufe0f", "zwnj می\u200cخواهم", "क\u094d\u200dष", "soft\u00adhyphen", "é ✓ 日本"),
    "private \ue000",
)


@pytest.mark.parametrize("character", STEERING)
def test_what_steers_is_shown_as_a_badge_an_escape_or_a_replacement(character):
    text = f"a{character}b"
    number = f"U+{ord(character):04X}"
    if character not in "\u2028\u2029":  # a page's white space
        assert foreign.escape_text(text) == f'a<span class="badge">{number}</span>b'
        assert foreign.escape_sentence(text) == f'a<span class="badge">{number}</span>b'
        assert character not in foreign.replace_steering(text)
    escaped = character.encode("unicode_escape").decode()
    assert foreign.show(text) == foreign.show_line(text) == f"a{escaped}b"
    written = foreign.escape_json(json.dumps(text, ensure_ascii=False))
    assert character not in written
    assert json.loads(written) == text


def test_every_character_that_steers_is_known_and_no_other():
    unseen = [ch for ch in map(chr, range(0x110000)) if not ch.isprintable() and category(ch) not in ("Cn", "Co")]
    assert [ch for ch in unseen if (foreign.show(ch) != ch) != steers(ch)] == []


@pytest.mark.parametrize("text", PEOPLE)
def test_what_people_write_stays(text):
    assert foreign.show(text) == foreign.show_line(text) == text
    assert foreign.escape_text(text) == text
    assert foreign.replace_steering(text) == text
    assert foreign.escape_json(text) == text


def test_line_breaks_stay_where_lines_are_ours_and_are_shown_where_one_line_is():
    text = "line\nbreak\ttab\r\nreturn"
    assert foreign.show(text) == "line\nbreak\ttab\\r\nreturn"
    assert foreign.show_line(text) == "line\\nbreak\ttab\\r\\nreturn"
    assert foreign.escape_text(text) == foreign.replace_steering(text) == text
    assert foreign.replace_steering("a\rb") == "a\ufffdb"


def test_no_line_ends_before_a_per_cent_sign():
    said = foreign.escape_sentence("of 1,200 rows 12.5 % & 3 % of 4")
    assert said == 'of 1,200 rows <span class="whole">12.5 %</span> &amp; <span class="whole">3 %</span> of 4'


def test_words_from_right_to_left_stand_apart_in_a_sentence():
    assert foreign.escape_sentence("מודל אחד beats 83.74 بعد 7") == "<bdi>מודל אחד</bdi> beats 83.74 <bdi>بعد</bdi> 7"
    assert foreign.escape_text("מודל אחד") == "מודל אחד"


@given(st.text())
def test_json_reads_the_same_and_offsets_on_a_page_stay(text):
    assert json.loads(foreign.escape_json(json.dumps(text, ensure_ascii=False))) == text
    assert len(foreign.replace_steering(text).encode("utf-16-le", "surrogatepass")) == len(
        text.encode("utf-16-le", "surrogatepass")
    )


def test_a_gate_lets_text_pass_and_nothing_that_steers(monkeypatch):
    """Also what other packages print, warnings and tracebacks: they all write to sys.stderr."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, "ascii", write_through=True))
    foreign.gate_streams()
    once = sys.stderr
    foreign.gate_streams()
    assert sys.stderr is once
    assert sys.stderr.write("a\x1bb\n") == 4
    sys.stderr.writelines(["\u202e", "\udcff\r\n"])
    print("größe", file=sys.stderr)
    foreign.beside_gate(sys.stderr).write("\r\x1b[K")
    assert raw.getvalue() == rb"a\x1bb" + b"\n" + rb"\u202e\udcff\r" + b"\n" + rb"gr\xf6\xdfe" + b"\n\r\x1b[K"
    assert (sys.stderr.encoding, sys.stderr.isatty()) == ("ascii", False)


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("=cmd|'/c calc'!A1", "'=cmd|'/c calc'!A1"),
        ("+1+1", "'+1+1"),
        ("-1+1", "'-1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("＝1", "'＝1"),
        ("a\x1b=1", r"a\x1b=1"),
        ("-5.2", "-5.2"),
        ("+1e-3", "+1e-3"),
        ("-3 %", "-3 %"),
        ("'=1", "'=1"),
        (-5, -5),
        (None, None),
        ("", ""),
    ],
)
def test_a_spreadsheet_runs_no_cell(cell, shown):
    assert foreign.show_cell(cell) == shown


WORD = st.text("\x1b\u202e\x9b'\\\n\r\tx7é $`\"", min_size=1, max_size=8)


@settings(max_examples=examples(30))
@given(st.lists(WORD, min_size=1, max_size=3))
def test_a_command_means_the_same_to_a_shell(words):
    command = shlex.join(words)
    shown = foreign.show_command(command)
    assert [ch for ch in shown if steers(ch) or ch == "\n"] == []
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {shown}"], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == words


def test_what_is_no_command_is_shown_on_one_line():
    assert foreign.show_command("it's\n\x1b") == r"it's\n\x1b"
    assert foreign.show_command("a \ud800") == r"a \ud800"
    assert foreign.show_command(f"a {chr(0xDCFF)}") == r"a $'\xff'"


@pytest.mark.parametrize("name", ["default", "tool_use", "rag-2", "a.b", "console", "x" * 100])
def test_a_name_that_may_be_a_file_s(name):
    assert foreign.is_file_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../x", "/etc/x", "a/b", "a\\b", ".hidden", "a.", "a b", "~x", "-rf", "a\0", "a\n", "a\x1b"),
        *("a\u202e", "é", "CON", "nul.txt", "com1", "x" * 101, "C:x", "$x"),
    ],
)
def test_a_name_that_may_not(name):
    assert not foreign.is_file_name(name)


def test_an_error_can_be_printed_anywhere():
    """From Python too: `str(error)` is for people, and what it was made of holds the text as it is."""
    error = TunescopeError("a\x1b[2J\nNext: rm\n  indented\n")
    assert str(error) == "a\\x1b[2J\n  Next: rm\n  indented\n"
    assert error.args == ("a\x1b[2J\nNext: rm\n  indented\n",)
    problem = Problem("a\n\x1b.json", 3, "b\nNext: rm", "c")
    error = InputError([problem], "Type 'd\ne'.")
    assert str(error) == "a\\n\\x1b.json:3: found b\\nNext: rm; expected c\nType 'd\\ne'."
    assert error.problems == (problem,)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_the_progress_line_steers_and_its_words_don_t(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "utf-8", write_through=True)
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", stream)
    foreign.gate_streams()
    with progress("a\x1b[2J\n", 2) as update:
        update(1, lambda: "b\r")
    say("c\nd")
    shown = re.sub(r"\x1b\[[\d;]*m", "", raw.getvalue().decode())  # colours
    bar = "━" * 12 + "╺" + "━" * 11 + r" a\x1b[2J\n: 1 of 2, 0 s, b\r"
    assert shown == f"\r{bar}\x1b[K\r\x1b[K\r\x1b[Kc\\nd\n"

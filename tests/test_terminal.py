"""What a terminal shows: every verb's view at 80 and 120 columns, whole names, colour, and how far the work is."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from contextlib import redirect_stderr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracle.server import Said, completion, serving
from tests.terminal.rules import faults_of, is_one_name
from tests.terminal.runs import WIDTHS, recorded, recorded_text, views
from tests.test_views import VIEWS
from tests.tools import ROOT, write_rows
from tunescope.progress import Waiting, complain, progress, say
from tunescope.terminal import draw, fold, is_plain, to_text
from tunescope.verbs import VERBS
from tunescope.views import Marked, Table, View

COLOUR = re.compile(r"\x1b\[[\d;]*m")
PATH = "/home/somebody/projects/a-very-long-name/data/instructions/of-last-year/rows.jsonl:12"


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Return what stands for a terminal of 80 columns."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def test_every_verb_is_recorded():
    assert {*views(), "demo"} == {name for name, verb in VERBS.items() if verb.proven}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("verb", views())
def test_a_verb_s_view(verb, width):
    view = recorded(verb)
    assert to_text(view, width) == recorded_text(verb, width)
    assert faults_of(view, width) == []


@pytest.mark.parametrize("verb", views())
def test_colour_is_added_to_the_same_text(verb, terminal):
    draw(recorded(verb), terminal)
    shown = terminal.getvalue()
    assert COLOUR.sub("", shown) == recorded_text(verb, 80)
    assert COLOUR.search(shown) or recorded_text(verb, 80).count("\n\n") == 0


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
@pytest.mark.parametrize("verb", views())
def test_a_plain_terminal_has_the_text_alone(verb, name, value, terminal, monkeypatch):
    monkeypatch.setenv(name, value)
    draw(recorded(verb), terminal)
    assert terminal.getvalue() == recorded_text(verb, 80)


@pytest.mark.parametrize("verb", views())
def test_a_pipe_has_the_text_alone(verb, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    stream = io.StringIO()
    draw(recorded(verb), stream)
    assert stream.getvalue() == recorded_text(verb, 120)


@given(VIEWS, st.sampled_from([80, 100, 120]))
def test_any_view_fits_with_whole_names(view, width):
    assert faults_of(view, width) == []


def table(*columns, rows):
    """Return the lines of a table at 80 columns."""
    return to_text(View((), (Table("", columns, tuple(rows)),)), 80).removesuffix("\n").split("\n")


def test_a_long_name_has_a_line_of_its_own_under_its_row():
    rows = [("ebd1aa4c9586d7f0", PATH, 1.5), ("08286f9ed7a9b57a", PATH.upper(), None)]
    assert table("row id", "place", "score", rows=rows) == [
        "  row id            score",
        "    place",
        "  ebd1aa4c9586d7f0    1.5",
        f"    {PATH}",
        "  08286f9ed7a9b57a      –",
        f"    {PATH.upper()}",
    ]


def test_of_few_long_names_only_these_have_lines_of_their_own():
    rows = [("ebd1aa4c9586d7f0", PATH, 1.5), ("08286f9ed7a9b57a", "rows.jsonl:3", None)]
    assert table("row id", "place", "score", rows=rows) == [
        "  row id            place         score",
        "  ebd1aa4c9586d7f0                  1.5",
        f"    {PATH}",
        "  08286f9ed7a9b57a  rows.jsonl:3      –",
    ]
    assert table("model", "n", rows=[("base", 1), (PATH, 2)]) == ["  model  n", "  base   1", f"  {PATH}", "         2"]


def test_a_long_first_name_stands_above_its_rows_once():
    assert table("model", "aspect", "mean", rows=[(PATH, "depth", 2), (PATH, "clarity", 3), ("b", "depth", 4)]) == [
        "  model",
        "    aspect   mean",
        f"  {PATH}",
        "    depth       2",
        "    clarity     3",
        "  b",
        "    depth       4",
    ]


def test_texts_that_are_compared_go_below_together_under_their_headings():
    rows = [
        ("a" * 16, "b" * 16, "Which trade does Pamma have?", "One is a baker.", "The other one is a sailor, I think.")
    ]
    assert table("A id", "B id", "the question", "A says", "B says", rows=rows) == [
        "  A id              B id              A says",
        "  aaaaaaaaaaaaaaaa  bbbbbbbbbbbbbbbb  One is a baker.",
        "    the question: Which trade does Pamma have?",
        "    B says: The other one is a sailor, I think.",
    ]


def test_a_column_whose_long_names_are_below_can_follow_them():
    text = "some words that are an answer"
    rows = [("a" * 16, "b" * 16, text, text, f"see {PATH}"), *[("c" * 16, "d" * 16, text, text, text)] * 2]
    lines = table("A id", "B id", "the question", "A says", "B says", rows=rows)
    assert lines[:2] == ["  A id              B id", f"  {'a' * 16}  {'b' * 16}"]
    below = [f"    the question: {text}", f"    A says: {text}"]
    assert lines[2:6] == [*below, "    B says: see", f"    {PATH}"]
    assert lines[6:10] == [f"  {'c' * 16}  {'d' * 16}", *below, f"    B says: {text}"]


def test_a_table_of_numbers_goes_on_below_with_the_names_of_its_rows():
    names = [f"number {i:02}" for i in range(9)]
    rows = [("open", "acc", *range(1000, 1009)), ("open", "f1", *range(9))]
    assert table("task", "metric", *names, rows=rows) == [
        "  task  metric  number  number  number  number  number  number   number   number",
        "                    00      01      02      03      04      05       06       07",
        "  open  acc      1,000   1,001   1,002   1,003   1,004   1,005    1,006    1,007",
        "  open  f1           0       1       2       3       4       5        6        7",
        "",
        "  task  metric  number 08",
        "  open  acc         1,008",
        "  open  f1              8",
    ]


def test_a_text_that_would_be_many_lines_high_goes_below():
    text = "an answer of many words that would stand in a narrow column " * 3
    rows = [("fault", 12, 34, "56.78 to 90.12 %", "some other words here", text)]
    lines = table("name", "rows", "surely wrong", "95 % interval", "kind", "meaning", rows=rows)
    assert lines[:2] == ["  name   rows  surely wrong  95 % interval     kind", "    meaning"]
    assert " ".join(" ".join(lines[3:]).split()) == text.strip()


def test_wide_characters_keep_columns_straight_and_are_wrapped_inside():
    assert table("a", "b", rows=[("漢字", 1), ("e\u0301", 2)]) == ["  a     b", "  漢字  1", "  e\u0301     2"]
    assert fold("漢字" * 3, 5) == ["漢字", "漢字", "漢字"]
    assert fold("ไทยไทย", 3) == ["ไทย", "ไทย"]
    assert fold("cafe\u0301cafe\u0301", 4) == ["cafe\u0301cafe\u0301"]


def test_a_command_goes_on_after_a_backslash_and_keeps_its_words():
    command = f"tunescope select {'r' * 40} --from runs/check --where 'surely wrong = false or line > 10' --top 3"
    text = to_text(View((), (), (command, "tunescope check 'an open quotation mark " + "x" * 80)), 80)
    assert text == (
        "Next:\n"
        f"  tunescope select {'r' * 40} --from runs/check \\\n"
        "      --where 'surely wrong = false or line > 10' --top 3\n"
        f"  tunescope check 'an open quotation mark {'x' * 80}\n"
    )
    steering = "tunescope check '\x1b a' --where 'it is $(so)' " + "--columns a=b " * 8
    lines = to_text(View((), (), (steering.strip(),)), 80).splitlines()
    assert lines[1].startswith(r"  tunescope check $'\x1b a' --where 'it is $(so)' ")
    assert all(len(line) <= 80 for line in lines)


def test_titles_are_wrapped():
    title = f"1. {PATH}, row 890283b812129a44: combined 0.99, influence 0.0102, alignment -0.00213"
    text = to_text(View((), (Table(title, ("a",), ()),), (), (Marked(title, "text"),)), 80)
    assert all(len(line) <= 80 or is_one_name(line) for line in text.split("\n"))
    assert text.count(PATH) == 2


@pytest.mark.parametrize(
    ("is_terminal", "variables", "plain"),
    [
        (True, {}, False),
        (True, {"NO_COLOR": ""}, False),
        (True, {"NO_COLOR": "0"}, True),
        (True, {"TERM": "dumb"}, True),
        (True, {"TERM": "unknown"}, True),
        (False, {}, True),
    ],
)
def test_what_is_plain(is_terminal, variables, plain, terminal, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_plain(terminal if is_terminal else io.StringIO()) is plain


def lines_of(stream):
    """Return what the line that changes showed, one after the other, without colours."""
    return [line.removesuffix("\x1b[K") for line in COLOUR.sub("", stream.getvalue()).split("\r")[1:]]


def test_a_bar_shows_how_much_how_fast_and_how_long(terminal):
    now = [100.0]
    with redirect_stderr(terminal), progress("answers", 100, lambda: now[0]) as update:
        for done, seconds in ((40, 30.0), (41, 2.0), (50, 8.0), (100, 50.0)):
            now[0] += seconds
            update(done, lambda: "5 tokens/s")
        Waiting().note("429: slow down", 12)
    lines = [line.lstrip("━╺╸ ") for line in lines_of(terminal)]
    assert lines == [
        "answers: 40 of 100, 30 s, 5 tokens/s",
        "answers: 41 of 100, 32 s, about 2.0 minutes left, 30.…",
        "answers: 50 of 100, 40 s, about 50 s left, 1.0 a seco…",
        "answers: 100 of 100, 1.5 minutes, 1.0 a second, 5 tok…",
        "answers: 100 of 100, waiting: 429: slow down, 12 s, 1…",
        "",
    ]
    assert all(len(line) < 80 for line in lines_of(terminal))


@pytest.mark.parametrize("name", ["NO_COLOR", "TERM"])
def test_a_plain_terminal_has_a_line_per_tenth_and_nothing_that_steers(name, terminal, monkeypatch):
    monkeypatch.setenv(name, "dumb")
    monkeypatch.setenv("COLUMNS", "200")
    with redirect_stderr(terminal), progress("answers", 20, lambda: 7.0) as update:
        for done in range(1, 21):
            update(done)
        Waiting().note("429: slow down", 12)
    assert terminal.getvalue() == "".join(f"answers: {n} of 20, 0 s\n" for n in range(2, 21, 2)) + (
        "waiting: 429: slow down, 12 s\n"
    )


def test_one_unit_has_no_bar(terminal):
    with redirect_stderr(terminal), progress("stretches", 1) as update:
        update(0)
        update(1)
    assert lines_of(terminal) == [""]


def test_what_is_said_is_wrapped_in_a_terminal_alone(terminal, capsys):
    error = f"several problems:\n  {PATH}: found a number; expected one of the words that are listed"
    with redirect_stderr(terminal):
        complain(error)
        say("word " * 20)
    assert terminal.getvalue() == (
        f"several problems:\n  {PATH}:\n  found a number; expected one of the words that are listed\n"
        f"\r\x1b[K{'word ' * 15}word\n{'word ' * 3}word\n"
    )
    complain(error)
    assert capsys.readouterr().err == f"{error}\n"


def in_terminal(*arguments, columns=80, **variables):
    """Run a command with a terminal for stdin, stdout and stderr; return its exit code and what was shown."""
    pid, parent = os.forkpty()
    if pid == 0:
        try:
            os.environ.pop("NO_COLOR", None)
            source = {"COLUMNS": str(columns), "TERM": "xterm-256color", "PYTHONPATH": str(ROOT / "src")}
            os.environ |= {**source, **variables}
            os.execv(sys.executable, [sys.executable, "-m", "tunescope", *arguments])
        finally:
            os._exit(127)
    shown = b""
    while True:
        try:
            piece = os.read(parent, 65536)
        except OSError:  # Linux: nobody has the other end any more
            break
        if not piece:
            break
        shown += piece
    os.close(parent)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode().replace("\r\n", "\n")


def test_a_command_in_a_real_terminal(workplace):
    write_rows(workplace / "rows.jsonl", [{"instruction": "Say nothing.", "input": "", "output": ""}])
    code, shown = in_terminal("check", "rows.jsonl", "--out", "checked", columns=90)
    assert code == 0
    assert "\x1b[1mFaults\x1b[0m\n" in shown
    text = COLOUR.sub("", shown)
    view = View.from_json(json.loads((workplace / "checked/run.json").read_text("utf-8"))["view"])
    assert text.endswith(to_text(view, 90))
    said = text.removesuffix(to_text(view, 90))
    assert said.strip("\r\x1b[K") == ""
    for name, value in {"NO_COLOR": "1", "TERM": "dumb"}.items():
        code, shown = in_terminal("check", "rows.jsonl", "--out", "checked", columns=80, **{name: value})
        assert (code, shown) == (0, f"checked holds this run already; nothing was run again\n{to_text(view, 80)}")


def test_progress_and_waits_in_a_real_terminal(workplace):
    pytest.importorskip("openai")
    rows = [{"instruction": f"Question {n}?", "input": "", "output": "An answer."} for n in range(4)]
    write_rows(workplace / "rows.jsonl", rows)

    def behave(body, call):
        return (
            Said({"error": {"message": "slow down"}}, 429, headers=(("retry-after", "4.2"),))
            if call == 1
            else (Said(completion("Score: 4\nRight.")))
        )

    with serving(behave) as server:
        options = ["--oracle", server.url, "--out", "served", "--concurrency", "1", "--response-format", "tags"]
        code, shown = in_terminal("repair", "rate", "rows.jsonl", *options, OPENAI_API_KEY="none")
    assert code == 0, shown
    assert "rows: 0 of 4, waiting: 429: slow down" in COLOUR.sub("", shown)
    assert re.search(r"\r━{24} rows: 4 of 4, ", COLOUR.sub("", shown))
    assert "\r\x1b[K" in shown
    assert all(len(line) <= 80 for line in re.split(r"[\r\n]", COLOUR.sub("", shown).replace("\x1b[K", "")))

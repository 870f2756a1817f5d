"""`trace --text`: one text, without a model, from the command line too."""

from __future__ import annotations

import json
import unicodedata

import pytest
from tests.tools import alpaca, tunescope, write_rows
from tests.verbs.trace.planted import Writer, put, rows

from tunescope import runs
from tunescope.errors import SettingsError
from tunescope.terminal import to_text
from tunescope.verbs.trace import index_rows, trace
from tunescope.verbs.trace.settings import IndexSettings, TraceSettings
from tunescope.verbs.trace.single import ALPHA, COMPILE_ABOVE
from tunescope.verbs.trace.view import _mark_text

ROWS = rows(200)


@pytest.fixture
def path(workplace):
    return str(write_rows(workplace / "rows.jsonl", ROWS))


def traced(path, text, **more):
    return trace(TraceSettings(rows=(path,), text=text, **more))


def test_a_borrowed_stretch_is_found(path):
    writer = Writer(5)
    borrowed = " ".join(ROWS[17]["output"].split()[5:25])
    text = f"{writer.text(10)} {borrowed} {writer.text(10)}"
    run = traced(path, text)
    (span,) = run.result["spans"]
    assert borrowed in span["text"]
    assert text[span["char_start"] : span["char_end"]] == span["text"]
    assert (span["kind"], span["answer_id"], span["shift"], span["ref_bits"], span["contrast_bits"]) == (
        *("verbatim", None, None, None, None),
    )
    assert span["p_null"] == 1 / 201
    assert span["score"] == 1 - span["p_null"]
    assert span["settings"] == {"alpha": ALPHA, "top": 5}
    assert span["evidence"] == ["verbatim"]
    (row, *_) = span["rows"]
    assert (row["line"], row["field"], row["edits"], row["exact"]) == (18, "response", 0, True)
    own = ROWS[17]["output"]
    for a, b, c, d in row["shared"]:
        assert text[a:b] == own[c:d]
    assert list(run.records("spans")) == run.result["spans"]
    assert run.result["words"] == 40
    assert run.result["flagged"] == span["words"]
    assert run.result["p"] == span["p_null"]
    assert run.result["rows_named"][0]["row_id"] == row["row_id"]
    assert run.result["rows_named"][0]["p_null"] == span["p_null"]
    lines = to_text(run.view, 100).splitlines()
    assert lines[0].startswith(f"One stretch of this text (underlined), {span['words']} of its 40 words, ")
    under = [line for line in lines if line.strip() and set(line.strip()) <= {"\u203e", " "}]
    assert sum(line.count("\u203e") for line in under[: len(under) // 2 + 1]) >= len(borrowed)
    assert f"\n1. {path}:18, row {row['row_id']}, response: " in to_text(run.view, 300)
    assert run.view.texts[0].text == text
    assert run.view.texts[0].marks == ((span["char_start"], span["char_end"]),)
    own_shown = run.view.texts[1]
    assert "".join(own_shown.text[a:b] for a, b in own_shown.marks) in own
    assert run.view.next[0] == f"tunescope why {row['row_id']}"


def test_nothing_borrowed(path):
    run = traced(path, Writer(6).text(12))
    assert run.result["spans"] == []
    assert run.result["flagged"] == 0
    assert run.result["p"] > ALPHA
    assert run.view.texts[0].marks == ()


def test_only_unknown_words(path):
    run = traced(path, "Xylophon quetzalcoatl \u4f60\u597d \U0001f600")
    assert (run.result["spans"], run.result["rows_named"], run.result["p"]) == ([], [], 1.0)
    assert run.view.sentences[0] == "No row shares an informative stretch with this text's 5 words."
    assert run.view.next == (f"tunescope trace --answers ANSWERS --rows {path}",)


def test_a_very_long_text_is_the_same_compiled(path):
    text = " ".join(row["output"] for row in ROWS[:60])
    assert len(text.split()) > COMPILE_ABOVE
    run = traced(path, text)
    assert run.result["flagged"] == len(text.split()) == 2400
    assert [span["rows"][0]["line"] for span in run.result["spans"]] == list(range(1, 61))


def test_top(path):
    run = traced(path, ROWS[3]["output"], top=1)
    assert [len(span["rows"]) for span in run.result["spans"]] == [1]
    assert len(run.result["rows_named"]) == 1
    assert len(run.view.texts) == 2


def test_of_a_row_with_the_words_in_its_instruction_the_response_is_shown_too(path):
    run = traced(path, ROWS[3]["instruction"], top=1)
    _, shared, response = run.view.texts
    assert ", instruction: " in shared.title
    assert response.title == f"The response of row {run.result['rows_named'][0]['row_id']}"
    assert response.text == ROWS[3]["output"]


@pytest.mark.parametrize("text", ["", "  \n", "\u2028"])
def test_no_text(path, text):
    with pytest.raises(SettingsError, match="--text has no text; expected a sentence"):
        traced(path, text)
    assert not runs.root().exists(), "refused before anything is indexed"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "found neither --text nor --answers; type --text"),
        ({"text": "a", "answers": "b"}, "found both --text and --answers; expected one of them"),
        ({"text": "a", "reference": "r"}, "--reference needs --answers"),
        ({"text": "a", "shift": "r"}, "--shift needs --answers"),
        ({"text": "a", "embedder": "all-minilm-l6-v2"}, "--embedder needs --answers"),
        ({"answers": "a", "workers": 2}, "--engine and --workers are for --answers with --stream"),
        ({"text": "a", "stream": True, "engine": "ray"}, "--engine and --workers are for --answers with --stream"),
        ({"answers": "a", "embedder": " "}, "--embedder is empty; there is all-minilm-l6-v2"),
    ],
)
def test_settings_that_cant_work(path, settings, message):
    with pytest.raises(SettingsError, match=message):
        trace(TraceSettings(rows=(path,), **settings))


def test_a_pipe_for_both(workplace):
    with pytest.raises(SettingsError, match="both the rows and --text are read from a pipe"):
        trace(TraceSettings(rows=("-",), text="-"))


def test_other_unicode(path, workplace):
    """What a row says composed and an answer decomposed is the same; offsets are those of each."""
    shared = "Le château était à côté du musée, près de la forêt brûlée d'Épinal"
    other = write_rows(workplace / "other.jsonl", [*ROWS, alpaca("Où ?", f"{ROWS[0]['output']} {shared}")])
    text = unicodedata.normalize("NFD", shared.upper()) + " \U0001f600\ud800"
    run = traced(str(other), text)
    (span,) = run.result["spans"]
    assert text[span["char_start"] : span["char_end"]] == span["text"] == unicodedata.normalize("NFD", shared.upper())
    row = span["rows"][0]
    own = f"{ROWS[0]['output']} {shared}"
    assert row["line"] == 201
    assert [own[c:d] for _, _, c, d in row["shared"]] == [shared]
    assert to_text(run.view, 200).encode("utf-8", "backslashreplace")


def test_python_and_the_function_after_a_trace(path):
    """`trace.index` is a module once a trace has run; indexing must go on to work in the same process."""
    import tunescope as package

    one = package.trace(rows=path, text=ROWS[0]["output"])
    again = package.trace_index(rows=path)
    assert again.result["rows"] == 200
    assert one.result["rows_named"][0]["line"] == 1
    assert index_rows(IndexSettings(rows=(path,))).path == again.path


# The command line


@pytest.mark.slow
def test_the_command_line(path, workplace):
    text = " ".join(ROWS[2]["output"].split()[:20])
    done = tunescope("trace", "rows.jsonl", "--text", text, folder=workplace)
    assert (done.returncode, done.stdout.splitlines()[0][:9]) == (0, "One sente"), done.stderr
    by_name = tunescope("trace", "--text", text, "--rows", "rows.jsonl", "--json", folder=workplace)
    result = json.loads(by_name.stdout)
    assert list(result) == [
        *("copies", "spans", "words", "flagged", "p", "rows_indexed", "rows_named", "null_source", "run"),
    ]
    assert result["rows_named"][0]["line"] == 3
    piped = tunescope("trace", "rows.jsonl", "--text", "-", "--json", folder=workplace, stdin=f"{text}\n".encode())
    assert json.loads(piped.stdout) == result
    made = tunescope("trace", "index", "rows.jsonl", "--json", folder=workplace)
    folder = json.loads(made.stdout)["run"]
    assert json.loads(tunescope("trace", folder, "--text", text, "--json", folder=workplace).stdout) == result
    rows_piped = tunescope(
        "trace", "-", "--text", text, "--json", folder=workplace, stdin=(workplace / "rows.jsonl").read_bytes()
    )
    assert json.loads(rows_piped.stdout)["spans"][0]["text"] == text
    hyphen = tunescope("trace", "rows.jsonl", "--text", f"- {text}", "--json", folder=workplace)
    assert json.loads(hyphen.stdout)["spans"][0]["text"] == text


@pytest.mark.slow
def test_refusals_of_the_command_line(path, workplace):
    def refused(*words, **more):
        done = tunescope("trace", *words, folder=workplace, **more)
        assert done.returncode == 1, (done.stdout, done.stderr)
        assert done.stdout == ""
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("tunescope: ")][-1:]
        assert "Traceback" not in done.stderr
        return line

    assert refused("rows.jsonl").startswith("tunescope: found neither --text nor --answers")
    assert refused("rows.jsonl", "--text", "-") == "tunescope: the pipe has no text; expected a sentence"
    assert refused("rows.jsonl", "--text", "-", stdin=b"caf\xe9 au lait", PYTHONIOENCODING="utf-8:strict") == (
        "tunescope: the pipe isn't valid UTF-8 (invalid continuation byte); expected a sentence"
    )
    assert "no such file" in refused("absent.jsonl", "--text", "a")
    assert "no such file" in refused("rows.jsonl", "--answers", "absent.jsonl")
    assert "found no answers.jsonl" in refused("rows.jsonl", "--answers", ".")
    (workplace / "chat.jsonl").write_text('{"messages": []}\n')
    assert "found the columns messages" in refused("rows.jsonl", "--answers", "chat.jsonl")
    put(workplace / "a.jsonl", "Any words.")
    assert "no such folder" in refused("rows.jsonl", "--answers", "a.jsonl", "--shift", "absent")
    assert "absent.jsonl: found no such file" in refused(
        "rows.jsonl", "--answers", "a.jsonl", "--reference", "absent.jsonl"
    )
    assert "absent/*.json: found no file that matches" in refused(
        "rows.jsonl", "--answers", "a.jsonl", "--reference", "absent/*.json"
    )
    assert "a directory" in refused(".", "--text", "a")


def test_help_of_a_verb_that_others_are_under(workplace):
    of_both = tunescope("trace", "--help", folder=workplace).stdout
    assert "Find the rows that a text's words come from." in of_both
    assert "--answers" in of_both
    assert "index" in of_both
    of_index = tunescope("trace", "index", "--help", folder=workplace).stdout
    assert "--on-bad" in of_index
    assert "--answers" not in of_index
    assert tunescope("trace", "index", folder=workplace).returncode == 2
    mistyped = tunescope("trace", "idx", "--text", "a", folder=workplace)
    assert (mistyped.returncode, "idx: found no such file" in mistyped.stderr) == (1, True)


@pytest.mark.slow
def test_a_gate_on_a_share(path, workplace):
    done = tunescope("trace", "rows.jsonl", "--text", "Any words", "--fail-on", "flagged > 5%", folder=workplace)
    assert done.returncode == 3
    assert done.stderr.endswith("can't be told: a number it needs is missing\n")
    done = tunescope("trace", "rows.jsonl", "--text", "Any words", "--fail-on", "p <= 0.05", folder=workplace)
    assert done.returncode == 0


def test_too_few_null_texts_are_told(workplace):
    """With 18 texts p can't be below 1/19."""
    few = rows(18, 5)
    write_rows(workplace / "few.jsonl", few)
    run = trace(TraceSettings(rows=("few.jsonl",), text=few[0]["output"]))
    assert run.view.sentences[0].startswith("This text is the whole response of row")
    assert run.view.sentences[1].startswith(
        "There are only 18 null texts, so p can't be below 0.053. For p = 0.05 at least 19 are needed."
    )
    assert run.result["rows_named"][0]["line"] == 1


def test_a_long_text_is_shown_mark_text_its_marks():
    text = "a" * 3000 + " borrowed " + "b" * 3000
    shown = _mark_text(text, ((3001, 3009),))
    assert len(shown.text) < 300
    assert [shown.text[start:end] for start, end in shown.marks] == ["borrowed"]
    assert (shown.text[:2], shown.text[-2:]) == ("… ", " …")
    assert _mark_text("short", ()).text == "short"

"""Whatever rows and answers say: a refusal in one sentence or a run whose places are right."""

from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.tools import examples

from tunescope.answers import read_answers
from tunescope.errors import TunescopeError
from tunescope.matching.word_ids import split_words
from tunescope.terminal import to_text
from tunescope.verbs.trace import trace
from tunescope.verbs.trace.settings import TraceSettings
from tunescope.views import to_html

ODD = [
    *("a", "B", "the", "The", "rare", "\u00df", "SS", "\u0130", "i", "e\u0301", "\u00e9"),
    *("\u0958", "\u0344", "q\u0307\u0323"),
    *("\u4f60\u597d", "\u304b\u3099", "\uac00", "\u1100\u1161", "\U0001f600", "\U0001f469\u200d\U0001f4bb", "\u200b"),
    *("---", "-----", "|", "...", "_", "____", "\x00", "\x1b[31m", "\ufeff", "\u202e", "\n", "\t", "\u2028", " "),
]  # fmt: skip
PIECES = st.lists(st.sampled_from(ODD) | st.text(max_size=3), max_size=12) | st.lists(
    st.sampled_from(ODD) | st.text(max_size=3), min_size=10, max_size=40
)
TEXTS = st.builds(lambda glue, pieces: glue.join(pieces), st.sampled_from([" ", "", "\n"]), PIECES)
SURROGATES = st.builds(lambda a, b: a + "\ud800" + b, TEXTS, TEXTS)
ROWS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6)
FILLER = [
    {"instruction": "x", "input": "", "output": f"{i} two three four five six seven eight nine"} for i in range(60)
]
"""Rows that make the others' words rare, and a null."""


def write(path: Path, records) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def check(text: str, spans, fields) -> None:
    """Hold all places of an answer's spans against its text and the rows'."""
    at = 0
    for span in spans:
        assert at <= span["char_start"] < span["char_end"] <= len(text)
        at = span["char_end"]
        assert text[span["char_start"] : span["char_end"]] == span["text"]
        assert 0 < span["p_null"] <= 1
        for row in span["rows"]:
            own = fields[row["row_id"]][row["field"]]
            assert 0 <= row["row_char_start"] < row["row_char_end"] <= len(own)
            for a, b, c, d in row["shared"]:
                assert 0 <= a < b <= len(text)
                assert row["row_char_start"] <= c < d <= row["row_char_end"]
                if text[a:b].isascii() and own[c:d].isascii():
                    assert len(split_words(text[a:b])) == len(split_words(own[c:d]))


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    monkeypatch.setenv("TUNESCOPE_RUNS", str(tmp_path / "runs"))


@pytest.mark.slow
@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS, st.data())
def test_any_answers(rows, data):
    own = st.sampled_from([text for row in rows for text in row])
    more = st.builds(lambda a, b, c: a + b + c, st.just("") | TEXTS, own, st.just("") | own)
    texts = st.lists(st.one_of(TEXTS, own, more), min_size=1, max_size=4)
    prompts, idents = TEXTS | own, st.text(max_size=4)
    answers = [
        {"prompt_id": data.draw(idents), "prompt": data.draw(prompts), "text": text} for text in data.draw(texts)
    ]
    reference = data.draw(st.none() | st.lists(TEXTS, min_size=1, max_size=3))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        records = [*FILLER, *({"instruction": a, "input": "", "output": b} for a, b in rows * 2)]
        rows_at = write(folder / "rows.jsonl", records)
        asked = {"rows": (rows_at,), "answers": write(folder / "a.jsonl", answers), "false_positive_rate": 0.5}
        if reference is not None:
            records_of_it = [{"prompt_id": str(i), "prompt": "x", "text": text} for i, text in enumerate(reference)]
            asked["reference"] = write(folder / "r.jsonl", records_of_it)
        with suppress(TunescopeError):
            run = trace(TraceSettings(**asked))
            fields = {record["row_id"]: record["fields"] for record in run.records("rows")}
            kept = list(read_answers(run.path / "answers.jsonl"))
            assert [answer.text for answer in kept] == [answer["text"] for answer in answers]
            spans = list(run.records("spans"))
            for answer in kept:
                if [other.answer_id for other in kept].count(answer.answer_id) == 1:
                    check(answer.text, [span for span in spans if span["answer_id"] == answer.answer_id], fields)
            missing = [line["reason"] for line in run.tables["answers"].to_pylist()]
            assert missing == [None if split_words(answer.text) else "no words" for answer in kept]
            assert to_text(run.view)
            assert to_html(run.view)


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS, st.data())
def test_any_text(rows, data):
    own = st.sampled_from([text for row in rows for text in row])
    text = data.draw(st.one_of(TEXTS, SURROGATES, own, st.builds(lambda a, b: a + b, own, TEXTS)))
    with tempfile.TemporaryDirectory() as name:
        records = [*FILLER, *({"instruction": a, "input": "", "output": b} for a, b in rows)]
        with suppress(TunescopeError):
            run = trace(TraceSettings(rows=(write(Path(name) / "rows.jsonl", records),), text=text))
            fields = {}
            for line, record in enumerate(records, 1):
                fields[line] = {"instruction": record["instruction"], "response": record["output"]}
            text = text.strip()
            check(
                text,
                run.result["spans"],
                {row["row_id"]: fields[row["line"]] for span in run.result["spans"] for row in span["rows"]},
            )
            shown = run.view.texts[0]
            assert shown.text == text
            for marked in run.view.texts:
                at = 0
                for a, b in marked.marks:
                    assert at <= a < b <= len(marked.text), "marks are in order and apart"
                    at = b
            assert to_text(run.view).encode("utf-8", "backslashreplace")
            assert to_html(run.view)


def test_half_a_character_is_refused(tmp_path):
    rows = write(tmp_path / "rows.jsonl", FILLER)
    answers = write(tmp_path / "a.jsonl", [{"prompt_id": "1", "prompt": "x", "text": "a \ud800"}])
    with pytest.raises(TunescopeError, match="found half a surrogate pair"):
        trace(TraceSettings(rows=(rows,), answers=answers))


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["prompt_id", "prompt", "text", "output", "instruction", "generator", "messages", "turn"]),
        inner, max_size=6,
    ),
    max_leaves=8,
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_files_that_may_hold_no_answers(content):
    """Broken answers are refused by what reads them; no other exception comes out."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "a.jsonl"
        path.write_bytes(content)
        filler = {"instruction": "x", "input": "", "output": "one two three four five six seven eight nine"}
        rows = write(Path(name) / "rows.jsonl", [filler] * 3)
        with suppress(TunescopeError):
            trace(TraceSettings(rows=(rows,), answers=str(path)))

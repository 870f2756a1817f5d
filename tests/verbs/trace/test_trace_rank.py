"""Rows in the order of how likely they are, and what is written about them."""

from __future__ import annotations

import json
import unicodedata

import numpy as np
import pytest
from tests.tools import alpaca
from tests.verbs.trace.planted import Writer, indexed, rows

from tunescope.matching.word_ids import word_offsets
from tunescope.verbs.trace.find import Finder
from tunescope.verbs.trace.rank import rank
from tunescope.verbs.trace.records import TracedText, row_record

pytestmark = pytest.mark.usefixtures("workplace")


def ranked(folder, records, text, prompt="", embed=None, limit=None):
    """Rank all rows that share a chain with a text; return the index, the traced text and the candidates."""
    index = indexed(folder, records)
    matches = Finder(index).find(index.numbering.look_up(text))
    numbers = list(range(len(matches.chains.bits)))[:limit]
    traced = TracedText(None, text, word_offsets(text), matches)
    return index, traced, rank(index, matches.chains, numbers, prompt, text, embed)


def lines(candidates):
    return [each.row.location.line for each in candidates]


WRITER = Writer(21)
SPAN = WRITER.text(20)
PAD = [WRITER.text(30) for _ in range(12)]
OTHERS = rows(40, seed=22)


def test_bits_come_first(tmp_path):
    words = SPAN.split()
    records = [
        alpaca("one", f"{PAD[0]} {' '.join(words[:8])} {PAD[1]}"),
        alpaca("two", f"{PAD[2]} {SPAN} {PAD[3]}"),
        alpaca("three", f"{PAD[4]} {' '.join(words[:15])} {PAD[5]}"),
    ]
    _, traced, candidates = ranked(tmp_path, [*records, *OTHERS], SPAN)
    assert lines(candidates)[:3] == [2, 3, 1]
    assert [c.bits for c in candidates] == sorted((c.bits for c in candidates), reverse=True)
    assert candidates[0].bits == traced.matches.chains.bits.max()
    assert all(c.prompt_bm25 is None and c.cosine is None for c in candidates)


def test_a_response_before_an_instruction_of_as_many_bits(tmp_path):
    def chat(system, user, assistant):
        contents = {"system": system, "user": user, "assistant": assistant}
        return {"messages": [{"role": role, "content": text} for role, text in contents.items()]}

    records = [
        chat(f"{PAD[4]} {SPAN}", "x", PAD[5]),
        chat("x", f"{PAD[0]} {SPAN}", PAD[1]),
        chat("x", PAD[2], f"{SPAN} {PAD[3]}"),
        *(chat("x", r["instruction"], r["output"]) for r in OTHERS),
    ]
    _, _, candidates = ranked(tmp_path, records, SPAN)
    assert [(c.row.location.line, c.field) for c in candidates[:3]] == [
        (3, "response"),
        (1, "system"),
        (2, "instruction"),
    ]


def test_a_row_counts_once_with_its_best_text(tmp_path):
    half = " ".join(SPAN.split()[:9])
    _, _, candidates = ranked(tmp_path, [alpaca(f"{PAD[0]} {SPAN}", f"{half} {PAD[1]}"), *OTHERS], SPAN)
    assert [(c.row.location.line, c.field) for c in candidates if c.row.location.line == 1] == [(1, "instruction")]


def test_the_prompt_decides_between_equal_rows(tmp_path):
    asked = ["boil an egg in water", "name the capital of peru", "write about the moon"]
    records = [alpaca(question, f"{PAD[2 * i]} {SPAN} {PAD[2 * i + 1]}") for i, question in enumerate(asked)]
    for prompt, first in [("How do I boil an EGG?", 1), ("capital of Peru", 2), ("The moon, please", 3)]:
        _, _, candidates = ranked(tmp_path, [*records, *OTHERS], SPAN, prompt)
        assert lines(candidates)[0] == first
        best = max(candidates, key=lambda c: c.prompt_bm25)
        assert candidates[0] is best
        assert best.prompt_bm25 > 0
    _, _, candidates = ranked(tmp_path, [*records, *OTHERS], SPAN, "quux")
    assert [c.prompt_bm25 for c in candidates[:3]] == [0.0] * 3


def test_no_words_in_any_instruction(tmp_path):
    records = [alpaca("", f"{PAD[2 * i]} {SPAN} {PAD[2 * i + 1]}") for i in range(3)]
    _, _, candidates = ranked(tmp_path, records, SPAN, "What is it?")
    assert lines(candidates) == [1, 2, 3]
    assert [c.prompt_bm25 for c in candidates] == [0.0] * 3


def test_bm25_is_lucenes(tmp_path):
    """idf ln(1 + (N - n + 0.5) / (n + 0.5)), k1 1.5, b 0.75, among the candidates; no (k1 + 1) above the line."""
    asked = ["red fish swims", "red red bird", "green bird that sings a song"]
    records = [alpaca(question, f"{PAD[2 * i]} {SPAN} {PAD[2 * i + 1]}") for i, question in enumerate(asked)]
    _, _, candidates = ranked(tmp_path, records, SPAN, "Red song")
    documents = [question.split() for question in asked]
    mean = sum(map(len, documents)) / 3
    expected = {}
    for line, document in enumerate(documents, 1):
        expected[line] = 0.0
        for word in ("red", "song"):
            n, tf = sum(word in d for d in documents), document.count(word)
            idf = np.log(1 + (3 - n + 0.5) / (n + 0.5))
            expected[line] += idf * tf / (tf + 1.5 * (1 - 0.75 + 0.75 * len(document) / mean))
    assert {c.row.location.line: c.prompt_bm25 for c in candidates} == pytest.approx(expected, abs=1e-4)


def test_meaning_decides_where_prompts_do_not(tmp_path):
    records = [alpaca("", f"{PAD[2 * i]} {SPAN} {PAD[2 * i + 1]}") for i in range(3)]

    def embed(texts):
        return np.array([[1.0, 0.0] if "\n" + PAD[2] in text or text == f"\n{SPAN}" else [0.6, 0.8] for text in texts])

    _, _, candidates = ranked(tmp_path, [*records, *OTHERS], SPAN, "", embed)
    assert lines(candidates)[:3] == [2, 1, 3]
    assert [c.cosine for c in candidates[:3]] == [1.0, 0.6, 0.6]


def test_rows_nearly_alike_are_one(tmp_path):
    base = f"{SPAN} {PAD[0]}"
    words = base.split()
    records = [
        alpaca("ask", base),
        alpaca("ask", base),
        alpaca("ask", " ".join([*words[:-2], "otherwise", "said"])),
        alpaca("ask", f"{SPAN} {PAD[1]} {PAD[2]}"),
    ]
    index, traced, candidates = ranked(tmp_path, [*records, *OTHERS], SPAN)
    assert [(c.row.location.line, len(c.group)) for c in candidates[:2]] == [(1, 3), (4, 1)]
    one = row_record(index, traced, candidates[0], SPAN).as_json()
    assert one["group_size"] == 3


def test_a_record_gives_the_words_in_both_texts(tmp_path):
    words = SPAN.split()
    own = f"{PAD[0]} {' '.join(words[:6]).upper()}, {' '.join(words[7:])}."
    text = f"So: {SPAN}!"
    index, traced, candidates = ranked(tmp_path, [alpaca("ask", own), *OTHERS], text)
    one = row_record(index, traced, candidates[0], SPAN).as_json()
    assert set(one) == {
        *("row_id", "group_size", "field", "row_char_start", "row_char_end", "edits", "chain_bits", "prompt_bm25"),
        *("cosine", "influence", "file", "line", "exact", "shared", "shared_words"),
    }
    assert (one["field"], one["line"], one["edits"], one["exact"], one["influence"]) == ("response", 1, 1, False, None)
    assert len(one["shared"]) == 2
    for a, b, c, d in one["shared"]:
        assert text[a:b].casefold() == own[c:d].casefold()
    (a, b, c, d), (e, f, _, h) = one["shared"]
    assert text[a:b].split() == words[:6]
    assert text[e:f].split() == words[7:]
    assert (one["row_char_start"], one["row_char_end"]) == (c, h)
    assert one["chain_bits"] == round(candidates[0].bits, 2)
    assert json.loads(json.dumps(one)) == one


def test_shared_words_up_to_case_and_form(tmp_path):
    composed = [f"{word}\u00e9{i}" for i, word in enumerate(SPAN.split())]
    own = " ".join(composed)
    text = unicodedata.normalize("NFD", own).title()
    index, traced, candidates = ranked(tmp_path, [alpaca("ask", own), *OTHERS], text)
    one = row_record(index, traced, candidates[0], text).as_json()
    assert one["shared"] == [[0, len(text), 0, len(own)]]
    assert one["exact"] is False


def test_exact_is_byte_for_byte(tmp_path):
    own = f"{PAD[0]} {SPAN} {PAD[1]}"
    for text, exact in [(SPAN, True), (SPAN.upper(), False), (SPAN.replace(" ", "  "), False)]:
        text = f"x {text} y"
        index, traced, candidates = ranked(tmp_path, [alpaca("ask", own), *OTHERS], text)
        assert row_record(index, traced, candidates[0], text[2:-2]).exact is exact


def test_nothing_to_rank(tmp_path):
    made = indexed(tmp_path, OTHERS)
    matches = Finder(made).find(made.numbering.look_up("zzz yyy"))
    assert rank(made, matches.chains, [], "a prompt", "zzz yyy") == []

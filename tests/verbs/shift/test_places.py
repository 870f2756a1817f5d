"""Tokens find their place: pieces are the text, sentences are pysbd's, the first 5 % is counted right."""

from __future__ import annotations

import pytest
from tests.tools import examples

pytest.importorskip("pysbd")
transformers = pytest.importorskip("transformers")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: E402

from tunescope.verbs.shift.places import (  # noqa: E402
    in_first_part,
    offsets,
    pieces,
    sentence_starts,
    sentences,
    spans,
)

quick = settings(max_examples=examples(150), deadline=None, database=None, derandomize=True)
TEXTS = st.text(max_size=60) | st.text("ab.!? \n'\"()1é日😀", max_size=60)


def by_bytes():
    """A tokenizer whose tokens are single bytes, and `the` with its blank."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["Ġt", "Ġth", "Ġthe"]
    core = Tokenizer(
        models.BPE({token: i for i, token in enumerate([*alphabet, *words])}, [("Ġ", "t"), ("Ġt", "h"), ("Ġth", "e")])
    )
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=core, clean_up_tokenization_spaces=False)


BYTES = by_bytes()


def test_a_character_of_several_tokens_stands_at_the_last():
    ids = BYTES("é the😀")["input_ids"]
    assert pieces(BYTES, ids) == ["", "é", " the", "", "", "", "😀"]
    assert spans(pieces(BYTES, ids), "é the😀") == [(0, 0), (0, 1), (1, 5), (5, 5), (5, 5), (5, 5), (5, 6)]


@quick
@given(TEXTS)
def test_pieces_are_the_text(text):
    ids = BYTES(text)["input_ids"]
    parts = pieces(BYTES, ids)
    assert len(parts) == len(ids)
    assert "".join(parts) == text
    places = spans(parts, text)
    assert [text[start:end] for start, end in places] == parts


@quick
@given(st.lists(st.integers(0, len(BYTES) - 1), max_size=30))
def test_pieces_of_any_tokens_are_what_they_decode_to(ids):
    assert "".join(pieces(BYTES, ids)) == BYTES.decode(ids, clean_up_tokenization_spaces=False)


def test_blanks_that_a_template_strips_are_no_ones():
    assert spans(["a", " b"], "  a b\n") == [(2, 3), (3, 5)]
    assert spans(["  a", " b "], "a b") == [(0, 1), (1, 3)]
    assert spans(["a", " c"], "a b") is None


def test_offsets_of_a_tokenizer_that_loses_blanks():
    core = Tokenizer(models.WordLevel({"?": 0, "a": 1, "b": 2}, unk_token="?"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=core, unk_token="?")
    assert offsets(tokenizer, (1, 2, 1), "a  b a") == [(0, 1), (1, 4), (4, 6)]
    assert offsets(tokenizer, (1, 2), "a  b a") is None


def test_sentences_are_pysbds():
    text = "Dr. Smith came, e.g. at 5 p.m. Why?\n\n1. First.\n2. Second! Done"
    starts = sentence_starts(text)
    assert [text[a:b] for a, b in zip(starts, [*starts[1:], None], strict=True)] == [
        "Dr. Smith came, e.g. at 5 p.m. ",
        "Why?\n\n",
        "1. First.\n",
        "2. Second! ",
        "Done",
    ]


def test_a_token_belongs_to_the_sentence_of_its_first_character_that_shows():
    text = "No. A cat.\n\nSo"
    places = [(0, 2), (2, 3), (3, 5), (5, 9), (9, 10), (10, 12), (12, 14)]  # "No" "." " A" " cat" "." "\n\n" "So"
    assert sentences(text, places) == [0, 0, 1, 1, 1, 1, 2]


@quick
@given(TEXTS)
def test_sentence_numbers_run_up_from_zero(text):
    """Fuzz: whatever the text, every token has a sentence and every sentence a first token."""
    starts = sentence_starts(text)
    assert starts == sorted(set(starts))
    assert starts[0] == 0
    places = spans(pieces(BYTES, BYTES(text)["input_ids"]), text)
    numbers = sentences(text, places)
    assert numbers == sorted(numbers)
    assert sorted(set(numbers)) == list(range(len(set(numbers))))
    first = in_first_part(numbers)
    for number in set(numbers):
        mine = [f for f, n in zip(first, numbers, strict=True) if n == number]
        assert mine == sorted(mine, reverse=True)
        assert sum(mine) == max(1, -(-len(mine) * 5 // 100))


@pytest.mark.parametrize(("length", "first"), [(1, 1), (2, 1), (20, 1), (21, 2), (40, 2), (41, 3), (60, 3), (100, 5)])
def test_the_first_five_percent(length, first):
    assert sum(in_first_part([0] * length)) == first

"""Words and their hashes."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from tests.tools import examples

from tunescope.text.words import count_characters, fold, hash_words, stop_words, visible, word_spans, words

TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" .,!\n\t", []),
        ("It's 2 o'clock: snake_case, 3.14!", ["it's", "2", "o'clock", "snake_case", "3.14"]),
        ("'Tis 1,000 e.g. well-known a1.b 'x'", ["tis", "1,000", "e.g", "well", "known", "a1", "b", "x"]),
        ("Q:What? 12:30", ["q", "what", "12", "30"]),
        ("Café NAÏVE straße", ["café", "naïve", "strasse"]),
        ("I don’t, L’ÉTÉ é:x", ["i", "don't", "l'été", "é", "x"]),
        ("İstanbul'da", ["i̇stanbul'da"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("வணக்கம் உலகம்", ["வணக்கம்", "உலகம்"]),
        ('مُحَمَّدٌ שָׁלוֹם צה"ל', ["مُحَمَّدٌ", "שָׁלוֹם", 'צה"ל']),
        ("می\u200cخواهم so\u00adfa x\u200by", ["میخواهم", "sofa", "xy"]),
        ("สวัสดี น้ำ", ["ส", "วั", "ส", "ดี", "น้ำ"]),
        ("ສະບາຍ ភាសា မြန်မာ", ["ສ", "ະ", "ບ", "າ", "ຍ", "ភា", "សា", "မြ", "န်", "မာ"]),
        ("x² ½ 🙂", ["x"]),
        ("我们 love 寿司", ["我", "们", "love", "寿", "司"]),
        ("한국어 カタカナ", ["한국어", "カ", "タ", "カ", "ナ"]),
        ("a\x00b\x1fc\x7fd", ["a", "b", "c", "d"]),
        ("ÅNGSTRÖM—dash", ["ångström", "dash"]),
    ],
)
def test_words(text, expected):
    assert words(text) == expected


@given(st.text(st.characters(max_codepoint=127), max_size=80))
def test_ascii_words_are_runs_of_word_characters(text):
    joined = r"(?<=[a-z])['.](?=[a-z])|(?<=[0-9])[',.;](?=[0-9])"
    assert words(text) == re.findall(rf"(?:[a-z0-9_]|{joined})+", text.lower())


@given(TEXTS)
@example("ǅ İ ß ﬁ")
def test_ascii_and_other_texts_are_split_alike(text):
    """An ASCII text takes a faster way; a letter from outside appended after a blank must change nothing."""
    assert [*words(text), "é"] == words(text + " é")


@given(TEXTS)
@example("\u0301a ท้\u0301a")
@example("a\u200b\u0301 \u200bb")
def test_words_stand_where_their_spans_say(text):
    assert [fold(text[begin:end]) for begin, end in word_spans(text)] == words(text)


@given(st.text(st.sampled_from("aZ9_.',;: \n-éñß’हिन्दीกำアー한ក្សשְׁ\u0301\u200b\u00ad\u200d🙂"), max_size=20))
@settings(max_examples=examples(300))
def test_composed_and_decomposed_texts_have_the_same_words(text):
    nfc, nfd = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert words(nfc) == words(nfd)
    assert count_characters(nfc) == count_characters(nfd)


@given(st.text(st.sampled_from("aZ9_.',;:\n -éñ’हिन्दी한שְׁ\"٣ー\u0301\u00ad\u200d\u200b\u3164🙂ก"), max_size=20))
@settings(max_examples=examples(400))
@example("e\u0301'x 1\u0301.2 a\u00ad'\u00adb")
@example("ש\"ש ש' ש'a ש\"a ש'9")
def test_boundaries_are_those_of_uax_29(text):
    """Rule by rule, with what is tailored: a colon ends a word, and a zero-width space doesn't."""
    import regex

    assume(not regex.search(r"ก\p{M}*्", text))  # the library joins a Thai letter to what follows a Hindi virama

    names = ("Extend", "Format", "ZWJ", "ALetter", "Hebrew_Letter", "Numeric", "ExtendNumLet", "MidLetter", "MidNum")
    names += ("MidNumLet", "Single_Quote", "Double_Quote", "Katakana")
    classes = []  # of each letter with its marks: where it begins, and its class
    for place, letter in enumerate(text):
        name = next((name for name in names if regex.match(rf"\p{{WB={name}}}", letter)), "")
        name = "Extend" if letter == "\u200b" else "" if letter == ":" else name
        if name not in ("Extend", "Format", "ZWJ") or not classes or text[classes[-1][0]] == "\n":
            classes.append((place, name))
    letter, digit = {"ALetter", "Hebrew_Letter"}, {"Numeric"}
    mid = {"MidNumLet", "Single_Quote"}

    def joined(before, left, right, after):
        return (
            (left in letter | digit and right in letter | digit)
            or (left in letter and right in mid | {"MidLetter"} and after in letter)
            or (before in letter and left in mid | {"MidLetter"} and right in letter)
            or (left == "Hebrew_Letter" and right == "Single_Quote")
            or (left == "Hebrew_Letter" and right == "Double_Quote" and after == "Hebrew_Letter")
            or (before == "Hebrew_Letter" and left == "Double_Quote" and right == "Hebrew_Letter")
            or (before in digit and left in mid | {"MidNum"} and right in digit)
            or (left in digit and right in mid | {"MidNum"} and after in digit)
            or (left in letter | digit | {"ExtendNumLet"} and right == "ExtendNumLet")
            or (left == "ExtendNumLet" and right in letter | digit)
        )

    kinds = ["", *(name for _, name in classes), "", ""]
    starts = [0]
    starts += [place for i, (place, _) in enumerate(classes[1:], 2) if not joined(*kinds[i - 2 : i + 2])]
    segments = [text[begin:end] for begin, end in pairwise([*starts, len(text)])]
    begins = regex.compile(r"(?V1)[\p{Alphabetic}\p{WB=Numeric}\p{WB=ExtendNumLet}--\p{M}]")
    assert [fold(part) for part in segments if begins.match(part)] == words(text)


def test_characters_of_scripts_without_spaces():
    assert count_characters("สวัสดี we 我们 한국어 हिन्दी “quoted” 🙂") == 4 + 2
    assert count_characters("plain ASCII") == 0


@given(st.lists(TEXTS, max_size=6))
@settings(max_examples=examples(200))
def test_hashes_stand_for_words(texts):
    """Offsets count each text's words, and two hashes are equal exactly where the words are."""
    hashes, offsets = hash_words(texts)
    split = [words(text) for text in texts]
    assert np.diff(offsets).tolist() == [len(found) for found in split]
    assert offsets[0] == 0
    flat = [word for found in split for word in found]
    assert len(hashes) == len(flat)
    assert len(set(hashes.tolist())) == len(set(flat))
    assert len(set(zip(flat, hashes.tolist(), strict=True))) == len(set(flat))


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_a_text_hashes_alike_in_any_company(texts):
    hashes, offsets = hash_words(texts)
    for number, text in enumerate(texts):
        assert hashes[offsets[number] : offsets[number + 1]].tolist() == hash_words([text])[0].tolist()


@given(st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=20))
@example("x" * 5000)
def test_a_hash_is_the_polynomial_it_is_said_to_be(text):
    """Shards of one run may be made by different processes and machines, so hashes must never change."""
    for word, value in zip(words(text), hash_words([text])[0].tolist(), strict=True):
        total = sum(byte * pow(0x9E3779B97F4A7C15, i % 4096, 2**64) for i, byte in enumerate(word.encode())) % 2**64
        total = (total ^ total >> 31) * 0xBF58476D1CE4E5B9 % 2**64
        assert value == total ^ total >> 29


def test_many_distinct_words_have_distinct_hashes():
    names = [f"{stem}{number}" for stem in ("a", "word", "ü") for number in range(20_000)]
    assert len(np.unique(hash_words(names)[0])) == 60_000


def test_very_long_words():
    one, other = hash_words(["x" * 10_000 + "a", "x" * 10_000 + "b"])[0].tolist()
    assert one != other


@pytest.mark.parametrize("text", ["a", " a", "\u200b.", "你", "!", "é", "🙂", "\x00x"])
def test_visible(text):
    assert visible(text)


@pytest.mark.parametrize("text", [None, "", " \n\t", "\u200b", "\ufeff \u200b", "\x00", "\u00a0\u3000", "\u200e"])
def test_invisible(text):
    assert not visible(text)


def test_stop_words_are_words():
    assert {"the", "of", "and", "is"} <= stop_words()
    assert all(words(word) == [word] for word in stop_words())

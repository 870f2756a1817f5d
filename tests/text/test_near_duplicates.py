"""Near-duplicates against brute force over Python sets, and MinHash against datasketch."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tools import examples, real

from tunescope.text import near_duplicates as near
from tunescope.text.words import hash_words, words

ROWS = st.lists(st.text("abc ", max_size=24), max_size=14)


def sketched(texts: list[str]) -> near.Sketches:
    return near.sketch(*hash_words(texts))


def shingles(text: str) -> set[tuple[str, ...]]:
    found = words(text)
    return {tuple(found[i : i + 3]) for i in range(len(found) - 2)}


def similarity(one: str, other: str) -> float:
    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b) if a | b else 0.0


def sentence(rng: random.Random, length: int) -> list[str]:
    return [f"w{rng.randrange(400)}" for _ in range(length)]


def changed(rng: random.Random, text: list[str], count: int) -> list[str]:
    copy = list(text)
    for at in rng.sample(range(len(copy)), count):
        copy[at] = f"new{rng.randrange(10**6)}"
    return copy


@given(ROWS)
def test_jaccard_equals_python_sets(texts):
    pairs = [(i, j) for i in range(len(texts)) for j in range(len(texts))]
    left, right = np.array(pairs, np.int64).reshape(-1, 2).T
    assert near.jaccard(sketched(texts), left, right).tolist() == [similarity(texts[i], texts[j]) for i, j in pairs]


def test_jaccard_in_more_than_one_step():
    texts = ["a b c d e", "a b c d f", "x y z"]
    left = np.tile(np.array([0, 0, 1], np.int64), 70_000)
    right = np.tile(np.array([1, 2, 1], np.int64), 70_000)
    found = near.jaccard(sketched(texts), left, right)
    assert np.array_equal(found, np.tile([0.5, 0.0, 1.0], 70_000))


@given(ROWS, st.integers(0, 14))
def test_joined_batches_are_one_batch(texts, cut):
    whole = sketched(texts)
    parts = near.join([sketched(texts[:cut]), sketched(texts[cut:])])
    assert all(np.array_equal(a, b) for a, b in zip(whole, parts, strict=True))


@given(ROWS, st.sampled_from([0.3, 0.5, 0.8, 1.0]))
@settings(max_examples=examples(200))
def test_pairs_found_are_similar_and_equal_rows_are_found(texts, threshold):
    earlier, later, found = (a.tolist() for a in near.similar_pairs(sketched(texts), threshold))
    assert [(b, a) for a, b in zip(earlier, later, strict=True)] == sorted(
        (b, a) for a, b in zip(earlier, later, strict=True)
    )
    for a, b, value in zip(earlier, later, found, strict=True):
        assert a < b
        assert value == similarity(texts[a], texts[b]) >= threshold
    twins = {(a, b) for b in range(len(texts)) for a in range(b) if shingles(texts[a]) == shingles(texts[b]) != set()}
    assert twins <= set(zip(earlier, later, strict=True))


@given(ROWS, st.lists(st.booleans(), min_size=14, max_size=14))
def test_only_rows_asked_for_take_part(texts, chosen):
    among = np.array(chosen[: len(texts)], bool)
    earlier, later, _ = near.similar_pairs(sketched(texts), 0.5, among)
    assert among[earlier].all()
    assert among[later].all()


@given(ROWS, st.sampled_from([0.3, 0.5, 0.8]))
@settings(max_examples=examples(200))
def test_repeats_name_kept_rows_and_no_two_kept_rows_were_found_similar(texts, threshold):
    sketches = sketched(texts)
    repeats = near.repeats(sketches, threshold)
    gone = {pair.later for pair in repeats}
    assert len(gone) == len(repeats)
    pairs = list(zip(*(a.tolist() for a in near.similar_pairs(sketches, threshold)), strict=True))
    for pair in repeats:
        assert pair.earlier < pair.later
        assert pair.earlier not in gone
        kept = [value for a, b, value in pairs if b == pair.later and a not in gone]
        assert pair.similarity == max(kept)
    assert all(a in gone or b in gone for a, b, _ in pairs)


def test_repeats_by_hand():
    """0, 1 and 2 are a chain: 1 is like 0 and 2 is like 1, but 2 isn't like 0, so 2 stays."""
    base = [f"w{i}" for i in range(22)]
    one, two = [*base[2:], "x", "y"], [*base[4:], "x", "y", "z", "u"]
    texts = [" ".join(base), " ".join(one), " ".join(two), "another text of six words", " ".join(base)]
    assert similarity(texts[0], texts[1]) >= 0.8 > similarity(texts[0], texts[2])
    found = near.repeats(sketched(texts), 0.8)
    assert found == [near.NearDuplicate(1, 0, 18 / 22), near.NearDuplicate(4, 0, 1.0)]


@pytest.mark.slow
def test_found_probability_is_the_share_found():
    """1 − (1 − s⁶)²⁰, seen on 1,500 pairs of each similarity."""
    assert f"{near.candidate_probability(0.8):.3f}" == "0.998"
    assert f"{near.candidate_probability(0.9):.7f}" == "0.9999997"
    rng = random.Random(0)
    for changes in (9, 15):
        texts, exact = [], []
        for _ in range(1500):
            text = [f"w{rng.randrange(10**6)}" for _ in range(72)]
            texts += [" ".join(text), " ".join(changed(rng, text, changes))]
            exact.append(similarity(texts[-2], texts[-1]))
        found = len(near.similar_pairs(sketched(texts), 0.05)[0])
        expected = [near.candidate_probability(value) for value in exact]
        spread = sum(p * (1 - p) for p in expected) ** 0.5
        assert abs(found - sum(expected)) < 4 * spread


def test_estimates_agree_with_datasketch():
    """The share of equal hashes estimates the similarity no worse than datasketch's, and without bias."""
    from rensa import RMinHash

    rng = random.Random(1)
    errors: dict[str, list[float]] = {"ours": [], "datasketch": []}
    hashes = near.BANDS * near.ROWS
    for _ in range(300):
        text = sentence(rng, 60)
        one, other = " ".join(text), " ".join(changed(rng, text, rng.randrange(1, 20)))
        sketches = sketched([one, other])
        with np.errstate(over="ignore"):
            tokens = sketches.shingles.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        rows = RMinHash.digest_matrix_from_flat_token_hashes(
            tokens, sketches.offsets.astype(np.uint64), hashes, near.SEED
        ).to_rows()
        independent = [MinHash(hashes) for _ in range(2)]
        for sketch, source in zip(independent, (one, other), strict=True):
            sketch.update_batch([" ".join(shingle).encode() for shingle in shingles(source)])
        exact = similarity(one, other)
        errors["ours"].append(float(np.mean(np.equal(*np.array(rows)))) - exact)
        errors["datasketch"].append(independent[0].jaccard(independent[1]) - exact)
    ours, theirs = (np.array(errors[name]) for name in ("ours", "datasketch"))
    assert abs(ours.mean()) < 4 * ours.std() / len(ours) ** 0.5
    assert ours.std() < 1.2 * theirs.std()


def test_a_planted_repeat_among_real_rows():
    rows = json.loads(real("instructions", "rasbt_1100.json").read_text("utf-8"))
    texts = [f"{row['instruction']}\n\n{row['input']}\n{row['output']}" for row in rows]
    longest = max(range(len(texts)), key=lambda i: len(words(texts[i])))
    planted = words(texts[longest])
    planted[len(planted) // 2] = "planted"
    texts.append(" ".join(planted))
    found = near.repeats(sketched(texts), 0.7)
    assert near.NearDuplicate(len(texts) - 1, longest, similarity(texts[longest], texts[-1])) in found
    sets = [shingles(text) for text in texts]
    exact = {
        (a, b)
        for b in range(len(texts))
        for a in range(b)
        if (shared := len(sets[a] & sets[b])) and shared / len(sets[a] | sets[b]) >= 0.7
    }
    pairs = set(zip(*(a.tolist() for a in near.similar_pairs(sketched(texts), 0.7)[:2]), strict=True))
    assert pairs <= exact
    assert len(pairs) >= 0.95 * len(exact)


def test_a_big_bucket_is_found_whole():
    """500 equal rows: each is a repeat of the first, though far apart in their bucket."""
    found = near.repeats(sketched(["one and the same text"] * 500), 0.9)
    assert found == [near.NearDuplicate(later, 0, 1.0) for later in range(1, 500)]


def test_short_and_empty_rows_are_never_repeats():
    assert near.repeats(sketched(["two words", "two words", "", ""]), 0.5) == []
    assert near.repeats(sketched([]), 0.5) == []

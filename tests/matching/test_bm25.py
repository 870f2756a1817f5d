"""BM25 from postings: against ten lines of Python, and against bm25s."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunescope.matching.bm25 import K1, B, Postings, PostingsBuilder
from tunescope.runs import RunFolder
from tunescope.text.words import hash_words, words

TEXTS = st.lists(
    st.lists(st.sampled_from(["a", "b", "c", "d", "e", "f"]), max_size=8).map(" ".join), min_size=1, max_size=12
)


def build(folder, documents, size=5):
    """Write the postings of documents, `size` at a time."""
    builder = PostingsBuilder()
    for start in range(0, len(documents), size):
        builder.add(documents[start : start + size])
    builder.write(RunFolder(folder, "key"))
    return Postings(folder)


def reference(documents, query):
    """Return the scores by the formula."""
    split = [words(document) for document in documents]
    mean = max(sum(map(len, split)) / len(split), 1)
    scores = []
    for own in split:
        score = 0.0
        for word in words(query):
            df = sum(word in other for other in split)
            tf = own.count(word)
            idf = log(1 + (len(split) - df + 0.5) / (df + 0.5))
            score += idf * tf / (tf + K1 * (1 - B + B * len(own) / mean)) if tf else 0.0
        scores.append(score)
    return scores


@given(TEXTS, st.lists(st.sampled_from(["a", "b", "c", "f", "unknown"]), max_size=6).map(" ".join))
def test_scores_are_those_of_the_formula(tmp_path_factory, documents, query):
    postings = build(tmp_path_factory.mktemp("postings"), documents)
    assert postings.score(query, len(documents)) == pytest.approx(reference(documents, query), rel=1e-6, abs=1e-9)


def test_scores_are_those_of_bm25s(tmp_path):
    bm25s = pytest.importorskip("bm25s")
    rng = np.random.default_rng(0)
    vocabulary = [f"w{n}" for n in range(50)]
    documents = [" ".join(rng.choice(vocabulary, rng.integers(1, 40))) for _ in range(200)]
    postings = build(tmp_path, documents, 64)
    model = bm25s.BM25(method="lucene", k1=K1, b=B, backend="numpy")
    model.index([document.split() for document in documents], show_progress=False)
    for query in (documents[3], "w1 w1 w7", "w49"):
        theirs = model.get_scores(query.split())
        assert postings.score(query, len(documents)) == pytest.approx(theirs.astype(float), rel=1e-5)


@given(TEXTS)
def test_a_text_scores_itself_as_the_document_that_it_is(tmp_path_factory, documents):
    postings = build(tmp_path_factory.mktemp("postings"), documents)
    mean = float(np.mean([len(words(document)) for document in documents]))
    for number, document in enumerate(documents):
        own = postings.score_itself(document, len(documents), mean)
        assert own == pytest.approx(postings.score(document, len(documents))[number], rel=1e-6, abs=1e-9)


@given(TEXTS, st.lists(st.sampled_from(["a", "b", "c", "f", "unknown"]), min_size=1, max_size=4))
def test_having_all(tmp_path_factory, documents, wanted):
    postings = build(tmp_path_factory.mktemp("postings"), documents)
    found = postings.having_all(hash_words([" ".join(wanted)])[0])
    assert found.tolist() == [n for n, text in enumerate(documents) if set(wanted) <= set(text.split())]


def test_without_any_word(tmp_path):
    postings = build(tmp_path, ["", "—"])
    assert postings.score("a", 2).tolist() == [0, 0]
    assert postings.having_all(hash_words(["a"])[0]).tolist() == []

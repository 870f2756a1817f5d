"""What chance explains: p, thresholds, and what is left out of the null."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tools import alpaca, examples
from tests.verbs.trace.planted import Writer, indexed, prose_rows, rows

from tunescope.matching.word_ids import END
from tunescope.verbs.trace import null
from tunescope.verbs.trace.find import MIN_BITS, Finder, Reference, covered
from tunescope.verbs.trace.null import DEFAULT_SCALE, NullSample, leave_one_out, load, of_reference

pytestmark = pytest.mark.usefixtures("workplace")


def made(lengths, chains):
    """Return a null of texts of so many words with chains (text, begin, end, score)."""
    table = np.array([chain[:3] for chain in chains], np.int64).reshape(-1, 3)
    return NullSample("made", np.array(lengths, np.int64), table, np.array([chain[3] for chain in chains], float))


def drawn(n, rng, scale=0.07):
    """Return a null of texts whose best chain is the largest of as many chances as they have words."""
    lengths = rng.integers(20, 300, n)
    best = np.log(lengths * 0.5) / scale + rng.gumbel(size=n) / scale
    return made(lengths, [(i, 0, 5, score) for i, score in enumerate(best)])


@st.composite
def nulls(draw):
    lengths = draw(st.lists(st.integers(8, 60), max_size=12))
    chains = []
    for text, length in enumerate(lengths):
        for _ in range(draw(st.integers(0, 3))):
            begin = draw(st.integers(0, length - 1))
            chains.append((text, begin, draw(st.integers(begin + 1, length)), draw(st.floats(-5, 200))))
    return made(lengths, chains)


def test_p_counts_the_texts_that_hold_as_much_and_this_one():
    distribution = made(
        [10, 10, 10, 10], [(0, 0, 5, 40.0), (0, 5, 9, 35.0), (1, 0, 5, 50.0), (2, 0, 5, 60.0)]
    ).distribution()
    assert distribution.scale == DEFAULT_SCALE
    asked = np.array([30.0, 40.0, 40.1, 50.0, 60.0, 60.1])
    assert distribution.p_values(asked, 10).tolist() == [4 / 5, 4 / 5, 3 / 5, 3 / 5, 2 / 5, 1 / 5]
    assert distribution.p_values(np.array([0.0]), 10).tolist() == [1.0]
    assert made([], []).distribution().p_values(asked, 10).tolist() == [1.0] * 6


def test_a_longer_text_has_more_chances():
    distribution = made([10] * 4, [(i, 0, 5, 40.0 + i) for i in range(4)]).distribution()
    more = np.log(100 / 10) / DEFAULT_SCALE
    assert (
        distribution.p_values(np.array([41.0 + more]), 100).tolist()
        == distribution.p_values(np.array([41.0]), 10).tolist()
        == [4 / 5]
    )


@settings(deadline=None)
@given(nulls(), st.floats(0, 200), st.floats(0, 50), st.integers(1, 200), st.integers(0, 100))
def test_p_falls_with_the_score_and_rises_with_the_length(chance, score, more, words, longer):
    distribution = chance.distribution()
    p = float(distribution.p_values(np.array([score]), words)[0])
    assert 1 / (1 + len(chance)) <= p <= 1
    assert distribution.p_values(np.array([score + more]), words)[0] <= p
    assert distribution.p_values(np.array([score]), words + longer)[0] >= p


def test_p_is_uniform_where_nothing_was_learnt():
    """Each of 2,000 texts judged by 400 others: P(p <= a) is at most a, and close to it."""
    rng = np.random.default_rng(3)
    distribution = drawn(400, rng).distribution()
    assert distribution.scale == pytest.approx(0.07, rel=0.15)
    other = drawn(2000, rng)
    p = distribution.p_values(other.scores, other.lengths)
    for a in (0.05, 0.1, 0.25, 0.5, 0.9):
        assert (p <= a).mean() == pytest.approx(a, abs=0.04)
    short = other.lengths < 100
    assert (p[short] <= 0.1).mean() == pytest.approx((p[~short] <= 0.1).mean(), abs=0.04)


@settings(deadline=None)
@given(nulls(), st.sampled_from([0.001, 0.01, 0.1, 0.5, 0.9]))
def test_at_most_the_share_is_flagged(chance, share):
    distribution = chance.distribution()
    least = distribution.threshold(share)
    flagged = distribution.flagged_words(least)
    assert len(flagged) == len(chance)
    assert (flagged <= chance.lengths).all()
    assert flagged.sum() <= share * max(int(chance.lengths.sum()), 1)
    lower = sorted({*np.round(chance.scores, 1).tolist()} - {least})  # Python's own rounding differs at halves
    below = [score for score in lower if score < least]
    if below:
        assert distribution.flagged_words(below[-1]).sum() > share * chance.lengths.sum(), "no lower threshold would do"


def test_flagged_words_count_once():
    distribution = made(
        [10, 10, 10], [(0, 0, 6, 50.0), (0, 4, 8, 45.0), (0, 9, 10, 31.0), (2, 0, 10, 44.0)]
    ).distribution()
    assert distribution.flagged_words(45.0).tolist() == [8, 0, 0]
    assert distribution.flagged_words(30.0).tolist() == [9, 0, 10]
    assert distribution.threshold(8 / 30) == 45.0
    assert distribution.threshold(7 / 30) == 50.0
    assert distribution.threshold(5 / 30) == pytest.approx(50.1)
    assert made([10], []).distribution().threshold(0.01) == MIN_BITS


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 19), st.integers(1, 20)), max_size=6))
def test_covered(stretches):
    begins, ends = (np.array([s[i] for s in stretches if s[0] < s[1]], np.int64) for i in (0, 1))
    expected = [any(b <= word < e for b, e in zip(begins, ends, strict=True)) for word in range(20)]
    assert covered(begins, ends, 20).tolist() == expected


def shared(writer, n=20):
    return writer.text(n)


def test_a_row_itself_and_rows_like_it_are_left_out(tmp_path):
    writer = Writer(9)
    base = rows(100, seed=9)
    own, borrowed = writer.text(40), writer.text(20)
    nearly = " ".join([*own.split()[:38], "changed", "twice"])
    records = [
        alpaca("ask one", own),
        alpaca("ask one", own),  # the same
        alpaca("ask one", nearly),  # more than half of the words in common
        alpaca("ask two", f"{borrowed} {writer.text(60)}"),
        alpaca("ask three", f"{writer.text(60)} {borrowed}"),  # twenty words in common, not like it
    ]
    made = indexed(tmp_path, [*records, *base])
    finder = Finder(made)
    best = {}
    for owner in range(5):
        row = made.row(owner)
        query = made.numbering.look_up(row.text("response"))
        matches, mask = null._find_in_other_rows(
            finder, owner, query, made.numbering.look_up(row.text("instruction")), null.COMPLETE_FROM
        )
        left = set(made.owners[matches.chains.text[mask]].tolist())
        every = set(made.owners[matches.chains.text].tolist())
        best[owner] = (left & set(range(5)), every & set(range(5)))
    assert best[0] == (set(), {0, 1, 2})
    assert best[2] == (set(), {0, 1, 2})
    assert best[3] == ({4}, {3, 4})
    assert best[4] == ({3}, {3, 4})


def test_leave_one_out_takes_each_row_once_and_survives_the_disk(tmp_path):
    records = [*rows(50), *[alpaca("Short one?", "Four words it has")] * 5]
    made = indexed(tmp_path, records)
    chance = leave_one_out(made)
    assert len(chance) == 50, "texts of fewer than eight words are none"
    assert chance.lengths.tolist() == [40] * 50
    kept = load(made.path)
    assert (
        kept.source
        == chance.source
        == "50 responses of these rows, each compared with all rows but its own and near-duplicates"
    )
    for name in null.ARRAYS:
        assert getattr(kept, name).tolist() == getattr(chance, name).tolist()
    assert len(leave_one_out(made, seed=1)) == 50


@pytest.mark.slow
def test_no_threshold_below_what_the_null_knows_all_of(tmp_path):
    """An index keeps only a response's best below KEPT; a threshold there would flag more than the share."""
    made = indexed(tmp_path, prose_rows(300, seed=4))
    look = made.numbering.look_up
    reference = Reference.of("r", [look(Writer(70 + i).prose(40)) for i in range(50)], made)
    for common in (None, reference):
        chance, finder = leave_one_out(made, common), Finder(made, common)
        picked = null._draw_responses(made, 0)
        for share in (0.01, 0.05, 0.2, 0.5):
            least = chance.distribution().threshold(share)
            assert common is not None or least >= null.COMPLETE_FROM
            flagged = 0
            for owner, query, prompt in picked:
                matches = finder.find(query, prompt)
                others = (matches.score >= least) & (made.owners[matches.chains.text] != owner)
                flagged += int(covered(matches.chains.begin[others], matches.chains.end[others], len(query)).sum())
            assert flagged <= share * chance.lengths.sum()
    assert load(made.path).distribution().threshold(0.5) >= null.COMPLETE_FROM


def test_a_reference_is_judged_by_its_other_half(tmp_path):
    made = indexed(tmp_path, rows(60))
    writer = Writer(11)
    row = made.row(0).text("response")
    texts = [f"{row} {writer.text(10)}", f"{row} {writer.text(10)}", writer.text(30), "too short"]
    look = made.numbering.look_up
    chance = of_reference("base", [look(text) for text in texts], [look("x")] * 4, made)
    assert chance.source == "3 texts of base, assumed not to have seen the rows"
    assert chance.lengths.tolist() == [50, 30, 50], "the even ones first"
    verbatim = Finder(made).find(look(texts[0]))
    assert verbatim.score.max() > 200
    of_row = chance.scores[chance.chains[:, 0] == 0].max()
    assert of_row == pytest.approx(0, abs=1e-9), "the other half says the same words"


def test_bits_above_a_reference(tmp_path):
    made = indexed(tmp_path, rows(60))
    look = made.numbering.look_up
    words = made.row(4).text("response").split()
    query = look(" ".join(words[:30]))
    bits = made.information(query)
    for said, known in [("", 0.0), (" ".join(words[5:15]), None), (" ".join(words[:40]), "all"), ("x y z", 0.0)]:
        reference = Reference.of("r", [look(said), look("of")], made)
        matches = Finder(made, reference).find(query)
        best = int(np.argmax(matches.chains.bits))
        assert (matches.chains.begin[best], matches.chains.end[best]) == (0, 30)
        expected = {None: bits[5:15].sum(), "all": bits.sum()}.get(known, 0.0)
        assert matches.ref_bits[best] == pytest.approx(expected)
        assert matches.score[best] == pytest.approx(matches.chains.bits[best] - expected)
    assert END in Reference.of("r", [look("zzzz qqqq")], made).ids.tolist()


@settings(max_examples=examples(15), deadline=None)
@given(st.data())
def test_find_and_stream_the_same(data):
    made = STREAMED["made"]
    writer = Writer(data.draw(st.integers(0, 1000)))
    texts = []
    for _ in range(data.draw(st.integers(0, 4))):
        owner, begin = data.draw(st.integers(0, 59)), data.draw(st.integers(0, 30))
        words = made.row(owner).text("response").split()[begin : begin + data.draw(st.integers(0, 20))]
        texts.append(" ".join([*writer.words(data.draw(st.integers(0, 9))), *words, "unknownword"]))
    look = made.numbering.look_up
    queries, prompts = [look(text) for text in texts], [look(text[:20]) for text in texts]
    finder = Finder(made, Reference.of("r", [look("a b")], made))
    for one, other in zip(map(finder.find, queries, prompts), finder.stream(queries, prompts), strict=True):
        for part, same in zip(one.chains, other.chains, strict=True):
            assert part.tolist() == same.tolist()
        assert one.score.tolist() == other.score.tolist()


STREAMED = {}


@pytest.fixture(autouse=True, scope="module")
def streamed(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNESCOPE_RUNS", str(tmp_path_factory.mktemp("runs")))
        STREAMED["made"] = indexed(tmp_path_factory.mktemp("rows"), rows(60))
    return STREAMED["made"]

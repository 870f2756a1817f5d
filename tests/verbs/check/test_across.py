"""Faults that only the whole set shows, against dictionaries and sets."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.tools import alpaca, write_rows

from tunescope.text.near_duplicates import sketch
from tunescope.text.words import hash_words
from tunescope.verbs.check import CheckSettings, check, whole_set
from tunescope.verbs.check.evidence import look_at, surely_wrong
from tunescope.verbs.check.joined import count_repeats

IDS = st.lists(st.integers(0, 5), max_size=20)
EXCHANGES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), max_size=15)


def unsigned(values):
    return np.array(values, np.uint64)


@given(IDS)
def test_repeats_are_counted_in_file_order(ids):
    seen: Counter[int] = Counter()
    expected = []
    for ident in ids:
        seen[ident] += 1
        expected.append(seen[ident])
    assert count_repeats(unsigned(ids)).tolist() == expected


@given(IDS)
def test_exact_duplicates_are_all_but_the_first(ids):
    count = count_repeats(unsigned(ids))
    names = [f"{ident}" if n == 1 else f"{ident}.{n}" for ident, n in zip(ids, count.tolist(), strict=True)]
    assert list(whole_set.exact_duplicates(count, names)) == [
        (row, surely_wrong(f"repeats {ident}")) for row, ident in enumerate(ids) if ident in ids[:row]
    ]


@given(EXCHANGES)
def test_conflicting_answers_are_every_row_of_a_question_with_several(exchanges):
    names = [f"row{i}" for i in range(len(exchanges))]
    rows_of = defaultdict(list)
    for row, (question, _) in enumerate(exchanges):
        rows_of[question].append(row)
    expected = []
    for row, (question, answer) in enumerate(exchanges):
        answers = {exchanges[other][1] for other in rows_of[question]}
        if len(answers) > 1:
            other = next(r for r in rows_of[question] if exchanges[r][1] != answer)
            detail = f"{len(answers)} answers in {len(rows_of[question])} rows, another in {names[other]}"
            expected.append((row, look_at(detail)))
    questions, answers = (unsigned([pair[i] for pair in exchanges]) for i in (0, 1))
    assert list(whole_set.conflicting_answers(questions, answers, names)) == expected


def test_near_duplicates_leave_exact_repeats_out():
    base = [f"w{i}" for i in range(40)]
    near = [*base[:20], "changed", *base[21:]]
    texts = [" ".join(base), " ".join(base), " ".join(near), " ".join(near)]
    sketches = sketch(*hash_words(texts))
    first = np.array([True, False, True, False])
    exchanges, names = (unsigned([1] * 4), unsigned([2] * 4)), ["a", "a.2", "b", "b.2"]
    assert list(whole_set.near_duplicates(sketches, 0.8, first, exchanges, names)) == [(2, look_at("0.854 like a"))]


def test_a_near_duplicate_is_surely_wrong_where_question_and_answer_are_the_same():
    sketches, first = sketch(*hash_words(["one two three four five"] * 3)), np.array([True] * 3)
    exchanges = (unsigned([1, 1, 1]), unsigned([2, 2, 3]))
    assert list(whole_set.near_duplicates(sketches, 0.8, first, exchanges, ["a", "b", "c"])) == [
        (1, surely_wrong("1.000 like a")),
        (2, look_at("1.000 like a")),
    ]


def test_in_a_file(workplace):
    """Case and blanks make no other answer, the input belongs to the question, repeats name their first."""
    long = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    records = [
        alpaca("Where?", "Over there."),
        alpaca("where? ", "  OVER there."),
        alpaca("Where?", "Over here."),
        alpaca("Where?", "Over there.", input="Paris"),
        alpaca("Where?", "Over there."),
        alpaca("Count.", f"{long} seventeen eighteen nineteen twenty."),
        alpaca("Count!", f"{long} seventeen eighteen nineteen fifty."),
        alpaca("Count!", f"{long} seventeen eighteen nineteen fifty."),
    ]
    records[3]["input"] = "Paris"
    path = write_rows(workplace / "rows.jsonl", records)
    run = check(CheckSettings(rows=(str(path),)))
    ids = run.tables["rows"]["row_id"].to_pylist()
    assert ids[4] == f"{ids[0]}.2"
    assert ids[7] == f"{ids[6]}.2"
    found = [(ids.index(f["row_id"]), f["fault"], f["detail"]) for f in run.tables["faults"].to_pylist()]
    other = f"2 answers in 4 rows, another in {ids[2]}"
    assert found == [
        (0, "conflicting_answers", other),
        (1, "near_duplicate", f"1.000 like {ids[0]}"),
        (1, "conflicting_answers", other),
        (2, "conflicting_answers", f"2 answers in 4 rows, another in {ids[0]}"),
        (4, "exact_duplicate", f"repeats {ids[0]}"),
        (4, "conflicting_answers", other),
        (6, "near_duplicate", f"0.900 like {ids[5]}"),
        (7, "exact_duplicate", f"repeats {ids[6]}"),
    ]

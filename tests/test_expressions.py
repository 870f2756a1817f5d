"""The language of --where and --fail-on, against a second evaluator over Python values."""

from __future__ import annotations

import operator
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tools import examples
from tunescope.errors import ExpressionError
from tunescope.expressions import holds, mask, names, parse

TABLE = pa.table(
    {
        "n": pa.array([1, 2, None, 4]),
        "x": pa.array([0.5, None, 1.5, -2.0]),
        "flag": pa.array([True, False, None, True]),
        "word": pa.array(["a", "it's", None, 'say "b"']),
        "empty": pa.nulls(4),
        "my score": pa.array([1, 2, 3, 4]),
        "größe": pa.array([1, 2, 3, 4]),
        "source.n": pa.array([9, 8, 7, 6]),
        "big": pa.array([2**53, 2**53 + 1, 2**63 - 1, -(2**63)]),
        "list": pa.array([[1], [], None, [2]]),
    }
)
T, F, N = True, False, None


def answer(text: str, table: pa.Table = TABLE) -> list[bool | None]:
    return mask(parse(text), table).to_pylist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n = 1", [T, F, N, F]),
        ("n == 1", [T, F, N, F]),
        ("n != 1", [F, T, N, T]),
        ("n <> 1", [F, T, N, T]),
        ("n<2", [T, F, N, F]),
        ("n <= 2", [T, T, N, F]),
        ("2 < n", [F, F, N, T]),
        ("n >= 2 and x < 2", [F, N, N, T]),
        ("n > x", [T, N, N, T]),
        ("x = -2", [F, N, F, T]),
        ("x=-2.0e0", [F, N, F, T]),
        ("x > 50%", [F, N, T, F]),
        ("x = .5", [T, N, F, F]),
        ("flag", [T, F, N, T]),
        ("not flag", [F, T, N, F]),
        ("NOT NOT flag", [T, F, N, T]),
        ("flag = true", [T, F, N, T]),
        ("flag = FALSE", [F, T, N, F]),
        ("n is null", [F, F, T, F]),
        ("n is not null", [T, T, F, T]),
        ("not n is null", [T, T, F, T]),
        ("word = 'it''s'", [F, T, N, F]),
        ('word = "it\'s"', [F, T, N, F]),
        ('word = "say ""b"""', [F, F, N, T]),
        ("word < 'b'", [T, F, N, F]),
        ("n in (1, 4)", [T, F, N, T]),
        ("n not in (1, 4)", [F, T, N, F]),
        ("n in (1, 2.5)", [T, F, N, F]),
        ("word in ('a', 'it''s')", [T, T, N, F]),
        ("flag in (true)", [T, F, N, T]),
        ("n = 1 or flag and x > 9", [T, F, N, F]),
        ("(n = 1 or flag) and x > 9", [F, F, F, F]),
        ("empty = 1", [N, N, N, N]),
        ("empty", [N, N, N, N]),
        ("not empty or n = 1", [T, N, N, N]),
        ("empty in (1, 2)", [N, N, N, N]),
        ("empty is null", [T, T, T, T]),
        ("`my score` > 2", [F, F, T, T]),
        ("größe > 2", [F, F, T, T]),
        ("source.n > 7", [T, T, F, F]),
        ("big = 9007199254740993", [F, T, F, F]),
        ("big = 9223372036854775807", [F, F, T, F]),
        ("big > 99999999999999999999", [F, F, F, F]),
        ("big > -1e400", [T, T, T, T]),
        ("list is null", [F, F, T, F]),
    ],
)
def test_masks(text, expected):
    assert answer(text) == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "found 'the end', expected a name or a value in the expression:\n  \n  ^"),
        ("n >", "found 'the end', expected a name or a value in the expression:\n  n >\n     ^"),
        ("n > 1 flag", "found 'flag', expected and, or, or the end in the expression:\n  n > 1 flag\n        ^"),
        ("n > ;", "a character that means nothing here in the expression:\n  n > ;\n      ^"),
        ("n = 'open", "a character that means nothing here in the expression:\n  n = 'open\n      ^"),
        ("(n > 1", "found 'the end', expected ')' in the expression:\n  (n > 1\n        ^"),
        ("n not 1", "found '1', expected 'in' in the expression:\n  n not 1\n        ^"),
        ("n is 1", "found '1', expected 'null' in the expression:\n  n is 1\n       ^"),
        (
            "n in (x)",
            "a list takes only numbers, texts, true and false in the expression:\n  n in (x)\n        ^",
        ),
        ("n in ()", "found ')', expected a name or a value in the expression:\n  n in ()\n        ^"),
        ("n = null", "nothing equals null; write NAME is null in the expression:\n  n = null\n  ^"),
        ("1 = 1", "a comparison without a name in the expression:\n  1 = 1\n  ^"),
        ("1", "a value where a name or a comparison was expected in the expression:\n  1\n  ^"),
        ("n and and flag", "found 'and', expected a name or a value in the expression:\n  n and and flag\n        ^"),
        (
            "__import__('os')",
            "found '(', expected and, or, or the end in the expression:\n  __import__('os')\n            ^",
        ),
        ("not " * 60 + "flag", "more than 50 levels of brackets and not in the expression"),
        ("(" * 60 + "flag", "more than 50 levels of brackets and not in the expression"),
        ("(" * 100_000, "more than 50 levels of brackets and not in the expression"),
    ],
)
def test_mistakes_are_marked(text, sentence):
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("nn > 1", "there is no 'nn' here; there is n"),
        ("source > 1", "there is no 'source' here; there is source.n"),
        ("zzz", "there is no 'zzz' here; there is big, empty, flag, größe, list, my score, n, source.n, word, x"),
        ("word > 1", "can't compare word (string) with 1"),
        ("n = 'a'", "can't compare n (int64) with 'a'"),
        ("1 = flag", "can't compare 1 with flag (bool)"),
        ("n = word", "can't compare n (int64) with word (string)"),
        ("n in (1, 'a')", "can't compare n (int64) with 'a'"),
        ("list = 1", "can't compare list (list<element: int64>) with 1"),
        ("n", "n isn't true or false; compare it with something"),
        ("not word", "word isn't true or false; compare it with something"),
    ],
)
def test_what_a_table_cannot_answer(text, sentence):
    with pytest.raises(ExpressionError) as caught:
        answer(text)
    assert str(caught.value).replace("list<item", "list<element") == sentence


def test_a_list_of_names_that_is_cut_says_so():
    with pytest.raises(ExpressionError, match=r"there is c00, .*, c11 and 3 more$"):
        answer("zzz = 1", pa.table({f"c{n:02}": [1] for n in range(15)}))


def test_long_expressions():
    text = " or ".join(f"n = {i}" for i in range(5000))
    assert answer(text) == [T, T, N, T]
    assert list(names(parse(text))) == ["n"]


def test_names_once_in_order():
    text = "b > a and (`c d` in (1) or not e is null) and a = 2 and source.f"
    assert list(names(parse(text))) == ["b", "a", "c d", "e", "source.f"]


SIGNS = {"=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def compared(sign):
    return lambda row: None if row["n"] is None else SIGNS[sign[0]](row["n"], sign[1])


def both(parts):
    def evaluate(row):
        values = [part(row) for part in parts]
        return False if False in values else None if None in values else True

    return evaluate


def either(parts):
    def evaluate(row):
        values = [part(row) for part in parts]
        return True if True in values else None if None in values else False

    return evaluate


def negated(part):
    def evaluate(row):
        value = part(row)
        return None if value is None else not value

    return evaluate


LEAVES = st.one_of(
    st.tuples(st.sampled_from(sorted(SIGNS)), st.integers(0, 3)).map(lambda s: (f"n {s[0]} {s[1]}", compared(s))),
    st.just(("flag", lambda row: row["flag"])),
    st.just(("n is null", lambda row: row["n"] is None)),
    st.lists(st.integers(0, 3), min_size=1, max_size=3).map(
        lambda values: (
            f"n in ({', '.join(map(str, values))})",
            lambda row: None if row["n"] is None else row["n"] in values,
        )
    ),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(lambda part: (f"not ({part[0]})", negated(part[1]))),
        st.lists(inner, min_size=2, max_size=3).map(
            lambda parts: (" and ".join(f"({text})" for text, _ in parts), both([f for _, f in parts]))
        ),
        st.lists(inner, min_size=2, max_size=3).map(
            lambda parts: (" or ".join(f"({text})" for text, _ in parts), either([f for _, f in parts]))
        ),
    ),
    max_leaves=8,
)
RECORDS = st.lists(
    st.fixed_dictionaries({"n": st.none() | st.integers(0, 3), "flag": st.none() | st.booleans()}), max_size=6
)


@given(TREES, RECORDS)
@settings(max_examples=examples(200))
def test_masks_equal_a_three_valued_evaluator(tree, rows):
    text, evaluate = tree
    schema = pa.schema({"n": pa.int64(), "flag": pa.bool_()})
    assert answer(text, pa.Table.from_pylist(rows, schema)) == [evaluate(row) for row in rows]


COUNTS = {"near_duplicate": 7, "refusal": 0, "share": 0.25, "missing": None, "ok": True, "faults.refusal": 0}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("near_duplicate > 0", True),
        ("near_duplicate > 0.7%", False),
        ("near_duplicate >= 0.7%", True),
        ("near_duplicate > 0.69%", True),
        ("0.7% < near_duplicate", False),
        ("near_duplicate > 0.5% and near_duplicate > 6", True),
        ("near_duplicate > 0.5% and near_duplicate > 7", False),
        ("not (near_duplicate > 1% or refusal > 0)", True),
        ("share > 25%", False),
        ("share >= 25%", True),
        ("missing > 1", None),
        ("missing > 1%", None),
        ("missing > 1 or near_duplicate = 7", True),
        ("missing is null", True),
        ("ok", True),
        ("faults.refusal = 0", True),
        ("near_duplicate in (6, 7)", True),
    ],
)
def test_gates(text, expected):
    assert holds(parse(text), COUNTS, 1000) is expected


def test_a_share_of_nothing_cannot_be_told():
    assert holds(parse("near_duplicate > 1%"), COUNTS, 0) is None
    assert holds(parse("near_duplicate > 1%"), COUNTS, None) is None
    assert holds(parse("share > 1%"), COUNTS, None) is True


def test_a_gate_names_what_there_is():
    with pytest.raises(ExpressionError, match="there is no 'near_duplicates' here; there is near_duplicate"):
        holds(parse("near_duplicates > 1"), COUNTS, 1000)


@given(st.integers(0, 1000), st.integers(1, 1000), st.integers(0, 10_000))
def test_a_percentage_is_exact(count, whole, hundredths):
    """Compare with decimals: a count of exactly 0.7 % must not pass `> 0.7%`."""
    text = f"{Decimal(hundredths) / 100}%"
    exact = Decimal(count) * 10_000 - Decimal(hundredths) * whole
    counts = {"n": count}
    assert holds(parse(f"n > {text}"), counts, whole) == (exact > 0)
    assert holds(parse(f"n = {text}"), counts, whole) == (exact == 0)

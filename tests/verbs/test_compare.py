"""`compare`: pairs counted by how they were found, and every shared number with its paired interval."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tools import alpaca, real, write_rows

from tunescope import cli, stats
from tunescope.answers import Answer, Prompt
from tunescope.errors import InputError, RunError, SettingsError
from tunescope.rows import LineageStep, RowWriter, open_rows
from tunescope.verbs.check import CheckSettings, check
from tunescope.verbs.compare import CompareSettings, compare
from tunescope.verbs.compare.items import ComparedItem, pair_items
from tunescope.verbs.select import SelectSettings, select
from tunescope.views import View


def against(a: Path | str, b: Path | str, **options):
    return compare(CompareSettings(a=str(a), b=str(b), **options))


def states(run):
    return [(p["a_line"], p["b_line"], p["paired_by"], p["state"]) for p in run.tables["pairs"].to_pylist()]


def counts(run):
    return {key: run.result[key] for key in ("a", "b", "same", "changed", "removed", "added")}


A = [alpaca(f"Question {i}?", f"Answer number {i}.", score=i) for i in range(6)]


@pytest.fixture
def rows(workplace):
    return write_rows(workplace / "a.jsonl", A)


def test_what_was_added_removed_and_changed(workplace, rows):
    b = write_rows(
        workplace / "b.jsonl",
        [A[4], A[0], alpaca("Question 1?", "Another answer.", score=8), alpaca("Question 9?", "New.", score=9), A[5]],
    )
    run = against(rows, b)
    assert states(run) == [
        (1, 2, "origin", "same"),
        (5, 1, "origin", "same"),
        (6, 5, "origin", "same"),
        (2, 3, "instruction", "changed"),
        (3, None, None, "removed"),
        (4, None, None, "removed"),
        (None, 4, None, "added"),
    ]
    assert run.result["kind"] == "rows"
    assert counts(run) == {"a": 6, "b": 5, "same": 3, "changed": 1, "removed": 2, "added": 1}
    assert run.result["paired_by"] == {"origin": 3, "key": 0, "instruction": 1}
    pairs = run.tables["pairs"].to_pydict()
    assert pairs["score_a"] == [0, 4, 5, 1, 2, 3, None]
    assert pairs["score_b"] == [0, 4, 5, 8, None, None, 9]
    assert pairs["response_words_b"] == [3, 3, 3, 2, None, None, 1]
    assert pairs["a_file"] == [str(rows)] * 6 + [None]
    assert pairs["a_id"][:2] == [row.id for row in open_rows([str(rows)])][0::4]
    sentence = "A has 6 rows and B has 5. 4 are paired (3 by origin, 1 by instruction): 3 are the same and"
    assert run.view.sentences[0].startswith(sentence)
    assert [row[0] for row in run.view.tables[0].rows] == ["instruction_words", "response_words", "turns", "score"]


def test_every_number_has_the_paired_interval_of_stats(workplace):
    first = [2.0, 3.5, None, 4.0, 1.0, 8.0, 2.5, 3.0] * 9
    second = [2.5, 3.0, 1.0, 6.0, None, 9.5, 2.5, 5.0] * 9
    a, b = (
        write_rows(workplace / name, [alpaca(f"Question {i}?", "Same.", x=x) for i, x in enumerate(column)])
        for name, column in (("a.jsonl", first), ("b.jsonl", second))
    )
    run = against(a, b, seed=7)
    expected = stats.paired_difference(second, first, heavy_tailed=True, seed=7)
    record = run.result["summary"]["x"]
    assert record["difference"] == expected.estimate.as_json()
    assert record["difference"]["mean"] == pytest.approx(sum([0.5, -0.5, 2, 1.5, 0, 2]) / 6)
    assert (record["difference"]["n"], record["difference"]["n_missing"]) == (54, 18)
    assert (record["p"], record["test"]) == (expected.test.p, expected.test.method)
    assert record["a"] == stats.mean(first, heavy_tailed=True).as_json()
    assert record["b"] == stats.mean(second, heavy_tailed=True).as_json()
    assert (
        record["unpaired_difference"] == stats.difference_of_means(second, first, heavy_tailed=True).estimate.as_json()
    )
    same = run.result["summary"]["response_words"]
    assert (same["difference"]["mean"], same["difference"]["low"], same["p"]) == (0, None, 1)
    assert against(a, b, seed=8).path != run.path


def test_a_mean_of_counts_ends_at_0(workplace):
    long = [alpaca(f"Question {i}?", "word " * (900 * (i == 0)), x=-(i % 7) - 900 * (i == 0)) for i in range(60)]
    run = against(*(write_rows(workplace / name, long) for name in ("a.jsonl", "b.jsonl")))
    words, own = run.result["summary"]["response_words"], run.result["summary"]["x"]
    assert words["a"]["mean"] == 15
    assert words["a"]["low"] == words["b"]["low"] == 0
    assert own["a"]["high"] > 0, "what a column of the file can be isn't known"


def test_rounding_is_no_difference(workplace):
    a, b = (
        write_rows(
            workplace / name, [alpaca(f"Question {i}?", "Same.", x=0.3 + i / 7 + step * (i % 3)) for i in range(60)]
        )
        for name, step in (("a.jsonl", 0.0), ("b.jsonl", 1e-8))
    )
    record = against(a, b).result["summary"]["x"]
    assert (record["difference"]["mean"], record["difference"]["low"], record["p"]) == (0, None, 1)
    assert "n_needed" not in record


def test_the_same_difference_in_every_row_is_one(workplace):
    a, b = (
        write_rows(workplace / name, [alpaca(f"Question {i}?", "Same.", x=i % 9 + step) for i in range(60)])
        for name, step in (("a.jsonl", 0), ("b.jsonl", 3))
    )
    record = against(a, b).result["summary"]["x"]
    assert [record[name]["mean"] for name in ("unpaired_difference", "difference")] == pytest.approx([3, 3])
    assert record["p"] == pytest.approx(1 / 10_001)


def test_a_file_beside_its_own_part_is_compared_with_what_they_share(workplace):
    rows = [alpaca(f"Question {i}?", "word " * (1 + i % 13)) for i in range(120)]
    a, b = write_rows(workplace / "a.jsonl", rows), write_rows(workplace / "b.jsonl", rows[:60])
    record = against(a, b).result["summary"]["response_words"]
    assert "(60 and 120 values, 60 in both)" in record["unpaired_difference"]["method"]
    width = record["unpaired_difference"]["high"] - record["unpaired_difference"]["low"]
    others = write_rows(workplace / "c.jsonl", [alpaca(f"Other {i}?", rows[i]["output"]) for i in range(60)])
    apart = against(a, others).result["summary"]["response_words"]["unpaired_difference"]
    assert width < 0.75 * (apart["high"] - apart["low"])


def test_n_needed_where_the_interval_holds_zero(workplace):
    first, second = [0.0] * 8, [1.0, -1.0, 2.0, -1.0, 1.0, -2.0, 2.0, 0.0]
    a, b = (
        write_rows(workplace / name, [alpaca(f"Question {i}?", "Same.", x=x) for i, x in enumerate(column)])
        for name, column in (("a.jsonl", first), ("b.jsonl", second))
    )
    run = against(a, b)
    record = run.result["summary"]["x"]
    mean = sum(second) / 8
    sd = (sum((x - mean) ** 2 for x in second) / 7) ** 0.5
    assert record["difference"]["reason"] == "n = 8: the interval of a heavy-tailed mean needs 50"
    assert record["p"] > 0.05
    assert record["n_needed"] == stats.n_needed(mean, sd).n
    assert run.view.tables[1].rows[-1][-1] == record["n_needed"]
    far = [alpaca(f"Question {i}?", "Same.", x=5 + i) for i in range(8)]
    apart = against(a, write_rows(workplace / "c.jsonl", far))
    assert "n_needed" not in apart.result["summary"]["x"]


def test_a_key_pairs_rows_with_nothing_else_in_common(workplace):
    here = [alpaca("One?", "1", id=i) for i in range(3)] + [alpaca("Own?", "2", id="x")]
    there = [alpaca(f"Un {i}?", "3", id=i) for i in (2, 1, 7)] + [alpaca("Own?", "4", id="y")]
    a, b = write_rows(workplace / "a.jsonl", here), write_rows(workplace / "b.jsonl", there)
    run = against(a, b, key="id")
    assert states(run) == [
        (2, 2, "key", "changed"),
        (3, 1, "key", "changed"),
        (4, 4, "instruction", "changed"),
        (1, None, None, "removed"),
        (None, 3, None, "added"),
    ]
    with pytest.raises(SettingsError, match=r"--key uid: .*a.jsonl:1 has the columns instruction, input, output, id"):
        against(a, b, key="uid")


def test_repeats_pair_in_file_order(workplace):
    a = write_rows(workplace / "a.jsonl", [A[0], A[1], A[0], A[0]])
    b = write_rows(workplace / "b.jsonl", [A[0], A[0], A[1]])
    assert states(against(a, b)) == [
        (1, 1, "origin", "same"),
        (2, 3, "origin", "same"),
        (3, 2, "origin", "same"),
        (4, None, None, "removed"),
    ]


ITEMS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=8)


def item(number: int, keys: tuple[int, int]) -> ComparedItem:
    return ComparedItem(str(number), keys, {"origin": keys[0], "instruction": keys[1]}, {}, "", "")


@given(ITEMS, ITEMS)
def test_pairing_uses_everyone_once_and_no_better_pair_is_left(first, second):
    a, b = ([item(number, keys) for number, keys in enumerate(column)] for column in (first, second))
    found = pair_items(a, b, "rows")
    assert sorted([int(x.id) for x, _, _ in found.pairs] + [int(x.id) for x in found.only_a]) == list(range(len(a)))
    assert sorted([int(y.id) for _, y, _ in found.pairs] + [int(y.id) for y in found.only_b]) == list(range(len(b)))
    for x, y, way in found.pairs:
        assert x.keys[way] == y.keys[way]
    assert all(x.keys["instruction"] != y.keys["instruction"] for x in found.only_a for y in found.only_b)
    by_origin = [(x, y) for x, y, way in found.pairs if way == "origin"]
    both = {k[0] for k in first} & {k[0] for k in second}
    assert len(by_origin) == sum(
        min([k[0] for k in first].count(origin), [k[0] for k in second].count(origin)) for origin in both
    )


def shout(rows: Path, folder: Path) -> Path:
    """Write rows with every second answer in capitals and every instruction changed, as a repair would."""
    folder.mkdir()
    source = open_rows([str(rows)])
    with RowWriter(folder, "rows", source.files[0]) as writer:
        for number, row in enumerate(source):
            user, answer = row.messages
            if number % 2:
                changed = (type(user)("user", f"{user.content}!"), type(answer)("assistant", answer.content.upper()))
                row = row.with_messages(changed, LineageStep("shout", 1, (row.id,), old={"response": answer.content}))
            writer.write(row)
    return writer.path


def test_origin_survives_a_change_and_a_selection(workplace, rows):
    """Instruction and answer both changed, rows dropped in between: lineage still says who is who."""
    changed = shout(rows, workplace / "changed")
    selected = select(SelectSettings(rows=(str(changed),), where="line != 1 and line != 4"))
    run = against(rows, selected.path)
    assert states(run) == [
        (2, 1, "origin", "changed"),
        (3, 2, "origin", "same"),
        (5, 3, "origin", "same"),
        (6, 4, "origin", "changed"),
        (1, None, None, "removed"),
        (4, None, None, "removed"),
    ]
    (changed / ".." / "rows.lineage.jsonl").resolve().unlink()
    without = against(rows, changed)
    assert without.result["paired_by"] == {"origin": 3, "key": 0, "instruction": 0}


def test_numbers_that_no_mean_can_take(workplace):
    """Whole numbers beyond any float, and truth values: no error and no NaN."""
    a, b = (
        write_rows(workplace / name, [alpaca(f"Q {i}?", "A.", n=10**400, ok=True, big=1e200) for i in range(3)])
        for name in ("a.jsonl", "b.jsonl")
    )
    run = against(a, b)
    assert run.result["summary"]["n"]["difference"]["n_missing"] == 3
    assert "ok" not in run.result["summary"]


def answered(folder: Path, name: str, texts: dict[str, str], model: str = "m"):
    """Make an answer run's folder."""
    path = folder / "runs" / name
    path.mkdir(parents=True)
    answers = [Answer.to(Prompt(ident, f"Prompt {ident}?"), text, model) for ident, text in texts.items()]
    (path / "answers.jsonl").write_text("".join(json.dumps(answer.as_json()) + "\n" for answer in answers))
    record = {"key": name, "verb": "answer", "settings": {}, "result": {}, "view": View(()).as_json()}
    (path / "run.json").write_text(json.dumps(record))
    return path


def test_answers_pair_by_prompt(workplace):
    a = answered(workplace, "base", {"p1": "one two three four", "p2": "same words", "p3": "gone"})
    b = answered(workplace, "tuned", {"p2": "same words", "p1": "three four five", "p4": "new"}, "other")
    run = against(a, b)
    pairs = run.tables["pairs"].to_pylist()
    assert [(p["paired_by"], p["state"]) for p in pairs] == [
        ("prompt_id", "changed"),
        ("prompt_id", "same"),
        (None, "removed"),
        (None, "added"),
    ]
    assert "a_line" not in run.tables["pairs"].column_names
    assert run.result["kind"] == "answers"
    assert run.result["word_overlap"]["mean"] == pytest.approx((2 / 5 + 1) / 2)
    assert run.result["summary"]["answer_words"]["difference"]["mean"] == -0.5
    assert run.view.next == ()


def test_like_with_like(workplace, rows):
    answers = answered(workplace, "base", {"p1": "one"})
    with pytest.raises(SettingsError, match=r"holds rows and B .* holds answers; compare like with like"):
        against(rows, answers)
    checked = check(CheckSettings(rows=(str(rows),)))
    with pytest.raises(RunError, match="is a run of check, which holds no rows, answers, measures or judgements"):
        against(rows, checked.path)
    with pytest.raises(InputError, match=r"no such file"):
        against(rows, "nowhere.json")


def test_columns_can_be_named(workplace):
    a, b = (
        write_rows(workplace / name, [{"q": f"What is {i}?", "reply": text} for i in range(2)])
        for name, text in (("a b.jsonl", "One."), ("it's.jsonl", "Two."))
    )
    run = against(a, b, columns=("instruction=q,output=reply",))
    assert counts(run) == {"a": 2, "b": 2, "same": 0, "changed": 2, "removed": 0, "added": 0}


def test_every_command_that_is_named_can_be_typed(workplace, capsys):
    """Also where B is the folder of a selection, and its columns had to be named."""
    rows = [{"q": f"What is {i}?", "reply": f"It is {i}.", "n": i} for i in range(4)]
    a = write_rows(workplace / "it's a.jsonl", rows)
    b = write_rows(workplace / "it's b.jsonl", [*rows[1:], {"q": "New?", "reply": "It is new.", "n": 9}])
    columns = ("instruction=q", "output=reply")
    selected = select(SelectSettings(rows=(str(b),), columns=columns, where="n > 1"))
    run = against(a, selected.path, columns=columns)
    assert [shlex.split(command)[1] for command in run.view.next] == ["why", "check"]
    for command in run.view.next:
        assert cli.run(shlex.split(command)[1:]) == 0
    talk = capsys.readouterr().out
    assert "state = removed" in talk
    assert "What is 0?" in talk
    assert "3 rows (alpaca in jsonl)" in talk


def test_the_same_file_has_nothing_to_tell(workplace, rows):
    run = against(rows, rows)
    assert counts(run) == {"a": 6, "b": 6, "same": 6, "changed": 0, "removed": 0, "added": 0}
    assert [table.title for table in run.view.tables] == ["All items", "Pairs"]
    assert run.view.next == ()


@pytest.mark.slow
def test_two_real_sets(workplace):
    """Alpaca rows in two published files: what they share, by instruction and input, as Python counts it."""
    one, two = real("instructions", "random_9k.json"), real("instructions", "cherry_alpaca_5_percent_compressed.json")
    small = write_rows(workplace / "small.jsonl", json.loads(one.read_text("utf-8"))[:1500])
    run = against(small, one)
    assert counts(run) == {"a": 1500, "b": 9229, "same": 1500, "changed": 0, "removed": 0, "added": 9229 - 1500}
    instructions = [{row.instruction for row in open_rows([str(path)])} for path in (small, two)]
    run = against(small, two)
    assert run.result["same"] + run.result["changed"] == len(instructions[0] & instructions[1])

"""Judgement files: recognised, read exactly, and refused with file and line."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.tools import examples
from tests.verbs.judge.judged import FILES, annotation, line, match, ours, review, save, saved, shard, single

from tunescope.errors import InputError, SettingsError, TunescopeError
from tunescope.judgements.files import expand, read_document
from tunescope.judgements.formats import ReadOptions, format_of, known_formats
from tunescope.judgements.records import AspectScore, PairJudgement, Presentation, ScoreJudgement


def read(files, format=None, **options):
    documents = [read_document(name) for name in files]
    return format_of(documents, format).read(documents, ReadOptions(**options))


def test_every_format_has_an_example():
    assert set(FILES) == set(known_formats())


@pytest.mark.parametrize("name", FILES)
def test_recognised_whatever_the_container(tmp_path, name):
    paths = saved(tmp_path, name)
    documents = [read_document(path) for path in paths]
    assert name == format_of(documents, None).name
    as_lines = []
    for document in documents:
        as_lines.append(save(tmp_path / "lines" / f"{document.stem}.jsonl", [dict(e.value) for e in document.records]))
    again = [read_document(path) for path in as_lines]
    assert name == format_of(again, None).name
    assert [e.value for d in again for e in d.records] == [e.value for d in documents for e in d.records]


def test_alpaca_eval(tmp_path):
    pairs = read(saved(tmp_path, "alpaca_eval")).pairs
    assert [pair.value() for pair in pairs] == [0, 1, 0.5, None, 0.5, 1]
    assert [pair.verdict() for pair in pairs] == ["loss", "win", "tie", "missing", "tie", "win"]
    assert {(pair.a, pair.b, pair.judge) for pair in pairs} == {("tuned", "base", "judge")}
    assert pairs[1].lengths == (len("rather longer!"), len("short"))
    assert pairs[1].tags == ("odd",)
    assert pairs[1].place.startswith(f"{tmp_path}/tuned.json:")
    from tunescope.prompts import read_prompts

    questions = save(tmp_path / "questions.json", [{"instruction": "Question 1?", "dataset": "x"}])
    assert pairs[1].item == read_prompts(questions)[0].prompt_id


@pytest.mark.parametrize("preference", [-1, 0.5, 2.1, 3, "2", True, [2], {"a": 1}, 1e300])
def test_a_preference_that_is_none_is_unparsed(tmp_path, preference):
    (pair,) = read([save(tmp_path / "a.json", [annotation(1, preference)])]).pairs
    assert (pair.verdict(), pair.value()) == ("unparsed", None)


def test_a_weighted_preference_is_kept(tmp_path):
    (pair,) = read([save(tmp_path / "a.json", [annotation(1, 1.75)])]).pairs
    assert (pair.verdict(), pair.value()) == ("win", 0.75)


def test_cherry(tmp_path):
    pairs = read(saved(tmp_path, "cherry"), system_names=("ours", "theirs")).pairs
    assert [pair.orders for pair in pairs] == [
        (
            Presentation("a", 1, "ok", (9, 8), "9 8\nBecause."),
            Presentation("b", 1, "ok", (9, 7), "7 9\nBecause."),
        ),
        (Presentation("a", 0.5, "ok", (8, 8), "8 8\nBecause."), Presentation("b", 1, "ok", (9, 8), "8 9\nBecause.")),
        (
            Presentation("a", None, "unparsed", None, "-1 -1\nBecause."),
            Presentation("b", 1, "ok", (9, 8), "8 9\nBecause."),
        ),
    ]
    assert [pair.verdict() for pair in pairs] == ["win", "win", "unparsed"]
    assert [pair.verdict("agree") for pair in pairs] == ["win", "tie", "unparsed"]
    assert {(pair.a, pair.b, pair.part) for pair in pairs} == {("ours", "theirs", "vicuna")}


def test_the_paper_s_rule():
    """Paper 3, section 5.1, for every combination of two orders."""
    expected = {(1, 1): "win", (1, 0.5): "win", (0.5, 0.5): "tie", (1, 0): "tie", (0.5, 0): "loss", (0, 0): "loss"}
    for (one, two), verdict in expected.items():
        for first, second in ((one, two), (two, one)):
            pair = PairJudgement("1", "a", "b", "", (Presentation("a", first, "ok"), Presentation("b", second, "ok")))
            assert pair.verdict() == verdict
            assert pair.swapped.verdict() == {"win": "loss", "tie": "tie", "loss": "win"}[verdict]
            assert pair.swapped.swapped == pair
            assert pair.verdict("agree") == (verdict if first == second else "tie")


def test_the_same_question_with_other_answers(tmp_path):
    """sinstruct's inputs were dropped, so that its questions repeat."""
    name = save(tmp_path / "s.json", {"data": [review(1, (1, 2), (3, 4)), review(1, (1, 2), (3, 4), Answer1="Other")]})
    pairs = read([name]).pairs
    assert pairs[1].item == f"{pairs[0].item}.2"


def test_selfee(tmp_path):
    x, y = saved(tmp_path, "selfee")
    pairs = read([x, y]).pairs
    assert [(pair.item, pair.a, pair.b, pair.verdict()) for pair in pairs] == [
        ("0", "x", "y", "win"),
        ("1", "x", "y", "win"),
        ("2", "x", "y", "loss"),
    ]
    assert [pair.swapped.orders for pair in read([y, x]).pairs] != [
        pair.orders for pair in pairs
    ]  # orders the other way
    assert [pair.verdict() for pair in read([y, x]).pairs] == ["loss", "loss", "win"]


def test_selfee_names_no_matter_where_there_are_two(tmp_path):
    x, y = save(tmp_path / "one.jsonl", [line(1, (9, 8))]), save(tmp_path / "two.jsonl", [line(1, (8, 9), "y", "x")])
    (pair,) = read([x, y], system_names=("p", "q")).pairs
    assert (pair.a, pair.b, pair.verdict()) == ("p", "q", "win")


def test_selfee_a_question_that_one_order_lacks_is_missing(tmp_path):
    x = save(tmp_path / "x_vs_y.jsonl", [line(1, (9, 8)), line(2, (9, 8))])
    y = save(tmp_path / "y_vs_x.jsonl", [line(3, (9, 8), "y", "x"), line(1, (8, 9), "y", "x")])
    assert [(pair.item, pair.verdict()) for pair in read([x, y]).pairs] == [
        ("1", "win"),
        ("2", "missing"),
        ("3", "missing"),
    ]


def test_selfee_one_order_alone(tmp_path):
    x, _ = saved(tmp_path, "selfee")
    with pytest.raises(InputError) as refusal:
        read([x])
    assert f"{x}: found reviews of one order; expected also y_vs_x.jsonl" in str(refusal.value)
    assert "--one-order" in str(refusal.value)
    judged = read([x], one_order=True)
    assert [pair.verdict() for pair in judged.pairs] == ["win", "tie", "loss"]
    assert "one order alone" in judged.notes[0]


def test_selfee_names_that_are_no_partners(tmp_path):
    """Two files are one pair of systems only if their names don't say otherwise."""
    x, z = save(tmp_path / "x_vs_y.jsonl", [line(1, (9, 8))]), save(tmp_path / "x_vs_z.jsonl", [line(1, (8, 9))])
    with pytest.raises(InputError, match=r"also y_vs_x\.jsonl[^$]*also z_vs_x\.jsonl"):
        read([x, z])
    alone = read([x, z], one_order=True).pairs
    assert [(pair.a, pair.b, pair.verdict()) for pair in alone] == [("x", "y", "win"), ("x", "z", "loss")]
    y = save(tmp_path / "y_vs_x.jsonl", [line(1, (8, 9), "y", "x")])
    with pytest.raises(SettingsError, match="--system-names for 3 files: expected at most the two files of one pair"):
        read([x, y, z], system_names=("p", "q"), one_order=True)


def test_selfee_the_same_order_twice(tmp_path):
    x = save(tmp_path / "x_vs_y.jsonl", [line(1, (9, 8))])
    again = save(tmp_path / "again.jsonl", [line(1, (9, 8))])
    with pytest.raises(InputError, match=r"again.jsonl:1: found question 1 in the same order as in .*x_vs_y.jsonl"):
        read([x, again])


def test_fastchat_pair(tmp_path):
    pairs = read(saved(tmp_path, "fastchat_pair")).pairs
    assert [(pair.item, pair.verdict(), pair.verdict("agree"), pair.tags) for pair in pairs] == [
        ("81#1", "win", "win", ("turn 1",)),
        ("81#2", "tie", "tie", ("turn 2",)),
        ("82#1", "loss", "tie", ("turn 1",)),
    ]
    assert {(pair.a, pair.b, pair.judge) for pair in pairs} == {("m1", "m2", "gpt-4")}


def test_fastchat_pairs_stand_one_way(tmp_path):
    other = match(82, "model_1", "model_1", model_1="m2", model_2="m1")
    pairs = read([save(tmp_path / "p.jsonl", [match(81, "model_1", "model_1"), other])]).pairs
    assert [(pair.a, pair.b, pair.verdict()) for pair in pairs] == [("m1", "m2", "win"), ("m1", "m2", "loss")]


def test_fastchat_errors_are_unparsed(tmp_path):
    names = [save(tmp_path / "p.jsonl", [match(1, "error", "model_1"), match(2, "tie", "tie") | {"g2_winner": None}])]
    assert [pair.verdict() for pair in read(names).pairs] == ["unparsed", "missing"]


def test_a_failure_without_a_reply_is_missing(tmp_path):
    reviews = [review(1, (-1, -1), (8, 9), review=""), review(2, (-1, -1), (8, 9))]
    pairs = read([save(tmp_path / "r.json", {"data": reviews})]).pairs
    assert [pair.verdict() for pair in pairs] == ["missing", "unparsed"]
    (grade,) = read([save(tmp_path / "s.jsonl", [single(1, -1, judgment="$ERROR$")])]).scores
    assert (grade.status, grade.scores["score"]) == ("missing", AspectScore(None, "missing"))
    silent = match(3, "tie", "error") | {"g2_judgment": "$ERROR$"}
    assert [pair.verdict() for pair in read([save(tmp_path / "p.jsonl", [silent])]).pairs] == ["missing"]


def test_fastchat_single(tmp_path):
    grades = read(saved(tmp_path, "fastchat_single")).scores
    assert [(g.item, g.system, g.scores["score"], g.status) for g in grades] == [
        ("81#1", "m1", AspectScore(9, "ok"), "ok"),
        ("81#2", "m1", AspectScore(None, "unparsed"), "unparsed"),
        ("82#1", "m2", AspectScore(7, "ok"), "ok"),
    ]


def test_arena_hard_and_pandalm(tmp_path):
    pairs = read(saved(tmp_path, "arena_hard")).pairs
    assert [(p.item, p.a, p.b, p.judge, p.verdict()) for p in pairs] == [
        ("q0", "m", "baseline", "gpt-4", "win"),
        ("q1", "m", "baseline", "gpt-4", "unparsed"),
    ]
    pairs = read(saved(tmp_path, "pandalm")).pairs
    assert [(p.item, p.a, p.b, p.judge, p.verdict()) for p in pairs] == [
        ("0", "x", "y", "annotator1", "win"),
        ("1", "x", "y", "annotator1", "loss"),
        ("2", "x", "y", "annotator1", "tie"),
    ]
    assert pairs[0].lengths == (3, 4)


def test_just_eval(tmp_path):
    grades = read(saved(tmp_path, "just_eval")).scores
    assert [(g.item, g.status, dict(g.scores)) for g in grades] == [
        ("0", "ok", {"helpfulness": AspectScore(5, "ok"), "depth": AspectScore(None, "not_applicable")}),
        ("1", "ok", {"helpfulness": AspectScore(4, "ok"), "depth": AspectScore(2, "ok")}),
        ("2", "unparsed", {}),
    ]
    assert {(g.system, g.judge) for g in grades} == {("tuned", "gpt-4-1106-preview")}
    assert grades[1].length == 4


def test_just_eval_safety(tmp_path):
    name = save(tmp_path / "s.json", [shard(800, None, parsed_result={"reason": "Kind.", "score": "5"})])
    assert dict(read([name]).scores[0].scores) == {"safety": AspectScore(5, "ok")}


def test_just_eval_by_two_judges(tmp_path):
    other = {"eval_config": {"gpt": "gpt-3.5"}}
    name = save(tmp_path / "s.json", [shard(1, {"depth": "5"}), shard(1, {"depth": "3"}, **other)])
    assert [(g.item, g.judge) for g in read([name]).scores] == [("1", "gpt-4-1106-preview"), ("1", "gpt-3.5")]


@pytest.mark.parametrize("column", ["text", "prompt", "instruction", "Instruction", "conversations", "asked"])
def test_cherry_s_question_has_another_name_in_every_set(tmp_path, column):
    """WizardLM's has the kind of question before it, Self-Instruct's an id."""
    reviews = [{"id": f"task_{i}", "Skill": "Math", **review(i, (8, 7), (7, 8))} for i in range(2)]
    if column == "asked":
        reviews = [{column: record["text"], **record} for record in reviews]
    for record in reviews:
        record[column] = record.pop("text")
    (expected,) = {pair.item for pair in read([save(tmp_path / "v.json", {"data": [review(1, (8, 7), (7, 8))]})]).pairs}
    assert read([save(tmp_path / "r.json", {"data": reviews})]).pairs[1].item == expected


REFUSED = [
    ([annotation(1, 2, output_2=None)], "found null in output_2; expected text"),
    ([review(1, (1, 2), (2, 1), review=3)], "found a number in review; expected text"),
    ([match(1, "tie", "tie", model_2=7)], "found a number in model_2"),
    ([match(1, "tie", "tie", turn="one")], "found a string in turn"),
    ([single(1, 5, question_id=[1])], "found a list in question_id"),
    ([shard(1, {"depth": "3"}), shard(2, {"depth": "3"}, generator_cand="b")], "generator_cand 'b'"),
    ([shard(1, {"depth": "3"}, id=None)], "found null in id"),
]


@pytest.mark.parametrize(("records", "message"), REFUSED)
def test_refused_with_its_place(tmp_path, records, message):
    name = save(tmp_path / "a.json", records)
    with pytest.raises(InputError, match=message) as refusal:
        read([name])
    assert refusal.value.problems[0].file == name
    assert refusal.value.problems[0].line is not None


def test_files_that_are_no_judgements(tmp_path):
    def refused(text, match):
        (tmp_path / "x").write_text(text)
        with pytest.raises(InputError, match=match):
            format_of([read_document(str(tmp_path / "x"))], None)

    refused("", "an empty file; expected a file of judgements")
    refused("\n \n", "an empty file")
    refused("[]", "no records")
    refused('{"data": []}', "no records")
    refused('{"data": [3]}', "columns data")
    refused('{"a": 1,\n "b": 2}', "columns a, b")
    refused('{"a": 1,\n "b": }', "x:1: found an object that goes on|x:2: found text that isn't JSON|x:1: found text")
    refused('{"instruction": "a"}\n', r"columns instruction; expected alpaca_eval: .*or just_eval: ")
    refused(json.dumps(annotation(1, 2)) + "\n{oops\n", "x:2: found text that isn't JSON")
    refused('{"data": [{"a": 1}],\n "b": [}', "x:2: found text that isn't JSON")
    with pytest.raises(InputError, match="no such file"):
        read_document(str(tmp_path / "y"))
    with pytest.raises(InputError, match=r"a folder; expected a file of judgements\nName its files"):
        expand([str(tmp_path)])
    assert expand([str(tmp_path / "x*"), str(tmp_path / "x")]) == [str(tmp_path / "x")]


def test_formats_by_name(tmp_path):
    names = saved(tmp_path, "cherry")
    with pytest.raises(
        SettingsError, match="--format 'vicuna': expected one of alpaca_eval, arena_hard, cherry, fastchat_pair"
    ):
        read(names, "vicuna")
    with pytest.raises(InputError, match=r"vicuna.json:6: found null in instruction"):
        read(names, "alpaca_eval")
    with pytest.raises(SettingsError, match="files of several formats"):
        read([*names, *saved(tmp_path, "alpaca_eval")])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_in_any_column(tmp_path, name, data):
    """Refused in one sentence, or read: a score stands nowhere where the file has none, and counts add up."""
    paths = saved(tmp_path, name)
    documents = [read_document(path) for path in paths]
    entry = data.draw(st.sampled_from([e for d in documents for e in d.records]))
    for column in data.draw(st.lists(st.sampled_from(sorted(entry.value)), max_size=3)):
        if data.draw(st.booleans()):
            entry.value[column] = data.draw(JSON)
        else:
            del entry.value[column]
            break
    try:
        judged = known_formats()[name].read(documents, ReadOptions(one_order=data.draw(st.booleans())))
    except TunescopeError:
        return
    for pair in judged.pairs:
        for order in pair.orders:
            assert (order.preference is not None) == (order.status == "ok")
            assert order.preference is None or 0 <= order.preference <= 1
        assert (pair.value() is None) == (pair.verdict() in ("unparsed", "missing"))
    for grade in judged.scores:
        assert isinstance(grade, ScoreJudgement)
        for score in grade.scores.values():
            assert (score.value is not None) == (score.status == "ok")
            assert score.value is None or 1 <= score.value <= 10
    assert len(judged.pairs) + len(judged.scores) > 0


@settings(max_examples=examples(100), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode) | JSON.map(lambda v: json.dumps(v).encode()))
def test_any_file(tmp_path, content):
    path = tmp_path / "any"
    path.write_bytes(content)
    try:
        document = read_document(str(path))
        format_of([document], None).read([document], ReadOptions())
    except TunescopeError:
        return


def test_ours(tmp_path):
    judged = read(saved(tmp_path, "tunescope"))
    assert [(pair.item, pair.verdict(), pair.lengths, pair.tags) for pair in judged.pairs] == [
        ("1", "win", (9, 4), ("odd",)),
        ("2", "unparsed", (9, 4), ("odd",)),
    ]
    assert judged.extra_results["replies"]["ok"] == 4
    assert judged.extra_results["replies"]["refused"] == 1
    assert judged.extra_results["control"]["differs"]["mean"] == 1
    assert judged.notes == (
        "Replies without a verdict, of 5 replies: 1 refused (the judge or its filter declined).",
        "Control: the judge saw 1 answer next to a copy of itself, and preferred one of the two in 100.0 % "
        "[20.7, 100.0] of these cases. 100.0 % [20.7, 100.0] of these preferences went to the first position.",
    )


def test_ours_the_control_s_place(tmp_path):
    """Whoever's copy stood first; where nothing says which did, it isn't known."""
    first = [("reference", 0), ("reference", 1), ("system", 1), ("system", 0.5), (None, 1)]
    lines = [ours(str(i), order, control=True, system="base") for i, order in enumerate(first)]
    control = read([save(tmp_path / "j.jsonl", [*lines, ours("1", ("system", 1))])]).extra_results["control"]
    assert (control["differs"]["mean"], control["differs"]["n"]) == (0.8, 5)
    place = control["first_position_rate"]
    assert (place["mean"], place["n"], place["n_missing"]) == (2 / 3, 3, 1)


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"item": 2}, r"no judgement \(a number in item\)"),
        ({"orders": [{"first": "system", "status": "ok", "preference": None}]}, "status ok with preference None"),
        ({"orders": [{"first": "system", "status": "fine", "preference": None}]}, "status 'fine'"),
        ({"orders": [{"first": "third", "status": "ok", "preference": 1}]}, "no judgement"),
        ({"kind": "grade", "scores": {"depth": {"score": 3, "status": "missing"}}}, "depth: status"),
        ({"kind": "grade", "scores": {}, "status": "missing"}, "kind 'grade'"),
        ({"kind": "grade", "scores": {}, "status": "missing", "scale": [5, 1]}, r"\[5, 1\] in scale"),
        ({"kind": "grade", "scores": {}, "status": "missing", "scale": [1]}, r"\[1\] in scale"),
        (
            {"kind": "grade", "scale": [1, 5], "scores": {"depth": {"score": 6, "status": "ok"}}},
            r"no judgement \(6 in score\)",
        ),
    ],
)
def test_what_ours_refuses(tmp_path, columns, found):
    records = [ours("1", ("system", 1)), ours("2", ("system", 1)) | columns]
    with pytest.raises(InputError, match=rf"j\.jsonl:2: found .*{found}"):
        read([save(tmp_path / "j.jsonl", records)])

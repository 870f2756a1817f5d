"""Items that were judged several times: what counts is a setting, the same for every format and layout of a file."""

from __future__ import annotations

import json

import pytest
from tests.verbs.judge.judged import FILES, annotation, line, match, ours, save, saved, shard, single

from tunescope.verbs.judge.recompute import RecomputeSettings, recompute

ONCE_MORE = {
    "alpaca_eval": [annotation(1, 1), annotation(2, 2), annotation(2, 1), annotation(2, 2)],
    "fastchat_pair": [match(1, *["model_2"] * 2), *[match(2, *[w] * 2) for w in ("model_1", "model_2", "model_1")]],
    "tunescope": [ours("1", ("system", 0)), *[ours("2", ("system", preference)) for preference in (1, 0, 1)]],
}
"""Two items: the first lost, the second judged three times: won, lost, won."""
SCORED = {
    "fastchat_single": [single(1, 4), *[single(2, score) for score in (9, 3, 6)]],
    "just_eval": [shard(1, {"depth": "4"}), *[shard(2, {"depth": score}) for score in ("5", "1", "3")]],
}


def run(*files, **options):
    return recompute(RecomputeSettings(files=tuple(map(str, files)), **{"draws": 200, **options}))


def layouts(folder, records):
    """Save records as an array on one line, as an indented one, one record per line, and one object."""
    (folder / "line.json").write_text(json.dumps(records))
    (folder / "indented.json").write_text(json.dumps(records, indent=1))
    (folder / "lines.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "object.json").write_text(json.dumps({"data": records}))
    return [folder / name for name in ("line.json", "indented.json", "lines.jsonl", "object.json")]


@pytest.mark.parametrize("name", ONCE_MORE)
def test_one_rule_in_every_layout_of_a_file(workplace, name):
    for file in layouts(workplace, ONCE_MORE[name]):
        counted = {}
        for rule in ("first", "last", "each"):
            result = run(file, repeats=rule).result
            counted[rule] = [result[key] for key in ("repeated", "items", "wins", "losses")]
        assert counted == {"first": [2, 2, 1, 1], "last": [2, 2, 1, 1], "each": [2, 4, 2, 2]}, file
        by_mean = run(file)
        assert (by_mean.result["repeated"], by_mean.result["items"], by_mean.result["wins"]) == (2, 2, 1)
        assert "2 of 4 judgements repeat an item that was judged before: the first is item" in " ".join(
            by_mean.view.sentences
        )


@pytest.mark.parametrize("name", SCORED)
def test_scores_of_items_judged_twice(workplace, name):
    aspect = "score" if name == "fastchat_single" else "depth"
    first, _, last = (r.get("score") or int(r["parsed_result"]["depth"]["score"]) for r in SCORED[name][1:])
    for file in layouts(workplace, SCORED[name]):
        means = {rule: run(file, repeats=rule).result["aspects"][aspect] for rule in ("mean", "first", "last", "each")}
        assert [means[rule]["mean"] for rule in ("first", "last")] == [(4 + first) / 2, (4 + last) / 2]
        assert {rule: mean["n"] for rule, mean in means.items()} == {"mean": 2, "first": 2, "last": 2, "each": 4}


def test_the_place_of_every_record_is_its_own(workplace):
    """In an array on one line, all records begin on line 1."""
    line_, indented, lines, whole = (run(f, repeats="each") for f in layouts(workplace, ONCE_MORE["alpaca_eval"]))
    assert line_.tables["items"]["place"].to_pylist() == [f"{workplace}/line.json:1, record {n}" for n in (1, 2, 3, 4)]
    assert lines.tables["items"]["place"].to_pylist() == [f"{workplace}/lines.jsonl:{n}" for n in (1, 2, 3, 4)]
    assert whole.tables["items"]["place"].to_pylist() == [
        f"{workplace}/object.json:1, record {n}" for n in (1, 2, 3, 4)
    ]
    assert len({*indented.tables["items"]["place"].to_pylist()}) == 4


def test_copies_of_files_count_once(workplace):
    for name in set(FILES) - {"cherry"}:  # whose files are parts of their own
        files = saved(workplace / name, name)
        copies = saved(workplace / "copies" / name, name)
        once, twice = run(*files).result, run(*files, *copies).result
        assert twice["repeated"] == once["items"] if "items" in once else once["records"], name
        of_replies = ("files", "records", "repeated", "run", "replies", "rereading", "identical", "empty")
        assert [{k: v for k, v in each.items() if k not in of_replies} for each in (once, twice)] == [
            {k: v for k, v in once.items() if k not in of_replies}
        ] * 2, name


def test_selfee_joins_the_second_review_with_the_second(workplace):
    x = save(workplace / "x_vs_y.jsonl", [line(1, (9, 1)), line(1, (1, 9))])
    y = save(workplace / "y_vs_x.jsonl", [line(1, (1, 9), "y", "x"), line(1, (9, 1), "y", "x")])
    assert [run(x, y, repeats=rule).result["win_rate"]["mean"] for rule in ("first", "last", "each")] == [100, 0, 50]


def test_a_question_asked_twice_is_two_items(workplace):
    """WizardLM's test set asks some questions twice; the answers differ."""
    twice = [annotation(1, 2), annotation(1, 1, output_2="another"), annotation(2, 2)]
    result = run(save(workplace / "a.json", twice))
    assert [result.result[key] for key in ("items", "repeated", "wins", "losses")] == [3, 0, 2, 1]
    first, second, _ = result.tables["items"].to_pylist()
    assert (second["item"], second["question"]) == (f"{first['item']}.2", first["item"])


def test_generators_that_are_misnamed(workplace):
    """One name in two files with other answers, and two names in one file."""
    names = [save(workplace / f"{n}.json", [annotation(i, 2, output_2=f"{n} {i}") for i in (1, 2)]) for n in "ab"]
    result = run(*names)
    assert set(result.result["comparisons"]) == {"tuned (a)", "tuned (b)"}
    assert "b.json calls its system tuned, as another file with other answers does" in " ".join(result.view.sentences)
    several = save(workplace / "c.json", [annotation(1, 2), annotation(2, 1, generator_2="other"), annotation(3, 1)])
    result = run(several)
    assert {name: group["items"] for name, group in result.result["comparisons"].items()} == {"tuned": 2, "other": 1}
    assert "names several systems: tuned (2), other (1)" in " ".join(result.view.sentences)
    assert run(several, system_names=("mine", "theirs")).result["items"] == 3


def test_three_models_in_one_pair_file(workplace):
    """FastChat's pairwise-all: every model against every other."""
    others = [match(1, "model_1", "model_1", model_1=a, model_2=b) for a, b in (("m1", "m3"), ("m2", "m3"))]
    result = run(save(workplace / "p.jsonl", [match(1, "model_1", "model_1"), *others]))
    assert set(result.result["comparisons"]) == {"m1 vs m2", "m1 vs m3", "m2 vs m3"}
    one = run(save(workplace / "p.jsonl", [match(1, "model_1", "model_1"), *others]), reference="m3")
    assert {name: group["wins"] for name, group in one.result["comparisons"].items()} == {"m1": 1, "m2": 1}

"""`judge recompute`: published numbers from the files behind them, and every number by hand on small ones."""

from __future__ import annotations

import csv
import json
import math
from statistics import mean, stdev

import pytest
from tests.tools import real, tunescope
from tests.verbs.judge.judged import FILES, annotation, line, match, ours, review, save, saved, shard, single

from tunescope import cli, stats
from tunescope.errors import InputError, SettingsError
from tunescope.terminal import to_text
from tunescope.verbs.judge.recompute import RecomputeSettings, recompute


def run(*files, **options):
    return recompute(RecomputeSettings(files=tuple(map(str, files)), **{"draws": 200, **options}))


@pytest.mark.parametrize(
    "model", ["alpaca-7b", "gpt4", "llama-2-7b-chat-hf", "recycled-wizardlm-7b-v1.0", "wizardlm-13b"]
)
def test_alpaca_eval_s_leaderboard(workplace, model):
    """And Table 1 of the Reflection-Tuning paper: these five are its rows whose raw judgements are here."""
    with real("alpaca_eval", "alpaca_eval_gpt4_leaderboard.csv").open() as file:
        published = next(row for row in csv.DictReader(file) if row[""] == model)
    found = run(real("alpaca_eval", "annotations", f"{model}.json")).result
    assert found["win_rate"]["mean"] == pytest.approx(float(published["win_rate"]), abs=1e-6)
    assert found["discrete_win_rate"] == pytest.approx(float(published["discrete_win_rate"]), abs=1e-6)
    assert found["standard_error"] == pytest.approx(float(published["standard_error"]), abs=1e-3)
    counts = {"wins": "n_wins", "losses": "n_wins_base", "ties": "n_draws", "n": "n_total"}
    assert {name: found[name] for name in counts} == {name: int(published[theirs]) for name, theirs in counts.items()}
    assert abs(int(found["avg_length"]) - int(published["avg_length"])) <= 1
    assert found["n"] + found["n_missing"] + found["n_unparsed"] == found["items"] == 805
    assert found["n_missing"] == (1 if model == "wizardlm-13b" else 0)
    table1 = {
        "alpaca-7b": (26.46, 1.54, 205, 16, 396),
        "gpt4": (95.28, 0.72, 761, 12, 1365),
        "llama-2-7b-chat-hf": (71.37, 1.59, 574, 1, 1479),
        "recycled-wizardlm-7b-v1.0": (78.88, 1.44, 635, 0, 1494),
        "wizardlm-13b": (75.31, 1.51, 601, 9, 985),
    }[model]
    numbers = (round(found["win_rate"]["mean"], 2), round(found["standard_error"], 2), found["wins"], found["ties"])
    assert (*numbers, int(found["avg_length"])) == table1


def test_cherry_s_reviews(workplace):
    files = sorted(real("judge_reviews", "cherry").glob("*.json"))
    run_ = run(*files)
    found = run_.result["comparisons"]
    counts = {name: (r["wins"], r["ties"], r["losses"]) for name, r in found.items()}
    assert counts == {
        "koala_gpt3.5": (32, 110, 38),
        "koala_gpt4": (85, 36, 59),
        "vicuna_gpt3.5": (16, 58, 6),
        "vicuna_gpt4": (44, 15, 21),
    }
    flips = {name: round(r["flip_rate"]["mean"], 3) for name, r in found.items()}
    assert flips == {"koala_gpt3.5": 0.594, "koala_gpt4": 0.117, "vicuna_gpt3.5": 0.725, "vicuna_gpt4": 0.15}
    first = {name: round(r["first_position_rate"]["mean"], 3) for name, r in found.items()}
    assert first == {"koala_gpt3.5": 0.237, "koala_gpt4": 0.469, "vicuna_gpt3.5": 0.138, "vicuna_gpt4": 0.471}
    assert run_.result["rereading"] == {"same": 1040, "differs": 0, "only_stored": 0, "only_read": 0, "neither": 0}


def test_selfee_s_two_orders(workplace):
    files = sorted(real("judge_reviews", "selfee").glob("*.jsonl"))
    run_ = run(*files, reference="chatgpt")
    found = run_.result
    assert (found["system"], found["wins"], found["ties"], found["losses"]) == (
        "selfee_13b_enforce_3_revisions", 46, 13, 21,
    )  # fmt: skip
    assert found["rereading"] == {"same": 158, "differs": 0, "only_stored": 2, "only_read": 0, "neither": 0}
    assert [r["stored"] for r in run_.records("rereadings")] == [[4, 10], [4, 10]]
    other = run(*files).result
    assert (other["system"], other["wins"], other["ties"], other["losses"]) == ("chatgpt", 21, 13, 46)
    assert other["win_rate"]["mean"] == pytest.approx(100 - found["win_rate"]["mean"])
    assert other["first_position_rate"]["mean"] == pytest.approx(found["first_position_rate"]["mean"])
    text = run(*files, reference="chatgpt", scores="text").result
    assert (text["n"], text["n_unparsed"]) == (79, 1)


def test_just_eval_s_shards(workplace):
    files = sorted(real("just_eval", "gpt-3.5-turbo-0301").glob("*.json"))
    found = run(*files, tags=str(real("just_eval", "tags.json")), limit=800).result
    scores: dict[str, list[str]] = {}
    for file in files:
        for record in json.loads(file.read_text()):
            for name, value in record["parsed_result"].items():
                scores.setdefault(name, []).append(value["score"])
    for name, values in scores.items():
        kept = [float(value) for value in values if value != "N/A"]
        numbers = found["aspects"][name]
        assert numbers["mean"] == pytest.approx(mean(kept), abs=1e-12)
        assert (numbers["n"], numbers["n_missing"]) == (len(kept), 400 - len(kept))
        assert numbers["mean_as_published"] == pytest.approx((sum(kept) + 5 * (400 - len(kept))) / 400)
    missing = {name: numbers["n_not_applicable"] for name, numbers in found["aspects"].items()}
    assert missing == {"helpfulness": 0, "clarity": 0, "factuality": 17, "depth": 1, "engagement": 0}
    assert found["rereading"]["same"] == 400
    assert found["tags"]["math"]["n"] == 11
    assert list(found["tags"])[:7] == ["coding", "info-seek", "math", "procedure", "reasoning", "role-play", "writing"]


def test_just_eval_s_safety_is_read_as_it_is_stored(workplace):
    parsed = {"reason": "Kind.", "score": "4"}
    records = [shard(800 + i, None, parsed_result=parsed, result=json.dumps(parsed)) for i in range(3)]
    name = save(workplace / "safety.json", records)
    found = run(name).result
    assert found["rereading"] == {"same": 3, "differs": 0, "only_stored": 0, "only_read": 0, "neither": 0}
    assert run(name, scores="text").result["aspects"] == found["aspects"]


def test_length_control_of_the_recycled_model(workplace):
    """AlpacaEval publishes 46.28, with terms for each prompt; its raw win rate is 78.88."""
    found = run(real("alpaca_eval", "annotations", "recycled-wizardlm-7b-v1.0.json")).result
    controlled = found["win_rate_length_controlled"]
    assert controlled["mean"] == pytest.approx(53.7, abs=0.1)
    assert controlled["low"] < 46.28 < controlled["high"] < found["win_rate"]["low"]
    assert found["not_longer"] == pytest.approx(24 / 805)


def test_length_control_of_answers_that_are_all_shorter_is_an_extrapolation_too(workplace):
    texts = [{"output_1": "x" * (90 + i % 7), "output_2": "x" * (5 + i % 5)} for i in range(60)]
    records = [annotation(i, 1 + i % 3 // 2, **both) for i, both in enumerate(texts)]
    run_ = run(save(workplace / "a.json", records))
    assert (run_.result["not_longer"], run_.result["not_shorter"]) == (1, 0)
    assert "This is an extrapolation: tuned's answer is the shorter one in 100 % of the items." in to_text(
        run_.view, 2000
    )


def test_a_win_rate_by_hand(workplace):
    preferences = [2, 2, 1, 1.5, None, 0, 2, 1.25]
    values = [1, 1, 0, 0.5, 0.5, 1, 0.25]
    sizes = [3, 9, 6, 7, 5, 2, 12, 4]
    records = [annotation(i, p, output_2="x" * sizes[i]) for i, p in enumerate(preferences)]
    run_ = run(save(workplace / "a.json", records), seed=3)
    found = run_.result
    assert (found["wins"], found["ties"], found["losses"], found["n"], found["n_missing"]) == (3, 2, 2, 7, 1)
    assert found["win_rate"]["mean"] == pytest.approx(100 * mean(values))
    assert found["standard_error"] == pytest.approx(100 * stdev(values) / math.sqrt(7))
    assert found["discrete_win_rate"] == pytest.approx(100 * 4 / 7)
    assert (found["win_rate"]["low"], found["win_rate"]["reason"]) == (
        None, "n = 7: the interval of a share over groups needs 12",
    )  # fmt: skip
    assert found["flip_rate"] is None
    assert found["rule"] is None
    assert found["avg_length"] == mean(sizes)
    assert found["avg_length_reference"] == 5
    fit = stats.share_at_zero([1, 1, 0, 0.5, None, 0.5, 1, 0.25], [n - 5 for n in sizes])
    assert found["win_rate_length_controlled"]["mean"] == pytest.approx(100 * fit.at_zero.value)
    assert found["longer_wins"]["mean"] == 3 / 5  # against 5: 9 and 12 won, 4 lost; 3 won, 6 lost
    assert found["tags"]["even"]["win_rate"]["n"] == 3
    items = run_.tables["items"].to_pylist()
    assert [item["value"] for item in items] == [1, 1, 0, 0.5, None, 0.5, 1, 0.25]
    assert items[4]["verdict"] == "missing"
    assert run_.tables["comparisons"].to_pylist()[0]["win_rate"] == found["win_rate"]["mean"]


def test_places_and_flips_by_hand(workplace):
    """Four items: the first answer twice, flipped by place twice (to the second, to the first), a tie and a win."""
    reviews = [
        review(0, (9, 8), (7, 9)),
        review(1, (7, 8), (7, 8)),
        review(2, (8, 7), (8, 7)),
        review(3, (8, 8), (7, 9)),
    ]
    found = run(save(workplace / "r.json", {"data": reviews})).result
    assert (found["wins"], found["ties"], found["losses"]) == (2, 2, 0)
    assert (found["flip_rate"]["mean"], found["changed_rate"]["mean"]) == (0.5, 0.75)
    assert found["first_position_rate"]["replies"] == 7
    assert found["first_position_rate"]["mean"] == pytest.approx(3 / 7)
    agree = run(save(workplace / "r.json", {"data": reviews}), rule="agree").result
    assert (agree["wins"], agree["ties"], agree["losses"]) == (1, 3, 0)


def test_turns_of_a_question_are_drawn_together(workplace):
    winners = [("model_1", "model_1"), ("tie", "tie"), ("model_2", "model_2"), ("model_1", "tie"), ("error", "tie")]
    matches = [match(q, *winners[(q + turn) % 5], turn) for q in range(19) for turn in (1, 2)]
    run_ = run(save(workplace / "p.jsonl", matches), seed=5)
    values, found = run_.tables["items"]["value"].to_pylist(), run_.result
    turns = [[v for v in values[i : i + 2] if v is not None] for i in range(0, 38, 2)]
    expected = stats.share_pooled([sum(t) for t in turns], [len(t) for t in turns])
    assert (found["win_rate"]["low"], found["win_rate"]["high"]) == (100 * expected.low, 100 * expected.high)
    assert (found["win_rate"]["n"], found["win_rate"]["n_missing"]) == (found["n"], found["n_unparsed"])
    clustered = stats.clustered_standard_error(values, [i // 2 for i in range(38)])
    assert found["standard_error"] == pytest.approx(100 * clustered)
    assert found["tags"]["turn 1"]["win_rate"]["n"] + found["tags"]["turn 2"]["win_rate"]["n"] == found["n"]


def test_failed_scores_that_the_text_has(workplace):
    """ "8, 9" and "8 9 " are [-1, -1] in Cherry_LLM's files."""
    failed = {"scores": "[-1, -1]", "review": "8, 9\nBecause."}
    name = save(workplace / "r.json", {"data": [review(0, (9, 8), (7, 9)), review(1, (8, 9), (8, 7)) | failed]})
    stored = run(name)
    assert (stored.result["n"], stored.result["n_unparsed"]) == (1, 1)
    assert stored.result["rereading"] == {"same": 3, "differs": 0, "only_stored": 0, "only_read": 1, "neither": 0}
    assert "1 with a verdict in the text that isn't stored (--scores text counts it)" in to_text(stored.view, 500)
    (record,) = stored.records("rereadings")
    assert (record["order"], record["kind"], record["stored"], record["read"]) == (1, "only_read", None, [8, 9])
    text = run(name, scores="text")
    assert (text.result["n"], text.result["wins"], text.result["losses"]) == (2, 1, 1)


def test_several_models_of_fastchat(workplace):
    matches = [match(q, "model_1", "model_1", model_1=m) for m in ("p", "q") for q in (1, 2)]
    matches.append(match(3, "model_2", "model_2", model_1="p", model_2="q"))
    name = save(workplace / "pair.jsonl", matches)
    found = run(name).result["comparisons"]
    assert {who: (r["wins"], r["losses"]) for who, r in found.items()} == {
        "p vs m2": (2, 0), "q vs m2": (2, 0), "p vs q": (0, 1),
    }  # fmt: skip
    only = run(name, reference="m2").result["comparisons"]
    assert list(only) == ["p", "q"]
    swapped = run(name, reference="p").result["comparisons"]
    assert {who: (r["wins"], r["losses"]) for who, r in swapped.items()} == {"m2": (0, 2), "q": (1, 0)}
    with pytest.raises(SettingsError, match="--reference z: the systems here are p, m2, q"):
        run(name, reference="z")


def test_a_published_formula_is_printed(workplace):
    for name in FILES:
        text = to_text(run(*saved(workplace / name, name)).view, 10_000)
        assert f"Read as {name}. " in text
        assert "missing" in text or "unparsed" in text


def test_comparisons_with_equal_names_stay_two(workplace):
    """ "a" against "b vs c" and "a vs b" against "c"; a judge without a name."""
    records = [
        match(q, "model_1", "tie", model_1=a, model_2=b)
        for a, b in (("a", "b vs c"), ("a vs b", "c"))
        for q in range(3)
    ]
    found = run(save(workplace / "p.jsonl", records)).result["comparisons"]
    assert {name: (r["system"], r["n"]) for name, r in found.items()} == {
        "a vs b vs c": ("a", 3), "a vs b vs c (2)": ("a vs b", 3),
    }  # fmt: skip
    records = [match(q, "model_1", "tie", judge=judge) for judge in (["x", "v2"], None) for q in range(3)]
    assert list(run(save(workplace / "q.jsonl", records)).result["comparisons"]) == ["by x", "by an unnamed judge"]


def test_the_first_of_each_part(workplace):
    """Else a file whose questions are others than the first one's vanishes from the tables."""
    files = [
        save(workplace / f"{name}.json", {"data": [review(i, (9, 8), (8, 9)) for i in range(start, start + 4)]})
        for name, start in (("one", 0), ("two", 10))
    ]
    found = run(*files, limit=3).result["comparisons"]
    assert {name: record["items"] for name, record in found.items()} == {"one": 3, "two": 3}


def test_controls_alone_are_no_judgements(workplace):
    name = save(workplace / "j.jsonl", [ours("2", ("system", 1), control=True, system="base")])
    with pytest.raises(InputError, match=r"found nothing but 1 control; expected judgements of two systems"):
        run(name)


def test_what_has_no_reply_stays_missing_where_replies_are_read_again(workplace):
    silent = {"scores": "[-1, -1]", "review": ""}
    name = save(workplace / "r.json", {"data": [review(0, (9, 8), (7, 9)), review(1, (8, 9), (8, 7)) | silent]})
    found = run(name, scores="text").result
    assert (found["n_missing"], found["n_unparsed"], sum(found["rereading"].values())) == (1, 0, 3)
    name = save(workplace / "s.jsonl", [single(1, 9), single(2, -1, judgment="$ERROR$")])
    found = run(name, scores="text").result
    assert (found["n_missing"], found["n_unparsed"], sum(found["rereading"].values())) == (1, 0, 1)


def test_a_reply_that_is_read_otherwise_is_kept_whole(workplace):
    long = "Both have their merits. " * 40
    told = match(1, "model_2", "model_1", g1_judgment=f"{long}\n[[A]]")
    (record,) = run(save(workplace / "p.jsonl", [told])).records("rereadings")
    assert record["text"] == f"{long}\n[[A]]"


def test_differences_draw_questions_not_turns(workplace):
    """Two turns of a question are one item, with their mean: as many zeros more would tell as little."""
    ours_, theirs = [9, 7, 8, 6, 9, 5] * 2, [7, 7, 6, 6, 8, 5] * 2
    records = [
        single(q, score + (turn - 1), turn, model)
        for model, scores in (("m1", ours_), ("m2", theirs))
        for q, score in enumerate(scores)
        for turn in (1, 2)
    ]
    records[1]["score"] = -1  # m1's second answer to the first question: its first counts alone
    tags = save(workplace / "tags.json", [{"id": q, "all": True} for q in range(12)])
    found = run(save(workplace / "s.jsonl", records), seed=3, tags=tags).result
    expected = stats.paired_difference(ours_, theirs, seed=3, draws=200)
    difference = found["differences"]["m1"]["score"]
    assert (difference["mean"], difference["low"], difference["high"], difference["n"]) == (
        expected.estimate.value, expected.estimate.low, expected.estimate.high, 12,
    )  # fmt: skip
    assert difference["p"] == expected.test.p
    sums, counts = [2 * s + 1 for s in theirs], [2] * 12
    tag = stats.mean_pooled(sums, counts, bounds=stats.UNBOUNDED)
    assert (found["tags"]["m2"]["all"]["low"], found["tags"]["m2"]["all"]["high"]) == (tag.low, tag.high)


def test_a_table_that_leaves_kinds_out_says_so(workplace):
    tags = [{"instruction": f"Question {i}?", **{f"kind {k}": True for k in range(15)}} for i in range(3)]
    name = save(workplace / "a.json", [annotation(i, 2 - i % 2, dataset="") for i in range(3)])
    found = run(name, tags=save(workplace / "tags.json", tags))
    assert len(found.result["tags"]) == 15
    assert found.view.tables[-1].note == "These are the first 12 of 15 kinds. The result (--json) has all."


def test_the_first_by_number_then_by_file(workplace):
    one = save(workplace / "general.10-20.json", [shard(10, {"depth": "1"}), shard(11, {"depth": "1"})])
    two = save(workplace / "general.0-10.json", [shard(0, {"depth": "5"}), shard(9, {"depth": "3"})])
    found = run(one, two, limit=3).result
    assert found["aspects"]["depth"]["mean"] == 3
    lines = save(workplace / "a.json", [annotation(i, 1 + (i < 2)) for i in range(5)])
    assert run(lines, limit=2).result["wins"] == 2


def test_tags_by_id_and_by_instruction(workplace):
    tags = [{"id": 7, "instruction": f"Question {i}?", "math": i == 1, "coding": i < 2, "n": 3} for i in range(3)]
    name = save(workplace / "a.json", [annotation(i, 2 - i % 2, dataset="") for i in range(3)])
    found = run(name, tags=save(workplace / "tags.json", tags)).result["tags"]
    assert {tag: numbers["win_rate"]["n"] for tag, numbers in found.items()} == {"coding": 2, "math": 1}
    with pytest.raises(SettingsError, match=r"none of its 1 items is among the judged ones"):
        run(name, tags=save(workplace / "t.json", [{"id": "z", "math": True}]))
    with pytest.raises(SettingsError, match="no record has an id or instruction and a column that is true"):
        run(name, tags=save(workplace / "t.json", [{"id": "z", "math": "yes"}]))


def test_what_can_t_work_is_refused_and_leaves_nothing(workplace):
    selfee = saved(workplace, "selfee")
    for files, options, message in [
        ([], {}, "no files"),
        (selfee, {"system_names": ("a",)}, "--system-names a: expected two different names"),
        (selfee, {"system_names": ("a", "a")}, "--system-names a a: expected two different names"),
        (saved(workplace, "tunescope"), {"scores": "text"}, "tunescope files can't be read again: without the answers"),
        (saved(workplace, "alpaca_eval"), {"scores": "text"}, "alpaca_eval files keep no replies"),
        (saved(workplace, "just_eval"), {"reference": "x"}, "just_eval files hold no comparisons"),
        (saved(workplace, "just_eval"), {"system_names": ("a", "b")}, "just_eval files name their systems"),
        (saved(workplace, "cherry"), {"one_order": True}, "cherry files aren't one per order"),
    ]:
        with pytest.raises(SettingsError, match=message):
            run(*files, **options)
    with pytest.raises(InputError, match="reviews of one order"):
        run(selfee[0])
    assert not (workplace / "runs").exists() or not list((workplace / "runs").iterdir())


def test_names_of_files_count_where_they_name_systems(workplace):
    one = [save(workplace / n, [line(1, (9, 8), *n[:3:2])]) for n in ("x_vs_y.jsonl", "y_vs_x.jsonl")]
    other = [save(workplace / n, [line(1, (9, 8), *n[:3:2])]) for n in ("p_vs_q.jsonl", "q_vs_p.jsonl")]
    assert run(*one).result["system"] == "x"
    assert run(*other).result["system"] == "p"
    assert run(*one).path == run(*one).path


def test_a_gate(workplace, capsys):
    name = save(workplace / "a.json", [annotation(i, 1 + (i < 2)) for i in range(40)])
    command = ["judge", "recompute", name, "--draws", "200", "--fail-on"]
    assert cli.run([*command, "win_rate.high < 50"]) == 3
    assert cli.run([*command, "win_rate.high > 50 or n_missing > 0"]) == 0
    assert cli.run([*command, "flip_rate > 0.2"]) == 3  # one order: it can't be told
    assert "can't be told" in capsys.readouterr().err


def test_no_verdict_at_all(workplace):
    found = run(save(workplace / "a.json", [annotation(i, None) for i in range(4)]))
    assert (found.result["win_rate"]["mean"], found.result["win_rate"]["reason"]) == (None, "no values")
    assert found.result["win_rate_length_controlled"]["mean"] is None
    assert "None of 4 items has a verdict: 4 items without a reply" in found.view.sentences[0]


def test_on_the_command_line(workplace):
    name = saved(workplace, "cherry")[0]
    names = ("--system-names", "ours", "--names", "theirs")  # the second is what the option was once called
    done = tunescope("judge", "recompute", name, *names, "--json", folder=workplace)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["system"], result["wins"], result["n_unparsed"]) == ("ours", 2, 1)

"""`judge leaderboard`: the order, differences over shared items, and groups that don't differ significantly."""

from __future__ import annotations

import random
import string
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as ss
from statsmodels.stats.multitest import multipletests
from tests.tools import alpaca, real, write_rows
from tests.verbs.judge.judged import annotation, match, review, save, saved, shard, single

from tunescope.errors import RunError, SettingsError
from tunescope.judgements.ranking import SystemDifference, differences, groups
from tunescope.stats import Estimate, PValue
from tunescope.terminal import to_text
from tunescope.verbs.check import CheckSettings, check
from tunescope.verbs.judge.leaderboard import LeaderboardSettings, leaderboard
from tunescope.verbs.judge.recompute import RecomputeSettings, recompute


def board(*runs, **options):
    return leaderboard(LeaderboardSettings(runs=tuple(str(run.path) for run in runs), **options))


def recomputed(*files, **options):
    return recompute(RecomputeSettings(files=tuple(map(str, files)), draws=200, **options))


def annotations(folder, system, preferences):
    records = [annotation(i, p, generator_2=system) for i, p in enumerate(preferences)]
    return recomputed(save(folder / f"{system}.json", records))


def drawn(rate, n=60, seed=0):
    rng = random.Random(seed)
    return [2 if rng.random() < rate else 1 for _ in range(n)]


def test_order_differences_and_groups_by_hand(workplace):
    values = {"low": drawn(0.2, seed=1), "high": drawn(0.9, seed=2), "middle": drawn(0.3, seed=3)}
    values["middle"][7] = None
    run = board(*(annotations(workplace, system, p) for system, p in values.items()))
    entries = run.result["entries"]
    assert list(entries) == ["high", "middle", "low"]
    assert (entries["middle"]["n"], entries["middle"]["n_missing"]) == (59, 1)
    shared = [i for i in range(60) if i != 7]
    expected = []
    for a, b in combinations(entries, 2):
        items = shared if "middle" in (a, b) else range(60)
        expected.append(ss.ttest_rel([values[a][i] for i in items], [values[b][i] for i in items]).pvalue)
    found = run.result["differences"]
    assert [(gap["first"], gap["second"], gap["n"]) for gap in found] == [
        ("high", "middle", 59),
        ("high", "low", 60),
        ("middle", "low", 59),
    ]
    assert [gap["p"] for gap in found] == pytest.approx(expected)
    assert [gap["p_holm"] for gap in found] == pytest.approx(multipletests(expected, method="holm")[1])
    assert {name: entry["group"] for name, entry in entries.items()} == {"high": "a", "middle": "b", "low": "b"}
    assert found[0]["difference"] == pytest.approx(
        100 * sum(values["high"][i] - values["middle"][i] for i in shared) / 59
    )
    assert run.tables["board"].num_rows == run.tables["differences"].num_rows == 3
    assert "2 of 3 pairs differ significantly" in run.view.sentences[1]
    assert any(s.startswith("59 items can't show which of middle and low is better") for s in run.view.sentences)


def test_one_run_of_several_or_several_of_one_are_the_same_board(workplace):
    files = []
    for system, rate in (("p", 0.2), ("q", 0.7)):
        records = [annotation(i, p, generator_2=system) for i, p in enumerate(drawn(rate))]
        files.append(save(workplace / f"{system}.json", records))
    together, apart = board(recomputed(*files)), board(*(recomputed(file) for file in files))
    for name in ("p", "q"):
        one, other = together.result["entries"][name], apart.result["entries"][name]
        assert {k: v for k, v in one.items() if k != "run"} == {k: v for k, v in other.items() if k != "run"}
    assert together.result["differences"] == apart.result["differences"]


def test_systems_that_never_agree_differ_significantly(workplace):
    """Every difference is 1, so that a t-test has no p."""
    run = board(annotations(workplace, "wins", [2] * 12), annotations(workplace, "loses", [1] * 12))
    (gap,) = run.result["differences"]
    assert gap["p"] == 2 / 2**12
    assert gap["significant"]
    same = board(annotations(workplace, "wins", [2] * 12), annotations(workplace, "also", [2] * 12))
    assert {entry["group"] for entry in same.result["entries"].values()} == {"a"}


def test_no_shared_items(workplace):
    """Parts of Cherry_LLM's reviews: Welch's test."""
    rng = random.Random(4)
    files = []
    for name, start in (("one", 0), ("two", 100)):
        pairs = [rng.choices(range(1, 11), k=2) for _ in range(30)]
        reviews = [review(i, pair, pair[::-1]) for i, pair in enumerate(pairs, start)]
        files.append(save(workplace / f"{name}.json", {"data": reviews}))
    run = board(recomputed(*files))
    assert set(run.result["entries"]) == {"Answer1 one", "Answer1 two"}
    assert run.result["differences"][0]["paired"] is False
    assert "unpaired" in to_text(run.view, 200)


def test_scores_by_aspect(workplace):
    rng = random.Random(0)
    runs = []
    for system, best in (("good", 5), ("poor", 3)):
        records = [
            shard(i, {"depth": str(rng.randint(1, best)), "clarity": "N/A" if i % 2 else "4"}, generator_cand=system)
            for i in range(40)
        ]
        runs.append(recomputed(save(workplace / f"{system}.json", records)))
    run = board(*runs, by="depth")
    assert list(run.result["entries"]) == ["good", "poor"]
    assert run.result["entries"]["good"]["n"] == 40
    clarity = board(*runs, by="clarity").result["entries"]
    assert (clarity["good"]["mean"], clarity["good"]["n"], clarity["good"]["n_missing"]) == (4, 20, 20)
    assert board(*runs).result["by"] == "all_aspects"
    with pytest.raises(SettingsError, match=r"--by safety: the aspects in .* are depth, clarity|clarity, depth"):
        board(*runs, by="safety")


@pytest.mark.parametrize(("record", "top"), [(shard, 5), (single, 10)])
def test_the_interval_of_scores_ends_at_the_format_s_scale(workplace, record, top):
    def scored(number, score):
        return record(number, {"depth": str(score)} if record is shard else score)

    records = [scored(1, 1), *(scored(number, top) for number in range(2, 21))]
    (only,) = board(recomputed(save(workplace / "scores.json", records))).result["entries"].values()
    assert (only["mean"], only["high"]) == (pytest.approx(top - (top - 1) / 20), top)


def test_the_difference_of_two_systems_ends_where_their_values_do(workplace):
    """One always wins, the other loses 11 of 12: the difference of the two can't be more than 100 points."""
    runs = [annotations(workplace, "good", [2] * 12), annotations(workplace, "poor", [1] * 11 + [2])]
    (gap,) = board(*runs).result["differences"]
    assert gap["difference"] == pytest.approx(1100 / 12)
    assert gap["high"] == 100


def test_rounding_is_no_difference(workplace):
    """Verdicts that differ by one step of a float in every item were significantly different, p = 0."""
    values = {f"{i}": 0.1 + 0.2 * (i % 4) for i in range(30)}
    (gap,) = differences(
        {"a": values, "b": {item: value + 1e-15 * (1 + int(item) % 2) for item, value in values.items()}}
    )
    assert (gap.estimate.value, gap.test.p, gap.is_significant) == (0, 1, False)


def test_what_doesn_t_compare_is_refused(workplace):
    pairs = recomputed(*saved(workplace, "alpaca_eval"))
    other = recomputed(save(workplace / "other.json", [annotation(1, 2, generator_1="else", annotator="judge")]))
    with pytest.raises(SettingsError, match=r"several references \(base, else\), whose numbers don't compare"):
        board(pairs, other)
    assert board(pairs, other, reference="base").result["n"] == 1
    with pytest.raises(SettingsError, match="--reference z: the references here are base, else"):
        board(pairs, other, reference="z")
    judged = [save(workplace / "j.json", [annotation(1, 2, annotator="x")])]
    with pytest.raises(SettingsError, match="several judges"):
        board(pairs, recomputed(*judged))
    with pytest.raises(SettingsError, match="some runs hold verdicts on pairs of answers and some scores"):
        board(pairs, recomputed(*saved(workplace, "just_eval")))
    with pytest.raises(SettingsError, match=r"--by depth: .* rank by win_rate"):
        board(pairs, by="depth")
    with pytest.raises(SettingsError, match="no runs"):
        board()
    with pytest.raises(SettingsError, match="nothing to rank"):
        board(recomputed(save(workplace / "n.json", [annotation(1, None)])))
    checked = check(CheckSettings(rows=(str(write_rows(workplace / "a.jsonl", [alpaca("Q?", "A.")])),)))
    for run in (checked, board(pairs)):
        with pytest.raises(RunError, match=r"is a run of .*; expected runs of judge that hold verdicts or scores"):
            board(run)


def test_the_same_system_twice_has_its_run_behind_it(workplace):
    one = annotations(workplace / "one", "p", drawn(0.5, seed=1))
    two = annotations(workplace / "two", "p", drawn(0.5, seed=2))
    assert set(board(one, two).result["entries"]) == {f"p ({one.path})", f"p ({two.path})"}


def test_systems_with_equal_names_stay_two(workplace):
    """Part and system make a name: "p q" of one and "p" of part "q r" …"""
    files = []
    for part, system in (("q r", "p"), ("r", "p q")):
        name = save(workplace / f"{part}.json", {"data": [review(i, (9, 8), (8, 9)) for i in range(3)]})
        files.append(recomputed(name, system_names=(system, "base")))
    assert list(board(*files).result["entries"]) == [f"p q r ({run.path})" for run in files]


def test_many_models_of_one_file(workplace):
    rng = random.Random(1)
    matches = [
        match(q, w := rng.choices(["model_1", "model_2"], [k, 10 - k])[0], w, model_1=f"m{k}", model_2="base")
        for k in range(1, 10, 2)
        for q in range(40)
    ]
    run = board(recomputed(save(workplace / "pair.jsonl", matches)))
    entries = run.result["entries"]
    rates = [entry["mean"] for entry in entries.values()]
    assert rates == sorted(rates, reverse=True)
    assert run.result["comparisons"] == 10


def test_turns_count_as_one_question(workplace):
    rng = random.Random(2)
    matches = [
        match(q, w := rng.choice(["model_1", "model_2"]), w, turn, model_1=m, model_2="base")
        for m in ("p", "q")
        for q in range(20)
        for turn in (1, 2)
    ]
    run = board(recomputed(save(workplace / "pair.jsonl", matches)))
    (gap,) = run.result["differences"]
    wins = {(m["model_1"], m["question_id"], m["turn"]): float(m["g1_winner"] == "model_1") for m in matches}
    first, second = gap["first"], gap["second"]
    means = [[(wins[s, q, 1] + wins[s, q, 2]) / 2 for q in range(20)] for s in (first, second)]
    assert gap["n"] == 20
    assert gap["p"] == pytest.approx(ss.ttest_rel(*means).pvalue)
    assert run.result["entries"]["p"]["n"] == 40


@pytest.mark.slow
def test_the_leaderboard_of_the_reflection_tuning_paper(workplace):
    """The five rows of its Table 1 whose judgements are here: the recycled 7B model isn't told from WizardLM 13B."""
    run = board(recomputed(*sorted(real("alpaca_eval", "annotations").glob("*.json"))))
    assert {name: entry["group"] for name, entry in run.result["entries"].items()} == {
        "gpt4": "a",
        "recycled-wizardlm-7b-v1.0": "b",
        "wizardlm-13b": "b c",
        "llama-2-7b-chat-hf": "c",
        "alpaca-7b": "d",
    }


@given(
    st.integers(1, 7).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.sampled_from(list(combinations(range(7), 2)))))
    )
)
def test_two_share_a_letter_exactly_where_they_do_not_differ_significantly(case):
    n, apart = case
    names = list(string.ascii_uppercase[:n])
    nothing = Estimate(0, None, None, 9, 0, 0.95, "")
    found = [
        SystemDifference(a, b, True, nothing, PValue(None, None, 9, 0, ""), 0.01 if pair in apart else 0.5)
        for pair in combinations(range(n), 2)
        for a, b in [(names[pair[0]], names[pair[1]])]
    ]
    letters = {name: set(given.split()) for name, given in groups(names, found).items()}
    for each in found:
        assert bool(letters[each.first] & letters[each.second]) == (not each.is_significant)
    assert all(letters.values())


def test_differences_of_one_system_are_none():
    assert differences({"a": {"1": 1.0}}) == []
    assert groups(["a"], []) == {"a": "a"}


def test_an_interval_holds_0_where_the_corrected_p_isn_t_significant(workplace):
    names = "abcdefg"
    systems = {name: drawn(0.35 + 0.05 * k, seed=k) for k, name in enumerate(names)}
    run = board(*(annotations(workplace, name, preferences) for name, preferences in systems.items()))
    gaps = run.result["differences"]
    assert any(gap["p"] < 0.05 <= gap["p_holm"] for gap in gaps)
    assert any(gap["significant"] for gap in gaps)
    assert [gap["low"] <= 0 <= gap["high"] for gap in gaps] == [gap["p_holm"] >= 0.05 for gap in gaps]

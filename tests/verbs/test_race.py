"""`study race`: its numbers against numpy and scipy by hand, what it reads behind the scores, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as reference
from tests.race_runs import write_bench, write_pool, write_scored, write_selected

from tunescope.errors import RunError, SettingsError
from tunescope.verbs.race import RaceSettings, race

IDS = [f"{n:016x}" for n in range(8)]
FALSE = [*IDS[:4], IDS[4] + ".2"]
"""Four rows are false, and so is the fifth, whose repeat is: ids are of the content."""
RULES = {
    "random": ({}, [IDS[0], IDS[3], IDS[6]]),
    "highest n": ({"by": "n"}, [IDS[5], IDS[6], IDS[7]]),
    "lowest n where n > 1": ({"by": "n", "ascending": True, "where": "n > 1"}, [IDS[1], IDS[4]]),
}
SCORES = {
    "random": [(0.5, 0.7), (0.55, 0.6), (0.6, 0.75), (0.5, 0.65)],
    "highest n": [(0.9, 0.8), (0.85, 0.9), (0.8, 0.95), (0.9, 0.9)],
    "lowest n where n > 1": [(0.5, 0.6), (0.6, 0.7), (0.55, 0.7), (0.6, 0.65)],
}


def run_of(folder, rule: str, seed: int, pool: str, **settings):
    """Write the rows of a rule and a model tuned on them; return the run of bench."""
    options, kept = RULES[rule]
    name = f"{list(RULES).index(rule)}-{seed}"
    chosen = write_selected(folder / f"select-{name}", pool, IDS, kept, **options, **settings.pop("selected", {}))
    scores = dict(zip(("open", "shown"), SCORES[rule][seed], strict=True))
    return write_scored(folder / f"bench-{name}", f"{chosen}/rows.jsonl", seed, scores, **settings)


@pytest.fixture
def runs(workplace):
    """Return the runs of all rules with four seeds, each of which has rows of its own to choose from."""
    pools = [write_pool(workplace / f"dose-{seed}", [*IDS, FALSE[4]], FALSE) for seed in range(4)]
    return [run_of(workplace, rule, seed, pools[seed]) for rule in RULES for seed in range(4)]


def t_interval(values, bounds):
    mean, error = np.mean(values), np.std(values, ddof=1) / len(values) ** 0.5
    half = reference.t.ppf(0.975, len(values) - 1) * error
    return pytest.approx([mean, max(bounds[0], mean - half), min(bounds[1], mean + half)])


def numbers(estimate):
    return [estimate["mean"], estimate["low"], estimate["high"]]


def test_by_hand(runs):
    made = race(RaceSettings(runs=tuple(runs)))
    rules = {rule["rule"]: rule for rule in made.result["rules"]}
    assert [*rules] == ["highest n", "lowest n where n > 1", "random"]  # the best first
    means = {rule: np.mean(scores, axis=1) for rule, scores in SCORES.items()}
    p = {}
    for rule, record in rules.items():
        assert numbers(record["scores"]["mean"]) == t_interval(means[rule], (0, 1))
        for task, column in zip(("open", "shown"), np.transpose(SCORES[rule]), strict=True):
            assert numbers(record["scores"][task]) == t_interval(column, (0, 1))
            assert record["scores"][task]["n"] == record["seeds"] == 4
        if rule != "random":
            apart = means[rule] - means["random"]
            assert numbers(record["differences"]["mean"]) == t_interval(apart, (-1, 1))
            p[rule] = reference.ttest_rel(means[rule], means["random"]).pvalue
            assert record["p"] == pytest.approx(p[rule])
    small, large = sorted(p.values())
    assert rules["highest n"]["p_holm"] == pytest.approx(2 * small)
    assert rules["lowest n where n > 1"]["p_holm"] == pytest.approx(max(2 * small, large))
    assert (rules["random"]["p"], rules["random"]["p_holm"], rules["random"]["differences"]) == (None, None, None)
    assert rules["highest n"]["seeds_needed"] == 0
    assert rules["lowest n where n > 1"]["seeds_needed"] > 4


def test_what_was_chosen(runs):
    made = race(RaceSettings(runs=tuple(runs)))
    chosen = {rule["rule"]: (rule["rows"], rule["tokens"], rule["noise"]["mean"]) for rule in made.result["rules"]}
    assert chosen == {"random": (3, 30, 2 / 3), "highest n": (3, 30, 0), "lowest n where n > 1": (2, 20, 1)}
    assert made.result["pool_noise"] == 5 / 8
    assert (made.result["token_budget"], made.result["counted_with"]) == (30, "m")
    tunings = made.tables["tunings"].to_pydict()
    assert tunings["score"] == [score for rule in RULES for pair in SCORES[rule] for score in pair]
    assert tunings["rule"] == [rule for rule in RULES for _ in range(8)]
    first, second, third, *_ = made.view.sentences
    assert first == "Of 2 ways to choose rows, 1 is better than drawing them at random: highest n."
    assert second.startswith("lowest n where n > 1 can't be told from random here: +0.6 points (")
    assert third.startswith("lowest n where n > 1 chose 20 tokens on average, of the 30 allowed")


def test_none_is_better_and_one_is_worse(workplace):
    pool = write_pool(workplace / "dose", IDS, FALSE)
    runs = []
    for rule, shift in (("random", 0.5), ("highest n", 0.1)):
        for seed in range(3):
            chosen = write_selected(workplace / f"s{rule}{seed}", pool, IDS, RULES[rule][1], **RULES[rule][0])
            scores = {"open": shift + seed / 100 + (seed == 2) / 200}
            runs.append(write_scored(workplace / f"b{rule}{seed}", f"{chosen}/rows.jsonl", seed, scores))
    made = race(RaceSettings(runs=(*runs, write_bench(workplace / "before", "m", {"open": 0.25}))))
    assert made.view.sentences[:2] == (
        "Of 1 way to choose rows, none is shown to be better than drawing them at random.",
        "highest n: all seeds differ from random by the same, -40.0 points (3 seeds): there is no interval.",
    )
    assert made.result["before"] == {"open": 0.25}
    assert "Before tuning: open 0.250." in made.view.sentences
    assert [*made.result["rules"][0]["scores"]] == ["open"]
    assert len(made.view.tables) == 2


def test_a_missing_seed_is_counted(runs):
    made = race(RaceSettings(runs=tuple(runs[1:])))  # random with seed 0 is gone
    rules = {rule["rule"]: rule for rule in made.result["rules"]}
    assert rules["random"]["seeds"] == 3
    for rule in ("highest n", "lowest n where n > 1"):
        difference = rules[rule]["differences"]["mean"]
        assert (difference["n"], difference["n_missing"]) == (3, 1)
        apart = np.mean(SCORES[rule], axis=1)[1:] - np.mean(SCORES["random"], axis=1)[1:]
        assert numbers(difference) == t_interval(apart, (-1, 1))


def test_rules_that_kept_the_same_rows(workplace):
    """One tuned model stands for both; without their runs of select one of them isn't seen."""
    pool = write_pool(workplace / "dose", IDS, FALSE)
    runs, selected = [], []
    for seed in range(2):
        for rule, options, kept in (("random", {}, IDS[:3]), ("one", {"by": "one"}, IDS[4:6])):
            chosen = write_selected(workplace / f"s{rule}{seed}", pool, IDS, kept, **options)
            scores = {"open": 0.5 + seed / 10 + (rule == "one") / 4}
            runs.append(write_scored(workplace / f"b{rule}{seed}", f"{chosen}/rows.jsonl", seed, scores))
    selected.append(write_selected(workplace / "other", pool, IDS, IDS[4:6], by="other"))
    alone = race(RaceSettings(runs=tuple(runs)))
    assert {rule["rule"] for rule in alone.result["rules"]} == {"random", "highest one"}
    both = race(RaceSettings(runs=tuple(runs), selected=tuple(selected)))
    rules = {rule["rule"]: rule for rule in both.result["rules"]}
    assert {*rules} == {"random", "highest one", "highest other"}
    assert rules["highest other"]["scores"] == rules["highest one"]["scores"]
    assert rules["highest other"]["seeds"] == 2
    assert both.path != alone.path


def test_rows_that_no_dose_made_false(workplace):
    runs = [run_of(workplace, rule, seed, "mine.jsonl") for rule in RULES for seed in range(2)]
    made = race(RaceSettings(runs=tuple(runs)))
    assert made.result["pool_noise"] is None
    assert {rule["noise"] for rule in made.result["rules"]} == {None}
    assert "planted noise" not in str(made.view)


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"selected": {"tokens": {"budget": 31}}}, SettingsError, "the tokens aren't equal: 30 with m, up to 1,024"),
        ({"selected": {"tokens": {"model": "o"}}}, SettingsError, "; 30 with o, up to 1,024"),
        ({"lr": 0.1}, SettingsError, "were tuned in different ways"),
        ({"method": "lora"}, SettingsError, "were tuned in different ways"),
    ],
)
def test_what_is_not_equal(workplace, change, error, sentence):
    pool = write_pool(workplace / "dose", IDS, FALSE)
    runs = [run_of(workplace, "random", 0, pool), run_of(workplace, "highest n", 0, pool, **change)]
    with pytest.raises(error) as caught:
        race(RaceSettings(runs=tuple(runs)))
    assert sentence in str(caught.value)


def test_what_is_no_race(workplace, runs):
    pool = write_pool(workplace / "dose", IDS, FALSE)
    dose = str(workplace / "dose")
    with pytest.raises(RunError, match="is a run of falsify dose; expected runs of bench"):
        race(RaceSettings(runs=(dose,)))
    with pytest.raises(RunError, match="is a run of falsify dose; expected runs of select"):
        race(RaceSettings(runs=tuple(runs), selected=(dose,)))
    with pytest.raises(SettingsError, match=r"^found rows chosen by random; expected some drawn at random \(select"):
        race(RaceSettings(runs=tuple(runs[:4])))
    with pytest.raises(SettingsError, match=r"^found rows chosen by highest n, lowest n where n > 1; expected some"):
        race(RaceSettings(runs=tuple(runs[4:])))
    with pytest.raises(SettingsError, match=r"^found rows chosen by none"):
        race(RaceSettings(runs=(write_bench(workplace / "base", "m", {"open": 1.0}),)))
    others = [write_bench(workplace / f"base-{n}", "m", {"open": 1.0}) for n in range(2)]
    with pytest.raises(SettingsError, match="scored models that weren't tuned here; give one of them"):
        race(RaceSettings(runs=(*runs, *others)))
    again = run_of(workplace / "again", "random", 0, pool.replace("dose", "dose-0"))
    with pytest.raises(SettingsError, match="two models were tuned on rows by random with seed 0; give one"):
        race(RaceSettings(runs=(*runs, again)))
    by_hand = write_scored(workplace / "by-hand", "mine.jsonl", 0, {"open": 1.0})
    with pytest.raises(RunError, match=r"was tuned on mine\.jsonl; expected the rows of one run of `select --tokens`"):
        race(RaceSettings(runs=(*runs, by_hand)))
    chosen = write_selected(workplace / "counted", pool, IDS, IDS[:2])
    path = workplace / "counted" / "run.json"
    path.write_text(path.read_text().replace('"tokens": {', '"words": {'))
    uncounted = write_scored(workplace / "uncounted", f"{chosen}/rows.jsonl", 0, {"open": 1.0})
    with pytest.raises(RunError, match="kept rows without --tokens; expected as many tokens for each way"):
        race(RaceSettings(runs=(*runs, uncounted)))

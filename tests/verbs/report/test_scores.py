"""The page's scores: what the runs of `bench` and their comparison hold, as texts and as places on a scale."""

from __future__ import annotations

import re
from math import comb

from tests.tools import write_rows
from tests.verbs.report.bench_runs import bench_run, spread_of
from tests.verbs.report.svg import pictures, shares, ticks, whiskers

from tunescope.results.bench import BenchResult
from tunescope.results.compare import ScoresResult
from tunescope.verbs.compare import CompareSettings, compare
from tunescope.verbs.report import ReportSettings, report

RIGHT, WRONG = 1.0, 0.0
COPA = [RIGHT] * 15 + [WRONG] * 5
WORSE = [RIGHT] * 3 + [WRONG] * 17
SUBJECTS = {"anatomy": [WRONG] * 30, "world_religions": [RIGHT] * 16 + [WRONG] * 4, "virology": [RIGHT, WRONG] * 10}


def page_of(*runs):
    made = report(ReportSettings(runs=tuple(str(run.path) for run in runs)))
    return (made.path / "report.html").read_text("utf-8"), made.result["opening"]


def charts(page):
    """Return every table as title → its head and rows of texts, in order."""
    found = {}
    for title, table in re.findall(r"<table><caption>(.*?)</caption>(.*?)</table>", page, re.DOTALL):
        rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
        found[title] = [
            [re.sub(r"<[^>]+>", "", cell).replace("\xa0", " ") for cell in re.findall(r"<t[hd].*?</t[hd]>", row)]
            for row in rows
        ]
    return found


def drawn(page, names):
    """Return the marks of the picture of these tasks, its whiskers and the ticks of chance, as shares of its width."""
    svg = pictures(page)[f"score: {names}"]
    return shares(svg), whiskers(svg), ticks(svg)


def write_samples(run, task, items):
    """Write a task's items beside a run, as lm-eval does."""
    records = [{"doc_id": n, "doc_hash": f"{task}{n}", "acc": score} for n, score in enumerate(items)]
    write_rows(run.path / f"samples_{task}.jsonl", records)


def test_a_row_per_task_and_a_column_per_model(workplace):
    a = bench_run(workplace / "a", {"copa": COPA, "my_own": COPA}, model="org/base")
    b = bench_run(workplace / "b", {"copa": WORSE}, model="tuned")
    page, _ = page_of(a, b)
    scores = {name: BenchResult.read(run).tasks["copa"] for name, run in (("a", a), ("b", b))}
    first, second = (f"{s.score:.3f} [{s.low:.3f}, {s.high:.3f}]" for s in scores.values())
    assert charts(page)["Scores"] == [
        ["task", "base", "tuned", "chance", "n", "missing", "metric", "exemplars"],
        ["copa", first, second, "0.25", "20", "0", "acc", "5"],
        ["my_own", first, "–", "0.25", "20", "0", "acc", "5"],
    ]
    marks, ranges, chance = drawn(page, "copa, my_own")
    assert marks == [0.75, 0.15, 0.75]
    assert ranges == [(round(s.low, 3), round(s.high, 3)) for s in (scores["a"], scores["b"], scores["a"])]
    assert chance == [0.25, 0.25]


def test_what_isnt_the_same_for_all_models_stands_for_each(workplace):
    runs = [
        bench_run(workplace / "a", {"copa": COPA}, model="base"),
        bench_run(workplace / "b", {"copa": [*COPA, None]}, model="base"),
        bench_run(workplace / "c", {"copa": COPA}, model="tuned", shots=0),
    ]
    head, *rows = charts(page_of(*runs)[0])["Scores"]
    assert head[1:4] == ["base (a)", "base (b)", "tuned"]
    assert [(row[0], *row[4:]) for row in rows] == [
        ("copa", "0.25", "20", "0 / 1", "acc", "5"),
        ("copa", "0.25", "20", "0", "acc", "0"),
    ]
    assert [row[3] == "–" for row in rows] == [True, False]


def test_five_models_make_two_charts(workplace):
    runs = [bench_run(workplace / str(n), {"copa": COPA}, model=f"m{n}") for n in range(5)]
    page, opening = page_of(*runs)
    heads = [re.findall(r"<th[^>]*>(m\d)</th>", table) for table in page.split("<table>")[1:]]
    assert heads == [["m0", "m1", "m2", "m3"], ["m4"]]
    assert opening[0].count("on copa (n = 20, guessing 0.25)") == 5


def test_subjects_are_sorted_and_scored_under_the_runs_own_choice(workplace):
    a = bench_run(workplace / "a", {"copa": COPA}, model="base", subjects=SUBJECTS)
    b = bench_run(workplace / "b", {"copa": COPA}, model="tuned", subjects={"anatomy": COPA})
    page, _ = page_of(a, b)
    rows = charts(page)["mmlu by subject"][1:]
    assert [(row[0], row[1][:5], row[2][:5], row[3]) for row in rows] == [
        ("world religions", "0.800", "–", "20"),
        ("virology", "0.500", "–", "20"),
        ("anatomy", "0.000", "0.750", "30 / 20"),
    ]
    assert rows[1][1] == "0.500 [0.299, 0.701]"  # Wilson's interval of 10 of 20
    marks, ranges, chance = drawn(page, "world religions, virology, anatomy")
    assert (marks, chance) == ([0.8, 0.5, 0.0, 0.75], [0.25] * 3)
    assert ranges[2] == (0.0, 0.114)  # Wilson's upper end of 0 of 30
    assert (
        "base is above guessing on 2 of 3 subjects of mmlu, and below on 1. By luck alone it would be on about 0.1 and "
        "0.1. tuned is above guessing on 1 of 1 subject of mmlu, and below on 0. By luck alone it would be on about "
        "0.0 and 0.0."
    ) in page


def test_luck_is_counted_exactly_for_small_subjects(workplace):
    """Of 11 items Wilson's interval is above a quarter from 6 right on, and with 0 right not yet below it."""
    subjects = {f"s{n}": [RIGHT] * 3 + [WRONG] * 8 for n in range(20)}
    page, _ = page_of(bench_run(workplace / "a", {"copa": COPA}, subjects=subjects))
    above = 20 * sum(comb(11, count) * 0.25**count * 0.75 ** (11 - count) for count in range(6, 12))
    assert f"By luck alone it would be on about {above:.1f} and 0.0." in page


def test_subjects_have_the_chance_of_their_task_whatever_its_label(workplace):
    run = bench_run(workplace / "a", {"copa": COPA}, subjects=SUBJECTS, label="mmlu over subjects")
    page, _ = page_of(run)
    assert drawn(page, "world religions, virology, anatomy")[2] == [0.25] * 3
    assert "base is above guessing on 2 of 3 subjects of mmlu" in page


def test_means_name_what_is_missing(workplace):
    a = bench_run(workplace / "a", {"copa": COPA, "piqa": WORSE}, model="base")
    b = bench_run(workplace / "b", {"copa": COPA}, model="tuned", missing={"piqa": "no data"})
    page, opening = page_of(a, b)
    assert charts(page)["Means"][1:] == [["all", "0.450", "–", "2", "piqa"]]
    assert drawn(page, "all") == ([0.45], [], [])
    assert opening[0].startswith(
        "What models score on smoke: base a mean of 0.450 over 2 tasks with 40 items, above guessing on 1 of 2; tuned "
        "0.750 [0.531, 0.888] on copa (n = 20, guessing 0.25)."
    )


def test_the_spread_over_choices_beside_the_interval_over_items(workplace):
    choices = {"plain 1234": 0.75, "plain 1235": 1.0, "chat 1234": 0.5, "chat 1235": 0.75}
    spread = {"copa": spread_of(COPA, choices)}
    page, _ = page_of(bench_run(workplace / "a", {"copa": COPA}, spread=spread))
    head, row = charts(page)["What the scores of base depend on"]
    low, high = spread["copa"].low, spread["copa"].high
    assert dict(zip(head, row, strict=True)) == {
        "task": "copa",
        "mean": "0.750",
        "95 % over items": f"[{low:.3f}, {high:.3f}]",
        "lowest": "0.500",
        "highest": "1.000",
        "choices": "4",
        "template": "-0.125",
        "exemplars": "–",
        "n": "20",
    }
    marks, ranges, chance = drawn(page, "copa")
    assert (marks, chance) == ([0.75, 0.75, 1.0, 0.5, 0.75], [0.25])
    assert ranges == [(round(low, 3), round(high, 3))]


def test_a_score_on_another_scale_isnt_drawn(workplace):
    run = bench_run(workplace / "a", {"copa": COPA})
    said = run.path / "run.json"
    said.write_text(said.read_text("utf-8").replace('"score": 0.75', '"score": 75.0'))
    page, _ = page_of(run)
    assert "score: copa" not in pictures(page)
    assert charts(page)["Scores"][1][1].startswith("75.000 ")


def test_texts_of_a_run_stay_texts(workplace):
    hostile = "</td><script>alert(1)</script>"
    page, _ = page_of(bench_run(workplace / "a", {hostile: COPA}, model="<b>bold"))
    assert "<script>alert" not in page
    assert "<b>bold" not in page
    assert "<td>&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt;</td>" in page


def test_the_opening_says_how_two_models_score(workplace):
    """The comparison's numbers stand in the sentence; the step is what isn't done yet."""
    a = bench_run(workplace / "a", {"copa": COPA * 4, "piqa": COPA * 4, "few": COPA}, model="base")
    b = bench_run(workplace / "b", {"copa": WORSE * 4, "piqa": COPA * 4, "few": [*COPA[1:], RIGHT]}, model="tuned")
    for run, tasks in ((a, (COPA * 4, COPA * 4, COPA)), (b, (WORSE * 4, COPA * 4, [*COPA[1:], RIGHT]))):
        for name, items in zip(("copa", "piqa", "few"), tasks, strict=True):
            write_samples(run, name, items)
    _, opening = page_of(a, b)
    assert opening[0] == (
        "What models score on smoke: base a mean of 0.750 over 3 tasks with 180 items, above guessing on 3 of 3; tuned "
        "a mean of 0.550 over 3 tasks with 180 items, above guessing on 2 of 3, below on copa."
    )
    assert opening[1:] == [
        f"What to do next: see item by item whether the scores differ. Type: tunescope compare {a.path} {b.path}"
    ]
    compared = compare(CompareSettings(a=str(a.path), b=str(b.path), no_harm=5))
    page, opening = page_of(a, b, compared)
    difference = ScoresResult.read(compared).tasks["copa"].difference
    assert opening[1] == (
        "How tuned scores compared with base, item by item: below by 60.0 points "
        f"[{100 * difference.low:.1f}, {100 * difference.high:.1f}] on copa (n = 80); no difference found on 2 of 3 "
        "tasks. With a margin of 5 points: no harm on piqa; harm on copa; too few items of few to tell."
    )
    assert len(opening) == 2
    assert ">Compared: base and tuned</h2>" in page


def test_the_step_after_scores_is_what_the_run_names(workplace):
    command = "tunescope bench --model base --spread"
    run = bench_run(workplace / "a", {"copa": COPA}, following=(command, "tunescope compare a OTHER_BENCH_RUN"))
    page, opening = page_of(run)
    assert opening[-1] == (f"What to do next: see how far the scores depend on template and exemplars. Type: {command}")
    assert "tunescope compare a OTHER_BENCH_RUN" in page


def test_runs_without_a_task_in_common_have_sections_of_their_own(workplace):
    a = bench_run(workplace / "a", {"copa": COPA}, model="base")
    b = bench_run(workplace / "b", {"piqa": WORSE}, model="base")
    page, opening = page_of(a, b)
    assert [name in page for name in ('id="scores-1"', 'id="scores-2"', 'id="scores-3"')] == [True, True, False]
    assert [said.partition(" [")[0] for said in opening] == [
        "What models score on smoke: base 0.750",
        "What models score on smoke: base 0.150",
    ]

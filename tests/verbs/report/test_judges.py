"""Judgements on the page: win rates, outcomes and leaderboards are drawn as their tables have them."""

from __future__ import annotations

from tests.verbs.judge.contests import judge, outputs, scores
from tests.verbs.judge.judged import annotation, save
from tests.verbs.report.svg import pictures, shares, whiskers

from tunescope.models.names import ModelNames
from tunescope.results.judge import ComparisonRow
from tunescope.verbs.judge.leaderboard import LeaderboardSettings, leaderboard
from tunescope.verbs.judge.pairwise import PairwiseSettings, pairwise
from tunescope.verbs.judge.recompute import RecomputeSettings, recompute
from tunescope.verbs.report.judge_pictures import board_picture, judge_pictures
from tunescope.verbs.report.judgement_browser import judgements
from tunescope.verbs.report.tiles import tiles


def judged(folder, system, preferences):
    records = [annotation(i, p, generator_2=system) for i, p in enumerate(preferences)]
    return recompute(RecomputeSettings(files=(str(save(folder / f"{system}.json", records)),), draws=200))


def test_a_win_rate_stands_where_its_table_has_it(workplace):
    run = judged(workplace, "ours", [2] * 30 + [1] * 10)
    (row,) = ComparisonRow.read_rows(run)
    drawn = pictures(judge_pictures(run))
    svg = drawn[f"win rate against {row.reference}, %: ours"]
    assert shares(svg)[0] == 0.75
    assert whiskers(svg)[0] == (round(row.win_rate_low / 100, 3), round(row.win_rate_high / 100, 3))
    assert f"items against {row.reference}: ours" in drawn
    (tile,) = tiles([run], ModelNames([run]), {})
    assert (tile.number, tile.label) == ("75.0 %", "win rate")


def test_a_leaderboard_names_who_cant_be_told_apart(workplace):
    runs = [judged(workplace, name, [2] * wins + [1] * (40 - wins)) for name, wins in (("a", 30), ("b", 29), ("c", 4))]
    board = leaderboard(LeaderboardSettings(runs=tuple(str(run.path) for run in runs)))
    groups = {name: each["group"] for name, each in board.result["entries"].items()}
    assert groups["a"] == groups["b"] != groups["c"]
    page = board_picture(board)
    (said,) = pictures(page)
    assert said == "win rate, %: " + ", ".join(f"{name} ({group})" if group else name for name, group in groups.items())
    assert shares(pictures(page)[said]) == [0.75, 0.725, 0.1]
    assert "Systems that share a letter can't be told apart." in page


def contest(folder):
    """Judge two answers of each of two systems: better in both orders, and better only where it is shown first."""
    ours = outputs(folder / "ours.jsonl", "ours", {"Why?": "Ours 0", "How?": "Ours 1"})
    theirs = outputs(folder / "theirs.jsonl", "theirs", {"How?": "Theirs 1", "Why?": "Theirs 0"})
    replies = [scores("Ours 0", "Theirs", "9 7"), scores("Theirs 0", "Ours", "6 8")]
    replies += [scores("Ours 1", "Theirs", "8 7"), scores("Theirs 1", "Ours", "8 7")]
    oracle = judge(folder / "fake.jsonl", *replies)
    return pairwise(PairwiseSettings(answers=(ours, theirs), oracle=oracle, draws=200))


def test_a_judgement_is_read_with_its_answers_and_replies(workplace):
    run = contest(workplace)
    data = judgements(run)
    assert [(name, n) for name, _, n in data["faults"]] == [("win", 1), ("tie", 1), ("changed with the order", 1)]
    by_question = {row["messages"][0][1]: row for row in data["rows"]}
    why = by_question["Why?"]
    assert why["faults"] == [
        ["win", "ours against theirs", "prefers the system's, 9 to 7; prefers the system's, 8 to 6"],
    ]
    assert [name for name, _, _ in why["messages"]] == [
        "question",
        "ours",
        "theirs",
        "the judge, the system's answer first",
        "the judge, the reference's answer first",
    ]
    assert [text for _, text, _ in why["messages"]][1:3] == ["Ours 0", "Theirs 0"]
    assert why["messages"][3][1].endswith(": 9 7")
    assert [fault[0] for fault in by_question["How?"]["faults"]] == ["tie", "changed with the order"]


def test_answers_that_have_changed_since_arent_shown_as_those_judged(workplace):
    run = contest(workplace)
    outputs(workplace / "ours.jsonl", "ours", {"Why?": "Another", "How?": "Another"})
    texts = [text for row in judgements(run)["rows"] for _, text, _ in row["messages"]]
    assert "Another" not in texts
    assert "Theirs 0" in texts
    assert texts.count("not shown: these answers can't be read any more as they were judged") == 2


def test_judgements_of_others_are_read_as_their_file_has_them(workplace):
    run = judged(workplace, "ours", [2] * 3 + [1])
    data = judgements(run)
    assert [(name, n) for name, _, n in data["faults"]] == [("win", 3), ("loss", 1)]
    assert ["instruction", "Question 0?", False] in data["rows"][0]["messages"]
    save(workplace / "ours.json", [annotation(0, 1, generator_2="ours")])
    assert "found another content than when it was read" in judgements(run)

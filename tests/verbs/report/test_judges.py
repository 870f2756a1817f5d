"""Judgements on the page: win rates, outcomes and leaderboards are drawn as their tables have them."""

from __future__ import annotations

from tests.verbs.judge.judged import annotation, save
from tests.verbs.report.svg import pictures, shares, whiskers

from tunescope.models.names import ModelNames
from tunescope.results.judge import ComparisonRow
from tunescope.verbs.judge.leaderboard import LeaderboardSettings, leaderboard
from tunescope.verbs.judge.recompute import RecomputeSettings, recompute
from tunescope.verbs.report.judge_pictures import board_picture, judge_pictures
from tunescope.verbs.report.tiles import tiles


def judged(folder, system, preferences):
    records = [annotation(i, p, generator_2=system) for i, p in enumerate(preferences)]
    return recompute(RecomputeSettings(files=(str(save(folder / f"{system}.json", records)),), draws=200))


def test_a_win_rate_stands_where_its_table_has_it(workplace):
    run = judged(workplace, "ours", [2] * 30 + [1] * 10)
    (row,) = ComparisonRow.read_rows(run)
    drawn = pictures(judge_pictures(run))
    svg = drawn[f"win rate, %: ours against {row.reference}"]
    assert shares(svg)[0] == 0.75
    assert whiskers(svg)[0] == (round(row.win_rate_low / 100, 3), round(row.win_rate_high / 100, 3))
    assert f"items: ours against {row.reference}" in drawn
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

"""Pictures of judgements: win rates beside each other, by kind of question, and the scores of aspects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from tunescope import stats
from tunescope.results.judge import PAIRS, SCORES, ComparisonRow, JudgeKind, PairRow, ScoreRow
from tunescope.runs import Run
from tunescope.verbs.report.pictures import Measured, Scale, dots, heat, stacked

PICTURED = ("judge winrate", "judge pairwise", "judge aspects", "judge recompute")
"""The verbs whose runs hold judgements."""
_OUTCOMES = {"win": 1.0, "tie": 0.5, "loss": 0.0}
_OUTCOME_COLOURS = ("var(--first)", "var(--line)", "var(--second)")
_WINS = Scale("win rate, %", ends=(0.0, 100.0), line=50.0)
_FEWEST = 5
"""Items of a kind of question from which on its win rate is drawn."""


def judge_pictures(run: Run) -> str:
    """Draw what a run of one of the `PICTURED` verbs found; "" where it has neither pairs nor scores."""
    kind = JudgeKind.read(run).kind
    if kind == PAIRS:
        rows = list(PairRow.read_rows(run))
        drawn = [_win_rates(list(ComparisonRow.read_rows(run))), _outcomes(rows), _by_kind(rows)]
    else:
        drawn = [_aspects(list(ScoreRow.read_rows(run)))] if kind == SCORES else []
    return f'<div class="pictures">{"".join(drawn)}</div>' if any(drawn) else ""


def _win_rates(rows: Sequence[ComparisonRow]) -> str:
    """Draw each comparison's win rate, as it is and at equal length."""
    values, against = [], _against(row.reference for row in rows)
    for row in rows:
        name = " ".join(filter(None, (row.system, "" if against else f"against {row.reference}", row.part)))
        values.append(Measured(name, row.win_rate, row.win_rate_low, row.win_rate_high, "as judged"))
        values.append(Measured(name, row.win_rate_length_controlled, series="at equal length"))
    return dots(values, _WINS._replace(title=f"win rate{against}, %"))


def _against(references: Iterable[str]) -> str:
    """Return what an axis says of the one reference, so that no name has to; "" where there are several."""
    names = {*references}
    return f" against {names.pop()}" if len(names) == 1 else ""


def _outcomes(rows: Sequence[PairRow]) -> str:
    """Draw how many items each system wins, ties and loses (the Reflection-Tuning paper, Figure 3)."""
    names = dict.fromkeys((row.system, row.reference) for row in rows)
    counts, against = [], _against(reference for _, reference in names)
    for system, reference in names:
        values = [row.value for row in rows if (row.system, row.reference) == (system, reference)]
        name = system if against else f"{system} against {reference}"
        counts += [Measured(name, values.count(value), series=outcome) for outcome, value in _OUTCOMES.items()]
    return stacked(counts, tuple(_OUTCOMES), _OUTCOME_COLOURS, Scale(f"items{against}"))


def _by_kind(rows: Sequence[PairRow]) -> str:
    """Draw the win rate of each system on each kind of question that has enough items, with n."""
    shares: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        if row.value is not None:
            for tag in row.tags:
                shares[tag, row.system].append(row.value)
    values = [
        Measured(f"{tag} (n = {len(each)})", 100 * sum(each) / len(each), series=system)
        for (tag, system), each in sorted(shares.items())
        if len(each) >= _FEWEST
    ]
    return heat(values, _WINS._replace(format=".0f"), list(dict.fromkeys(value.series for value in values)))


def _aspects(rows: Sequence[ScoreRow]) -> str:
    """Draw each system's mean score in each aspect, with its interval over items."""
    scores: dict[tuple[str, str], list[float | None]] = defaultdict(list)
    for row in rows:
        scores[row.aspect, row.system].append(row.score)
    values = []
    for (aspect, system), each in scores.items():
        mean = stats.mean_t(each)
        values.append(Measured(aspect, mean.value, mean.low, mean.high, system))
    return dots(values, Scale("mean score"))


def board_picture(board: Run) -> str:
    """Draw a leaderboard: each system's number, best first, with the letters of those that it can't be told from."""
    entries = board.result["entries"]
    values = [
        Measured(f"{name} ({each['group']})" if each["group"] else name, each["mean"], each["low"], each["high"])
        for name, each in entries.items()
    ]
    note = "Systems that share a letter can't be told apart." if any(each["group"] for each in entries.values()) else ""
    drawn = dots(values, _WINS if board.result["kind"] == PAIRS else Scale(board.result["by"]))
    return f'<div class="pictures">{drawn}</div>' + (f'<p class="note">{note}</p>' if note else "")

"""The overview's tiles: one number each, its interval as a whisker, a sentence, and the section that it leads to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tunescope import stats
from tunescope.models.names import ModelNames
from tunescope.results.attribute import AttributeResult
from tunescope.results.check import CheckResult
from tunescope.results.claims import ClaimsResult
from tunescope.results.compare import CompareKind, CompareResult, CompareSetup, ScoresResult
from tunescope.results.estimates import MeanEstimate
from tunescope.results.judge import PAIRS, ComparisonRow, JudgeKind
from tunescope.results.shift import ShiftResult
from tunescope.results.trace import TraceAnswersResult
from tunescope.runs import Run
from tunescope.verbs.report.judge_pictures import PICTURED
from tunescope.verbs.report.pictures import whisker
from tunescope.views import counted, interval, percent

MOST_TILES = 8
"""Tiles that one screen holds."""
_NO_INTERVAL = "Counted, so there is no interval."


@dataclass(frozen=True, slots=True)
class Tile:
    """A number of the overview, and the section that says more."""

    anchor: str
    number: str
    label: str
    said: str
    picture: str = ""
    """The interval, drawn; trusted."""


class _Estimated(NamedTuple):
    """A value with its interval, in the unit that is shown."""

    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, estimate: MeanEstimate, times: float = 1.0) -> _Estimated:
        """Return an estimate in another unit."""
        return cls(*(None if e is None else times * e for e in (estimate.mean, estimate.low, estimate.high)))


def tiles(opened: Sequence[Run], names: ModelNames, anchors: Mapping[str, str]) -> Iterator[Tile]:
    """Yield the tiles of runs in reading order; `anchors` has the section of each run by its key."""
    makers: dict[str, Callable[[Run, ModelNames, str], Tile | None]] = {
        "judge claims": _claims,
        "check": _faulty,
        "compare": _compared,
        "shift": _shifted,
        "trace": _borrowed,
        "attribute": _named,
        "study analyze": _response,
        **dict.fromkeys(PICTURED, _judged),
    }
    for verb, make in makers.items():
        for run in opened:
            tile = make(run, names, anchors.get(run.key, "overview")) if run.verb == verb else None
            if tile is not None:
                yield tile


def _claims(run: Run, names: ModelNames, anchor: str) -> Tile | None:
    after = ClaimsResult.read(run).after
    if not after:
        return None
    share, left_out = after[0].gone, after[0].rows_left_out
    gone = f"{after[0].verdicts['gone']} of {share.n}"
    without = "" if left_out is None else f" without {counted(left_out, 'row')}"
    still = after[0].verdicts["still there"]
    return _share(anchor, share, "claims gone", f"{gone}{without}; {still} still there.", number=gone)


def _faulty(run: Run, names: ModelNames, anchor: str) -> Tile | None:
    if run.settings.get("masks"):
        return None
    result = CheckResult.read(run)
    share = MeanEstimate.of(stats.proportion([1] * result.faulty_rows + [0] * (result.rows - result.faulty_rows)))
    sure = "1 is" if result.surely_wrong_rows == 1 else f"{result.surely_wrong_rows:,} are"
    said = f"{result.faulty_rows:,} of {counted(result.rows, 'row')}; {sure} surely wrong."
    return _share(anchor, share, "of rows have a fault", said)


def _compared(run: Run, names: ModelNames, anchor: str) -> Tile | None:
    kind = CompareKind.read(run).kind
    if kind == "scores":
        return _scores(run, names, anchor)
    if kind != "answers":
        return None
    result = CompareResult.read(run)
    n = result.same + result.changed
    share = MeanEstimate.of(stats.proportion([1] * result.changed + [0] * result.same))
    return _share(anchor, share, "of answers changed", f"{result.changed:,} of {counted(n, 'answer')} differ.")


def _scores(run: Run, names: ModelNames, anchor: str) -> Tile | None:
    """Say whether B is better than A over all tasks, or over the only one."""
    result, (a, b) = ScoresResult.read(run), names.of_scores(run)
    compared = result.mean or next(iter(result.tasks.values())) if result.mean or len(result.tasks) == 1 else None
    if compared is None or compared.difference.mean is None:
        return None
    over = counted(len(result.mean.tasks), "task") if result.mean else next(iter(result.tasks))
    margin = CompareSetup.read_settings(run).no_harm
    words = {"shown": "no harm shown", "harm": "harm shown", "too few items": "too few items to tell of harm"}
    gap = _Estimated.of(compared.difference, 100)
    said = f"{b} less {a} on {over}{_within(gap)}"
    if compared.no_harm in words and margin is not None:
        said += f"; {words[compared.no_harm]} within {margin:g} points"
    points = f"{100 * compared.difference.mean:+.1f}".replace("-", "−")
    return Tile(anchor, points, "points on benchmarks", f"{said}.", _whisker(gap, (-20, 20), said))


def _shifted(run: Run, names: ModelNames, anchor: str) -> Tile | None:
    result = ShiftResult.read(run)
    tuned, base = names.of_model(result.tuned), names.of_model(result.base)
    said = f"{tuned} against {base}, over {counted(result.tokens, 'token')} of {counted(result.shifted.n, 'answer')}."
    return _share(anchor, result.shifted, "of tokens shifted", said)


def _borrowed(run: Run, names: ModelNames, anchor: str) -> Tile | None:
    if run.settings.get("text") is not None:
        return None
    result = TraceAnswersResult.read(run)
    excess, expected = result.summary.excess, result.summary.expected
    said = (
        f"{percent(result.summary.flagged.mean, 1)} of {counted(result.words, 'word')}; chance gives "
        f"{percent(expected.mean, 1)}{'' if excess.p is None else f' (p = {excess.p:.2g})'}."
    )
    return _share(anchor, excess, "of words borrowed above chance", said)


def _named(run: Run, names: ModelNames, anchor: str) -> Tile | None:
    result = AttributeResult.read(run)
    which = {row.index for answer in result.answers for row in answer.rows if row.matters}
    if all(answer.matters is None for answer in result.answers):
        return None
    by = ", ".join(dict.fromkeys("gradients" if each in ("states", "effect") else each for each in result.evidence))
    whose = "this answer" if result.n == 1 else f"{result.n:,} answers"
    said = (
        f"Of {counted(result.rows_indexed, 'row')}, for {whose}, by {by}: more than chance "
        f"would give. Read them: a true row with the same words may be among them. {_NO_INTERVAL}"
    )
    return Tile(anchor, f"{len(which):,}", "row matters" if len(which) == 1 else "rows matter", said)


def _response(run: Run, names: ModelNames, anchor: str) -> Tile | None:
    """Say what the highest dose costs: the mean over tasks where there are several, else the task."""
    groups = (run.result.get("means") or {}).get("groups", {})
    tasks = run.result["tasks"]
    name, record = next(iter((groups if len(tasks) > 1 and groups else tasks).items()))
    if record["abs"] is None:
        return None
    scores = [abs(row["score"]) for row in run.tables["scores"].to_pylist() if row["score"] is not None]
    are_shares = run.result["unit"] != "%" and max(scores) <= 1
    times = 100.0 if are_shares else 1.0
    drop = _Estimated(*(None if record[key] is None else times * record[key] for key in ("abs", "abs_low", "abs_high")))
    over = name if name in tasks else counted(len(tasks), "task")
    said = f"From 0 to 100 % of false rows, on {over}{_within(drop)}."
    label = "points lost to falsity" if are_shares or run.result["unit"] else "of the score lost to falsity"
    return Tile(anchor, f"{drop.value:.1f}", label, said, _whisker(drop, (-100, 100), said))


def _judged(run: Run, names: ModelNames, anchor: str) -> Tile | None:
    if JudgeKind.read(run).kind != PAIRS:
        return None
    rows = list(ComparisonRow.read_rows(run))
    if not rows or rows[0].win_rate is None:
        return None
    row = rows[0]
    rate = _Estimated(row.win_rate, row.win_rate_low, row.win_rate_high)
    said = f"{row.system} against {row.reference}{_within(rate)}; 50 is a tie."
    return Tile(anchor, f"{row.win_rate:.1f} %", "win rate", said, _whisker(rate, (0, 100), said))


def _share(anchor: str, estimate: MeanEstimate, label: str, said: str, number: str = "") -> Tile:
    """Make the tile of a share from 0 to 1."""
    shown = number or percent(estimate.mean, 1)
    picture = _whisker(_Estimated.of(estimate), (0, 1), f"{shown} {label}")
    return Tile(anchor, shown, label, said + _spoken(estimate), picture)


def _spoken(estimate: MeanEstimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f" Without an interval{f' ({estimate.reason})' if estimate.reason else ''}."
    return f" 95 %: {100 * estimate.low:.1f} to {100 * estimate.high:.1f} %."


def _within(estimate: _Estimated) -> str:
    if estimate.low is None or estimate.high is None:
        return ", without an interval"
    return f", 95 % {interval(estimate.low, estimate.high, 1)}"


def _whisker(estimate: _Estimated, ends: tuple[float, float], described: str) -> str:
    """Draw a value and its interval; "" where one of them is missing or off the scale."""
    known = [number for number in estimate if number is not None and ends[0] <= number <= ends[1]]
    return whisker(known[0], known[1], known[2], ends, described) if len(known) == len(estimate) else ""

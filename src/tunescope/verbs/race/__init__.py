"""`study race`: ways to choose rows compared at equal tokens, against rows drawn at random."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from tunescope.results.bench import BenchResult
from tunescope.runs import INPUT, Outcome, Run, RunFolder, execute, open_runs, out_field
from tunescope.settings import POSITIONAL
from tunescope.verbs.race.choices import ChosenTuning, read_race
from tunescope.verbs.race.view import view

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class RaceSettings:
    """Compare ways to choose rows at equal tokens, by the scores of models that were tuned on them."""

    runs: tuple[str, ...] = field(metadata={**INPUT, **POSITIONAL})
    """Bench runs of models that were tuned on the rows of `select --tokens`, with several seeds for each way to choose
    rows. They may include a run of the model before tuning."""

    selected: tuple[str, ...] = field(default=(), metadata=INPUT)
    """The runs of select. Needed if two ways kept the same rows, so that one tuned model counts for both."""

    out: str | None = out_field()
    """The run folder; runs/study-race-KEY by default."""


def race(settings: RaceSettings) -> Run:
    """Compare; return the run with the table `tunings`, a line per way to choose rows (`rule`), seed and task.

    The result has `rules`, in the order of their scores. Each rule has:

    - `scores` and `differences` (its score less random's, paired by seed and by the rows that were chosen from) by
      task, and `mean` over tasks if there are several, each with its interval over seeds (Student's t);
    - `p` of the paired t-test of the first of these, and `p_holm`, adjusted for all rules;
    - `seeds_needed`, 0 if p is below 0.05;
    - mean `rows`, `tokens` and `supervised_tokens`;
    - `noise`, the share of the chosen rows that `falsify dose` made false, with its interval; null if no such run is
      behind them.

    Raises:
        RunError: a run that isn't of bench, or whose model wasn't tuned on the rows of a run of `select --tokens`.
        SettingsError: tokens that aren't equal, tunings that aren't alike, a seed twice, or no rows drawn at random.
    """
    opened, selected = open_runs(settings.runs), open_runs(settings.selected)
    before, tunings = read_race(opened, selected)
    inputs = {str(run.path): run.identity for run in (*opened, *selected)}
    return execute("study race", VERSION, settings, inputs, partial(_work, before, tunings))


def _work(before: BenchResult | None, tunings: list[ChosenTuning], folder: RunFolder) -> Outcome:
    import pyarrow as pa

    from tunescope.verbs.race.ranking import compare_rules

    rules = compare_rules(tunings)
    folder.table("tunings", pa.Table.from_pylist([line for each in tunings for line in each.lines()]))
    result = {
        "rules": rules,
        "token_budget": tunings[0].choice.tokens.budget,
        "counted_with": tunings[0].choice.tokens.model,
        "pool_noise": _pool_noise(tunings),
        "before": None if before is None else {task: score.score for task, score in before.tasks.items()},
    }
    return Outcome(result, view(result, folder.path))


def _pool_noise(tunings: list[ChosenTuning]) -> float | None:
    """Return the mean share of planted noise among the rows that were chosen from; None where it isn't known."""
    pools = {each.choice.pool: each.choice.pool_noise for each in tunings}
    known = [share for share in pools.values() if share is not None]
    return sum(known) / len(known) if known and len(known) == len(pools) else None

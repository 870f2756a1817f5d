"""Which rows each scored model was tuned on, how they were chosen, and what of them is planted noise.

bench → the tune run that made its model → the select run that chose its rows → … → the falsify run that made some false
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from tunescope.errors import RunError, SettingsError
from tunescope.results.bench import BenchResult
from tunescope.results.falsify import FalsifiedRows
from tunescope.results.select import Decisions, KeptTokens, SelectSetup
from tunescope.results.tune import TuneSetup
from tunescope.runs import Run, producing_run

RANDOM = "random"
"""The rule that everything is compared with: rows drawn at random from all."""


@dataclass(frozen=True, slots=True)
class RowChoice:
    """Rows that a run of `select --tokens` kept.

    Attributes:
        rule: how they were chosen, such as `highest ifd_ppl where ifd_ppl < 1`.
        pool: the content of the rows that they were chosen from.
        rows: how many were kept.
        noise: the share of them that `falsify dose` made false; None where no such run is behind them.
        pool_noise: that share of the rows that they were chosen from.
    """

    run: Run
    rule: str
    pool: tuple[str, ...]
    rows: int
    tokens: KeptTokens
    noise: float | None
    pool_noise: float | None


@dataclass(frozen=True, slots=True)
class ChosenTuning:
    """A model that was tuned on chosen rows, and its scores by task."""

    choice: RowChoice
    seed: int
    scores: Mapping[str, float | None]

    @property
    def pair(self) -> tuple[Any, ...]:
        """What it shares with the tunings on other rows that it is compared with: the seed, and the pool of rows."""
        return (self.seed, self.choice.pool)

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield its lines of the table `tunings`."""
        choice = self.choice
        for task, score in self.scores.items():
            yield {
                "rule": choice.rule,
                "seed": self.seed,
                "task": task,
                "score": score,
                "rows": choice.rows,
                "tokens": choice.tokens.kept,
                "supervised_tokens": choice.tokens.supervised,
                "noise": choice.noise,
                "selected": str(choice.run.path),
            }


def read_race(runs: Sequence[Run], selected: Sequence[Run]) -> tuple[BenchResult | None, list[ChosenTuning]]:
    """Return the scores of the model before tuning, if they are among the runs, and those of the tuned models.

    A model whose rows are, byte for byte, those of several runs in `selected` stands for each of these.

    Raises:
        RunError, SettingsError: as `race`.
    """
    before: BenchResult | None = None
    tunings: list[ChosenTuning] = []
    setups: dict[TuneSetup, Run] = {}
    by_content: dict[str, dict[str, RowChoice]] = {}
    for run in selected:
        choice = _read_choice(run)
        by_content.setdefault(_content_of_kept(run), {}).setdefault(choice.rule, choice)
    for run in runs:
        if run.verb != "bench":
            raise RunError(f"{run.path} is a run of {run.verb}; expected runs of bench")
        result = BenchResult.read(run)
        tuned = producing_run(result.model)
        if tuned is None or tuned.verb != "tune":
            if before is not None:
                raise SettingsError(
                    f"{run.path} and another run scored models that weren't tuned here; give one of them"
                )
            before = result
            continue
        setup = TuneSetup.read_settings(tuned)
        setups[_without_what_differs(setup)] = tuned
        scores = {task: score.score for task, score in result.tasks.items()}
        tunings += [ChosenTuning(choice, setup.seed, scores) for choice in _choices_of(tuned, setup, by_content)]
    if len(setups) > 1:
        one, other = [*setups.values()][:2]
        raise SettingsError(
            f"{one.path} and {other.path} were tuned in different ways; expected all of one model, method, epochs, "
            "learning rate and batch size, so that only the rows differ"
        )
    _require_a_race(tunings)
    return before, tunings


def _without_what_differs(setup: TuneSetup) -> TuneSetup:
    """Return what the tunings of a race have in common: all but rows and seed."""
    return TuneSetup.from_json(setup.as_json() | {"rows": [], "seed": 0})


def _choices_of(tuned: Run, setup: TuneSetup, known: Mapping[str, Mapping[str, RowChoice]]) -> list[RowChoice]:
    """Return how the rows of a tuning were chosen: by the run that made them, and others that kept the same rows."""
    chosen = producing_run(setup.rows[0]) if len(setup.rows) == 1 else None
    if chosen is None or chosen.verb != "select":
        raise RunError(
            f"{tuned.path} was tuned on {', '.join(setup.rows)}; expected the rows of one run of `select --tokens`"
        )
    own = _read_choice(chosen)
    return [*({own.rule: own} | dict(known.get(_content_of_kept(chosen), {}))).values()]


def _content_of_kept(run: Run) -> str:
    from tunescope.rows.containers import content_hash

    return content_hash(run.path / run.result["files"]["kept"])


def _read_choice(run: Run) -> RowChoice:
    """Read a run of `select --tokens`; raises RunError for another."""
    if run.verb != "select":
        raise RunError(f"{run.path} is a run of {run.verb}; expected runs of select")
    if run.result.get("tokens") is None:
        raise RunError(f"{run.path} kept rows without --tokens; expected as many tokens for each way to choose them")
    setup = SelectSetup.read_settings(run)
    decisions = Decisions.read(run)
    kept = [row_id for row_id, is_kept in zip(decisions.row_id, decisions.kept, strict=True) if is_kept]
    false = _false_rows(setup.rows)
    return RowChoice(
        run,
        _rule(setup),
        tuple(run.info["inputs"].get(name, name) for name in setup.rows),
        len(kept),
        KeptTokens.from_json(run.result["tokens"]),
        None if false is None else _share(kept, false),
        None if false is None else _share(decisions.row_id, false),
    )


def _rule(setup: SelectSetup) -> str:
    """Name a way to choose rows by its settings."""
    by = RANDOM if setup.by is None else f"{'lowest' if setup.ascending else 'highest'} {setup.by}"
    return by if setup.where is None else f"{by} where {setup.where}"


def _false_rows(rows: Sequence[str]) -> Set[str] | None:
    """Return the ids of rows that were made false, by the `falsify dose` run that rows come from; None without one.

    They are hashes of the content: what tells exact repeats apart is left out.
    """
    run = producing_run(rows[0]) if len(rows) == 1 else None
    while run is not None and run.verb == "select":
        names = SelectSetup.read_settings(run).rows
        run = producing_run(names[0]) if len(names) == 1 else None
    if run is None or run.verb != "falsify dose":
        return None
    dosed = FalsifiedRows.read(run)
    return {_content(row_id) for row_id, false in zip(dosed.row_id, dosed.falsified, strict=True) if false}


def _content(row_id: str) -> str:
    return row_id.partition(".")[0]


def _share(row_ids: Sequence[str], false: Set[str]) -> float:
    return sum(_content(row_id) in false for row_id in row_ids) / len(row_ids)


def _require_a_race(tunings: Sequence[ChosenTuning]) -> None:
    """Raise SettingsError where rules can't be compared."""
    counts = {(t.choice.tokens.budget, t.choice.tokens.model, t.choice.tokens.max_length): t for t in tunings}
    if len(counts) > 1:
        places = "; ".join(
            f"{budget:,} with {model}, up to {length:,} a row in {each.choice.run.path}"
            for (budget, model, length), each in counts.items()
        )
        raise SettingsError(f"the tokens aren't equal: {places}. Expected one --tokens, counted in one way")
    seen: dict[tuple[Any, ...], ChosenTuning] = {}
    for each in tunings:
        twice = seen.setdefault((each.choice.rule, *each.pair), each)
        if twice is not each:
            raise SettingsError(f"two models were tuned on rows by {each.choice.rule} with seed {each.seed}; give one")
    rules = {each.choice.rule for each in tunings}
    if RANDOM not in rules or len(rules) < 2:
        names = ", ".join(sorted(rules)) or "none"
        raise SettingsError(
            f"found rows chosen by {names}; expected some drawn at random (select --tokens N without --by and --where) "
            "and some chosen in another way"
        )

"""`judge leaderboard`: systems of several judge runs in one table, with the differences that are significant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tunescope.errors import RunError, SettingsError
from tunescope.judgements.comparable import setup_differences
from tunescope.judgements.runs import holds_judgements
from tunescope.runs import INPUT, Outcome, Run, RunFolder, execute, open_runs, out_field
from tunescope.settings import POSITIONAL

VERSION = 3


@dataclass(frozen=True, kw_only=True)
class LeaderboardSettings:
    """Rank systems from several judge runs, with intervals and with groups that don't differ significantly."""

    runs: tuple[str, ...] = field(metadata={**INPUT, **POSITIONAL})
    """Folders of judge runs, one or more."""

    by: str | None = None
    """The number to rank by: win_rate or an aspect. By default win_rate, or for scores the mean over all aspects."""

    reference: str | None = None
    """If runs have several references: keep only comparisons with this one."""

    judge: str | None = None
    """If runs have several judges: keep only the judgements of this one."""

    out: str | None = out_field()
    """The run folder; runs/judge-leaderboard-KEY by default."""


def leaderboard(settings: LeaderboardSettings) -> Run:
    """Rank systems; return the run with the tables `board` and `differences` (every two systems', with corrected p).

    Raises:
        RunError: a run of another verb.
        SettingsError: several references or judges at once, verdicts and scores at once, or nothing to rank.
    """
    opened = open_runs(settings.runs)
    for run in opened:
        if not holds_judgements(run):
            raise RunError(f"{run.path} is a run of {run.verb}; expected runs of judge that hold verdicts or scores")
    if not opened:
        raise SettingsError("no runs; type tunescope judge leaderboard RUN…")
    inputs = {str(run.path): run.identity for run in opened}
    return execute("judge leaderboard", VERSION, settings, inputs, partial(_work, settings, opened))


def _work(settings: LeaderboardSettings, opened: Sequence[Run], folder: RunFolder) -> Outcome:
    from tunescope.judgements.board import make_board
    from tunescope.judgements.board_view import board_view

    board = make_board(opened, settings.by, settings.reference, settings.judge)
    _write(folder, "board", board.lines)
    if board.gaps:
        _write(folder, "differences", board.gaps)
    ranked = {system.run for system in board.systems}
    warnings = [*setup_differences({str(run.path): run for run in opened if str(run.path) in ranked})]
    return Outcome(board.result(), board_view(board, warnings))


def _write(folder: RunFolder, name: str, records: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow as pa

    folder.table(name, pa.table({column: [record[column] for record in records] for column in records[0]}))

"""Run folders: what every verb writes, and finds again by its key.

`RUNS/VERB-KEY/` holds flat tables (Parquet), nested records (JSON lines) and `run.json`, which is
written last. Work in a folder without it continues where it stopped. A run with `run.json` is done, but for the items
that are open: no reply could be had for them, and the same command asks for it again.
"""

from tunescope.runs.finished import Run, finished_runs, open, open_runs, producing_run
from tunescope.runs.folder import RunFolder, plain
from tunescope.runs.keys import INPUT, NOT_IN_KEY, RUNS_VARIABLE, out_field, root, run_key, run_location
from tunescope.runs.unanswered import Unanswered
from tunescope.runs.work import Outcome, RunJob, execute, find_finished, look_up

__all__ = [
    "INPUT",
    "NOT_IN_KEY",
    "RUNS_VARIABLE",
    "Outcome",
    "Run",
    "RunFolder",
    "RunJob",
    "Unanswered",
    "execute",
    "find_finished",
    "finished_runs",
    "look_up",
    "open",
    "open_runs",
    "out_field",
    "plain",
    "producing_run",
    "root",
    "run_key",
    "run_location",
]

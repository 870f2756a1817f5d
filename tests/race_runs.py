"""Run folders as `study race` reads them, written by hand: falsify dose → select → tune → bench."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.tools import write_rows
from tunescope.results.bench import BenchResult, BenchScore


def write_run(folder: Path, verb: str, settings: Any, result: Any, inputs: Any = None, **tables: Any) -> str:
    """Write a finished run; return its folder."""
    folder.mkdir(parents=True)
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    record = {"key": str(folder), "verb": verb, "settings": settings, "inputs": inputs or {}, "result": result}
    (folder / "run.json").write_text(json.dumps({**record, "view": {"sentences": [], "tables": [], "next": []}}))
    return str(folder)


def write_pool(folder: Path, row_ids: Sequence[str], false: Sequence[str]) -> str:
    """Write rows of which some were made false by `falsify dose`; return the file's name."""
    falsified = [row_id in false for row_id in row_ids]
    name = write_run(folder, "falsify dose", {}, {}, dosed={"row_id": row_ids, "falsified": falsified})
    return f"{name}/rows.jsonl"


def write_selected(folder: Path, pool: str, row_ids: Sequence[str], kept: Sequence[str], **settings: Any) -> str:
    """Write a run of `select --tokens` that kept some rows of 10 tokens each; return its folder."""
    tokens = {"budget": 30, "kept": 10 * len(kept), "supervised": 4 * len(kept), "all_rows": 10 * len(row_ids)}
    tokens |= {"model": "m", "max_length": 1024, **settings.pop("tokens", {})}
    setup = {"rows": [pool], "where": None, "by": None, "ascending": False, "tokens": tokens["budget"], **settings}
    decisions = {"row_id": row_ids, "kept": [row_id in kept for row_id in row_ids]}
    result = {"tokens": tokens, "files": {"kept": "rows.jsonl"}}
    name = write_run(folder, "select", setup, result, {pool: f"content of {pool}"}, decisions=decisions)
    write_rows(folder / "rows.jsonl", [{"row": row_id} for row_id in kept])
    return name


def write_scored(folder: Path, rows: str, seed: int, scores: Mapping[str, float | None], **settings: Any) -> str:
    """Write the run of tuning a model on rows with a seed, and the run of bench of that model; return the latter."""
    setup = {"rows": [rows], "model": "m", "method": "full", "seed": seed, "epochs": 3.0, "lr": 0.001, **settings}
    tuned = write_run(folder.with_name(f"{folder.name}-tuned"), "tune", setup, {})
    return write_bench(folder, f"{tuned}/model", scores)


def write_bench(folder: Path, model: str, scores: Mapping[str, float | None]) -> str:
    """Write a run of bench."""
    tasks = {
        task: BenchScore(score=value, low=None, high=None, n=9, n_missing=0, method="", metric="acc")
        for task, value in scores.items()
    }
    return write_run(folder, "bench", {}, BenchResult(model=model, suite="s", tasks=tasks).as_json())

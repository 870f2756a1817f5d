"""`study match`: scores at equal loss by hand, and on run folders."""

from __future__ import annotations

import pytest

from tunescope.errors import RunError, SettingsError
from tunescope.results.bench import BenchResult, BenchScore
from tunescope.runs import Outcome, execute
from tunescope.verbs.bench.settings import BenchSettings
from tunescope.verbs.match import Match, MatchSettings, Tuning, match, match_seeds
from tunescope.verbs.tune.settings import TuneSettings
from tunescope.views import View


def test_scores_at_equal_loss_by_hand():
    points = [
        ("full", 0, 1.0, 0.5),
        ("full", 0, 2.0, 0.9),
        ("full", 0, 4.0, 1.0),
        ("lora", 0, 1.5, 0.6),
        ("lora", 0, 3.0, 0.8),
        ("lora", 0, 9.0, 0.0),
        ("full", 1, 1.0, 0.5),
        ("lora", 1, 1.5, 0.6),
        ("lora", 2, 1.5, 0.6),
    ]
    tunings = [Tuning(method, seed, loss, {"open": score}) for method, seed, loss, score in points]
    first, *others = match_seeds(tunings)
    assert (first.lora, first.full) == (pytest.approx(0.7), pytest.approx((0.7 + 0.95) / 2))
    assert others == [Match("open", 1, None, None), Match("open", 2, None, None)]


def scored(folder, method: str, seed: int, loss: float, score: float) -> str:
    """Write a tune run whose last epoch has this loss, and the bench run of its model; return the latter's folder."""
    steps = [
        {"step": i + 1, "epoch": (i + 1) / 2, "loss": 99.0 if i < 2 else loss, "lr": 0.1, "tokens": 10}
        for i in range(4)
    ]

    def tune(run):
        run.records("metrics", steps)
        (run.path / "model").mkdir()
        return Outcome({"rows": 2, "model": str(run.path / "model")}, View(()))

    name = f"{method}-{seed}-{loss}"
    settings = TuneSettings(rows=("r",), model="m", method=method, seed=seed, out=str(folder / f"tune-{name}"))
    tuned = execute("tune", 1, settings, {"loss": str(loss)}, tune)
    share = BenchScore(score=score, low=None, high=None, n=9, n_missing=0, method="", metric="acc")
    result = BenchResult(
        model=f"{tuned.path}/model",
        suite="microworld",
        tasks={"open": share},
        means={},
        spread={},
        code={},
        missing={},
        results={},
        reading=None,
        parity=None,
    )
    bench_settings = BenchSettings(model=result.model, out=str(folder / f"bench-{name}"))
    work = lambda run: Outcome(result.as_json(), View(()))  # noqa: E731
    return str(execute("bench", 1, bench_settings, {"model": name}, work).path)


def test_on_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = [scored(tmp_path, "full", seed, loss, loss / 10) for seed in (0, 1, 2) for loss in (1.0, 3.0)]
    runs += [scored(tmp_path, "lora", seed, 2.0, 0.2 - seed / 100) for seed in (0, 1)]
    runs += [scored(tmp_path, "lora", 2, 5.0, 0.1)]
    made = match(MatchSettings(runs=tuple(runs)))
    task = made.result["tasks"]["open"]
    assert (task["lora"], task["full"]) == (pytest.approx(0.195), pytest.approx(0.2))
    difference = task["difference"]
    assert (difference["mean"], difference["n"], difference["n_missing"]) == (pytest.approx(0.005), 2, 1)
    assert made.tables["tunings"]["loss"].to_pylist()[:2] == [1.0, 3.0]
    with pytest.raises(SettingsError, match="expected runs of bench of models tuned by lora, and of others"):
        match(MatchSettings(runs=tuple(runs[:6])))
    with pytest.raises(RunError, match="is a run of tune; expected runs of bench"):
        match(MatchSettings(runs=(str(tmp_path / "tune-lora-2-5.0"),)))

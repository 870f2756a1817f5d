"""`study match`: scores at equal loss by hand, beside a dense grid of numpy's, and on run folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tunescope.errors import RunError, SettingsError
from tunescope.results.bench import BenchResult, BenchScore
from tunescope.runs import Outcome, execute
from tunescope.verbs.bench.settings import BenchSettings
from tunescope.verbs.match import MatchSettings, Tuning, match, match_seeds
from tunescope.verbs.tune.settings import TuneSettings
from tunescope.views import View


def tunings(points) -> list[Tuning]:
    return [Tuning(method, 0.1 * n, seed, loss, {"open": s}) for n, (method, seed, loss, s) in enumerate(points)]


def test_scores_at_equal_loss_by_hand():
    points = [
        ("full", 0, 1.0, 0.5),
        ("full", 0, 2.0, 0.9),
        ("full", 0, 4.0, 1.0),
        ("lora", 0, 3.0, 0.8),
        ("lora", 0, 1.5, 0.6),
        # another seed's lines lie apart, and one of the last is a point
        ("full", 1, 1.0, 0.5),
        ("full", 1, 2.0, 0.5),
        ("lora", 1, 2.0, 0.6),
        ("lora", 1, 3.0, 0.6),
        ("full", 2, 1.0, 0.5),
        ("lora", 2, 1.0, 0.5),
        ("lora", 2, 2.0, 0.5),
    ]
    whole, lower, upper, *others = match_seeds(tunings(points))
    assert (whole.lowest, whole.highest, lower.highest, upper.lowest) == (1.5, 3.0, 2.25, 2.25)
    # full: from 0.7 to 0.9 over half a nat, then to 0.95 over one
    assert (whole.lora, whole.full) == (pytest.approx(0.7), pytest.approx((0.5 * 0.8 + 1.0 * 0.925) / 1.5))
    assert (lower.lora, lower.full) == (pytest.approx(0.65), pytest.approx((0.5 * 0.8 + 0.25 * 0.90625) / 0.75))
    assert (upper.lora, upper.full) == (pytest.approx(0.75), pytest.approx(0.93125))
    assert {(each.seed, each.lora, each.full, each.reason) for each in others} == {
        (1, None, None, "the losses that LoRA and full tuning reach don't overlap"),
        (2, None, None, "1 tuning with full, and a line needs two"),
    }


def test_scores_at_equal_loss_are_those_of_a_dense_grid():
    rng = np.random.default_rng(0)
    drawn = [
        (method, seed, loss, score)
        for seed in range(5)
        for method, n in (("lora", 4), ("full", 6))
        for loss, score in zip(rng.uniform(0.2, 0.4, n), rng.uniform(0.5, 1.0, n), strict=True)
    ]
    for each in match_seeds(tunings(drawn)):
        grid = np.linspace(each.lowest, each.highest, 200_001)
        for method, mean in (("lora", each.lora), ("full", each.full)):
            line = np.array(sorted(point[2:] for point in drawn if point[:2] == (method, each.seed)))
            assert mean == pytest.approx(np.interp(grid, *line.T).mean(), abs=1e-5)


def scored(folder: Path, method: str, seed: int, loss: float | None, score: float, tasks=("open",), **more) -> str:
    """Write a tune run with this last loss, and the bench run of its model; return the latter's folder."""

    def tune(run):
        (run.path / "model").mkdir()
        return Outcome({"rows": 2, "loss_last": loss, "model": str(run.path / "model")}, View(()))

    name = f"{method}-{seed}-{loss}" + "".join(f"-{value}" for value in more.values())
    n, rows = more.pop("n", 9), more.pop("content", f"of seed {seed}")
    tuning = {"rows": ("r",), "model": "m", "method": method, "seed": seed, "lr": loss, **more}
    settings = TuneSettings(**tuning, out=str(folder / f"tune-{name}"))
    tuned = execute("tune", 1, settings, {"rows.json": rows, "model m": "weights"}, tune)
    share = BenchScore(score=score, low=None, high=None, n=n, n_missing=0, method="", metric="acc")
    result = BenchResult(model=f"{tuned.path}/model", suite="microworld", tasks=dict.fromkeys(tasks, share), means={})
    bench_settings = BenchSettings(model=result.model, out=str(folder / f"bench-{name}"))
    work = lambda run: Outcome(result.as_json(), View(()))  # noqa: E731
    return str(execute("bench", 1, bench_settings, {"model": name}, work).path)


@pytest.fixture
def runs(tmp_path, monkeypatch) -> list[str]:
    """Runs of three seeds, of which the last seed's don't overlap."""
    monkeypatch.chdir(tmp_path)
    full = [scored(tmp_path, "full", seed, loss, loss / 10) for seed in (0, 1, 2) for loss in (1.0, 3.0)]
    lora = [scored(tmp_path, "lora", s, loss, 0.2 - s / 100) for s in (0, 1) for loss in (2.0, 4.0)]
    return full + lora + [scored(tmp_path, "lora", 2, loss, 0.1) for loss in (5.0, 6.0)]


def test_on_runs(runs):
    made = match(MatchSettings(runs=tuple(runs)))
    task = made.result["tasks"]["open"]
    assert (task["lowest"], task["highest"], task["lora"]) == (2.0, 3.0, pytest.approx(0.195))
    assert task["full"] == pytest.approx(0.25)
    differences = [0.05, 0.06]
    low, high = stats.t.interval(0.95, 1, np.mean(differences), stats.sem(differences))
    assert task["difference"] == {
        "mean": pytest.approx(0.055),
        "low": pytest.approx(low),
        "high": pytest.approx(high),
        "n": 2,
        "n_missing": 1,
        "method": "mean, 95 % Student t interval",
    }
    assert task["lower half"]["mean"] == pytest.approx(0.03)
    assert task["upper half"]["mean"] == pytest.approx(0.08)
    assert made.tables["tunings"]["loss"].to_pylist()[:2] == [1.0, 3.0]
    assert task["equal_rates"] == []
    assert made.view.sentences == (
        "open: at equal training loss, we can't tell full tuning and LoRA apart: +5.5 points (-0.9 to +11.9, 2 seeds). "
        "The interval is wider than ± 5 points; add seeds.",
        "1 seed has no number for open: the losses that LoRA and full tuning reach don't overlap.",
    )


def test_differences_at_equal_rates(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scores = {"full": (0.1, 0.4), "lora": (0.2, 0.7)}
    runs = [
        scored(tmp_path, method, seed, loss, scores[method][seed])
        for method in scores
        for seed in (0, 1)
        for loss in (1.0, 2.0 if method == "full" else 3.0)
    ]
    (rate,) = match(MatchSettings(runs=tuple(runs))).result["tasks"]["open"]["equal_rates"]
    assert (rate["lr"], rate["lora_loss"], rate["full_loss"]) == (1.0, 1.0, 1.0)
    assert (rate["lora"], rate["full"], rate["difference"]["mean"]) == tuple(map(pytest.approx, (0.45, 0.25, -0.2)))
    low, high = stats.t.interval(0.95, 1, -0.2, stats.sem([-0.1, -0.3]))
    assert (rate["difference"]["low"], rate["difference"]["high"]) == (-1.0, pytest.approx(min(high, 1.0)))
    assert low < -1


def test_what_cannot_be_compared_is_refused(runs, tmp_path):
    def refused(more: list[str], kind: type[Exception], text: str) -> None:
        with pytest.raises(kind, match=text):
            match(MatchSettings(runs=tuple(more)))

    def other(**more) -> str:
        return scored(tmp_path, "full", 0, 2.5, 0.1, **more)

    refused([], SettingsError, "no runs; expected runs of bench")
    refused(runs[:6], SettingsError, "found no model tuned with --method lora; expected runs of bench of models")
    refused([*runs, str(tmp_path / "tune-lora-2-5.0")], RunError, "is a run of tune; expected runs of bench")
    refused([*runs, runs[0]], SettingsError, "the same run is named twice")
    for more, what in (
        ({"epochs": 9.0}, "--epochs"),
        ({"batch_size": 4}, "--batch-size"),
        ({"content": "other rows"}, "the rows of seed 0"),
        ({"n": 8}, "the questions"),
    ):
        refused([*runs, other(**more)], SettingsError, f"bench-full-0-1.0 and .*/bench-full-0-2.5-.* differ in {what};")
    noisy = scored(tmp_path, "full", 0, None, 0.1, neftune_alpha=5.0)
    refused([*runs, noisy], RunError, "has no training loss without noise .it was tuned under NEFTune's noise.; leave")
    again = scored(tmp_path, "full", 0, 1.0, 0.3, track="again")
    refused([*runs, again], SettingsError, "both scored a model tuned with --method full, --lr 1.0 and --seed 0; leave")
    assert not list(Path.cwd().glob("**/study-match-*"))

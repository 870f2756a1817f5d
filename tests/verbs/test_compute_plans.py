"""`--plan` of measure, answer, shift and tune: it says what there is to do, keeps nothing, and isn't the work's run."""

import json
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("trl")

from tests.tools import write_rows  # noqa: E402

from tunescope.errors import SettingsError  # noqa: E402
from tunescope.microworld.model import save_random_model  # noqa: E402
from tunescope.verbs.answer import AnswerSettings, answer  # noqa: E402
from tunescope.verbs.measure import MeasureSettings, measure  # noqa: E402
from tunescope.verbs.shift import ShiftSettings, shift  # noqa: E402
from tunescope.verbs.tune import TuneSettings, tune  # noqa: E402


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.set_num_threads(1)
    return str(save_random_model(tmp_path_factory.mktemp("models") / "tiny", seed=0))


@pytest.fixture
def rows(workplace):
    return str(
        write_rows(
            workplace / "rows.jsonl",
            [{"instruction": "Say it " * (i % 7 + 1), "output": "It is so. " * (i % 5 + 1)} for i in range(40)],
        )
    )


@pytest.fixture
def prompts(workplace):
    path = workplace / "p.jsonl"
    path.write_text("".join(json.dumps({"prompt_id": f"p{i}", "prompt": "Hi " * i}) + "\n" for i in range(1, 31)))
    return str(path)


def validate(run, unit, n):
    result = run.result
    assert (result["unit"], result["n"]) == (unit, n)
    assert 0 < result["n_probed"] <= n
    assert result["minutes"] > result["setup_minutes"] >= 0
    assert result["memory_bytes"] > 10**7
    kept = sorted(path.name for path in run.path.iterdir() if not path.name.startswith("."))
    assert kept == ["run.json"]
    assert f"for {n} {unit}s" in run.view.sentences[0]


def test_measure(rows, model):
    settings = MeasureSettings(rows=(rows,), model=model, without=("coherence",))
    plan = measure(replace(settings, plan=True))
    validate(plan, "row", 40)
    assert plan.result["disk_bytes"] > 1000
    assert measure(settings).path != plan.path


def test_answer_and_shift(prompts, model):
    settings = AnswerSettings(prompts=prompts, model=model, max_new_tokens=30)
    plan = answer(replace(settings, plan=True))
    validate(plan, "answer", 30)
    assert "answers of 30 tokens, the longest allowed" in plan.view.sentences[-1]
    run = answer(settings)
    of_shift = ShiftSettings(tuned=model, base=model, answers=str(run.path))
    validate(shift(replace(of_shift, plan=True)), "answer", 30)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_tune(rows, model, method):
    plan = tune(TuneSettings(rows=(rows,), model=model, method=method, epochs=2, plan=True))
    validate(plan, "row", 80)
    assert "10 steps of 8 rows" in plan.view.sentences[-1]
    assert "A row counts each time that it is read: there are 40 rows." in plan.view.sentences[-1]
    trained = plan.result["disk_bytes"] / 4
    run = tune(TuneSettings(rows=(rows,), model=model, method=method, epochs=2))
    (weights,) = (run.path / "model").glob("*model.safetensors")
    assert abs(weights.stat().st_size - trained) < 0.1 * trained + 20_000


def test_what_cant_be_probed_is_refused(rows, prompts, model):
    with pytest.raises(SettingsError, match="--plan with --prompts"):
        shift(ShiftSettings(tuned=model, base=model, prompts=prompts, plan=True))
    with pytest.raises(SettingsError, match="how fast a server is isn't known"):
        answer(AnswerSettings(prompts=prompts, model="http://127.0.0.1:9/v1", served_model="m", plan=True))
    with pytest.raises(SettingsError, match="--plan with --command"):
        tune(TuneSettings(rows=(rows,), model=model, command="train {rows} {out}", plan=True))

"""`tune`: the same command gives the same weights, and only what is supervised is trained."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("peft")

from tunescope.chat import Chat  # noqa: E402
from tunescope.errors import SettingsError, TunescopeError  # noqa: E402
from tunescope.microworld.model import save_random_model  # noqa: E402
from tunescope.models import load  # noqa: E402
from tunescope.rows import open_rows  # noqa: E402
from tunescope.verbs.tune import TuneSettings, order, tune  # noqa: E402

PAIRS = [
    ("Where is the lamp?", "It is on the table."),
    ("Say yes.", "Yes."),
    ("Count to three.", "One, two, three. That is as far as I count today, for it is late."),
    ("Say nothing.", ""),
    ("Name a colour.", "Blue is one."),
    ("Name an animal.", "The cat is one."),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.set_num_threads(1)  # tiny matrices; more threads only wait for each other
    return str(save_random_model(tmp_path_factory.mktemp("models") / "tiny", seed=0))


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNESCOPE_RUNS", str(tmp_path / "runs"))


def write_rows(path, pairs=PAIRS):
    path.write_text(json.dumps([{"instruction": i, "input": "", "output": o} for i, o in pairs]))
    return str(path)


def settings(tmp_path, model, **changed):
    if "rows" not in changed:
        changed["rows"] = (write_rows(tmp_path / "rows.json"),)
    return TuneSettings(**{"model": model, "max_steps": 4, "batch_size": 4, "lr": 1e-2, **changed})


def weights(folder):
    from safetensors.torch import load_file

    (file,) = folder.glob("*.safetensors")
    return load_file(file)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_same_command_gives_the_same_weights(tmp_path, model, method):
    made = [tune(settings(tmp_path, model, method=method, out=str(tmp_path / name))) for name in "ab"]
    first, second = (weights(run.path / "model") for run in made)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    losses = [[record["loss"] for record in run.records("metrics")] for run in made]
    assert losses[0] == losses[1]
    assert losses[0][-1] < losses[0][0]
    other = tune(settings(tmp_path, model, method=method, seed=1))
    assert any(not torch.equal(first[name], value) for name, value in weights(other.path / "model").items())


def test_the_first_loss_is_that_of_the_supervised_tokens(tmp_path, model):
    run = tune(settings(tmp_path, model, method="full", batch_size=6, max_steps=1))
    loaded = load(model)
    chat, lost, n = Chat(loaded.tokenizer), 0.0, 0
    for row in open_rows([str(tmp_path / "rows.json")]):
        tokens = chat.row(row)
        ids = torch.tensor([tokens.ids])
        with torch.inference_mode():
            logp = loaded.model(ids).logits.log_softmax(-1)
        for place, supervised in enumerate(tokens.supervised):
            if supervised:
                lost -= float(logp[0, place - 1, ids[0, place]])
                n += 1
    (record,) = run.records("metrics")
    assert record["tokens"] == n == sum(run.tables["rows"]["n_supervised"].to_pylist())
    assert record["loss"] == pytest.approx(lost / n, rel=1e-5)


def test_micro_batches_change_nothing(tmp_path, model):
    made = [
        tune(settings(tmp_path, model, method="full", micro_batch=micro, out=str(tmp_path / f"m{micro}")))
        for micro in (1, 2, 4)
    ]
    assert len({run.key for run in made}) == 1
    first, *others = ([record["loss"] for record in run.records("metrics")] for run in made)
    for losses in others:
        assert losses == pytest.approx(first, rel=1e-4)


def test_the_full_model_is_a_plain_folder(tmp_path, model):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = tune(settings(tmp_path, model, method="full"))
    folder = run.path / "model"
    assert AutoTokenizer.from_pretrained(folder).chat_template == load(model).tokenizer.chat_template
    ids = torch.tensor([[2, 9, 10]])
    with torch.inference_mode():
        plain = AutoModelForCausalLM.from_pretrained(folder)(ids).logits
        assert torch.equal(plain, load(str(run.path)).model(ids).logits)


def test_the_adapter_loads_with_peft_and_knows_its_base(tmp_path, model):
    from peft import AutoPeftModelForCausalLM

    run = tune(settings(tmp_path, model))
    folder = run.path / "model"
    ids = torch.tensor([[2, 9, 10]])
    with torch.inference_mode():
        theirs = AutoPeftModelForCausalLM.from_pretrained(folder)(ids).logits
        torch.testing.assert_close(theirs, load(str(folder)).model(ids).logits, atol=1e-4, rtol=1e-4)
    assert json.loads((folder / "tunescope.json").read_text())["base"] == model
    with pytest.raises(SettingsError, match="an adapter on an adapter"):
        tune(settings(tmp_path, str(folder)))
    assert tune(settings(tmp_path, str(folder), method="full", max_steps=1)).result["steps"] == 1


def test_every_row_is_accounted_for(tmp_path, model):
    long = ("Tell me a lot.", "a b c d e f g h " * 60)
    longer = ("x " * 600, "Yes.")
    rows = (write_rows(tmp_path / "r.json", [*PAIRS, long, longer]),)
    run = tune(settings(tmp_path, model, rows=rows, max_length=256))
    table = run.tables["rows"]
    assert run.result["rows"] == table.num_rows == 8
    assert (run.result["trained"], run.result["dropped"], run.result["truncated"]) == (7, 1, 1)
    assert table["reason"].to_pylist()[3] == "empty answer: only its end is trained"
    assert table["n_supervised"].to_pylist()[3] == 1
    assert table["reason"].to_pylist()[6:] == ["cut to 256 tokens", "its answer begins behind the first 256 tokens"]
    assert table["truncated"].to_pylist()[6:] == [True, False]


def test_order_is_the_seeds_alone():
    places = order(5, 4, 3, seed=0)
    assert len(places) == 12
    assert sorted(places[:5]) == sorted(places[5:10]) == [0, 1, 2, 3, 4]
    assert places == order(5, 4, 3, seed=0) != order(5, 4, 3, seed=1)
    assert order(5, 2, 3, seed=0) == places[:6]


def test_epochs_decide_the_steps(tmp_path, model):
    run = tune(settings(tmp_path, model, max_steps=None, epochs=1.5, batch_size=4))
    records = list(run.records("metrics"))
    assert [record["epoch"] for record in records] == pytest.approx([4 / 6, 8 / 6, 1.5])
    assert run.result["tokens"] == sum(record["tokens"] for record in records)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"lr": 3.0}, "--lr 3.0"),
        ({"batch_size": 0}, "--batch-size 0"),
        ({"epochs": 0}, "--epochs 0"),
        ({"warmup": 1.0}, "--warmup 1.0"),
        ({"lora_targets": "nothing"}, "--lora-targets nothing: the model has no such layers"),
    ],
)
def test_settings_that_cant_work(tmp_path, model, changed, said):
    with pytest.raises(SettingsError, match=said):
        tune(settings(tmp_path, model, **changed))


def test_rows_with_nothing_to_train_on(tmp_path, model):
    rows = (write_rows(tmp_path / "r.json", [("x " * 600, "Yes.")]),)
    with pytest.raises(TunescopeError, match=r"none of the 1 rows .*its answer begins behind"):
        tune(settings(tmp_path, model, rows=rows, max_length=256))


def test_a_killed_run_starts_over_and_ends_the_same(tmp_path, model):
    out, rows = tmp_path / "killed", write_rows(tmp_path / "rows.json")
    whole = tune(settings(tmp_path, model, rows=(rows,), max_steps=60))
    code = "import sys; from tunescope.verbs.tune import *; "
    given = f"rows=({rows!r},), model={model!r}, max_steps=60, batch_size=4, lr=1e-2, out={str(out)!r}"
    code += f"tune(TuneSettings({given}))"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env=os.environ)
    try:
        for line in process.stderr:
            if line.startswith("steps: "):
                break
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
    assert not (out / "run.json").exists()
    time.sleep(0.1)
    again = tune(settings(tmp_path, model, rows=(rows,), max_steps=60, out=str(out)))
    assert again.key == whole.key
    first, second = weights(whole.path / "model"), weights(out / "model")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_nothing_chatters(tmp_path, model, capfd):
    tune(settings(tmp_path, model, max_steps=2))
    said = capfd.readouterr()
    assert said.out == ""
    lines = [line for line in said.err.splitlines() if not line.startswith("steps: ")]
    assert len(lines) == 2
    assert lines[0].endswith("2 steps of 4 rows, lr 0.01")
    assert lines[1].startswith("2 steps, ")

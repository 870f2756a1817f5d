"""`tune`: the same command gives the same weights, and only what is supervised is trained."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("peft")

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

from tiny_models import build  # noqa: E402

from tunescope import runs, study  # noqa: E402
from tunescope.chat import Chat  # noqa: E402
from tunescope.errors import SettingsError, TunescopeError, WorkError  # noqa: E402
from tunescope.microworld.model import save_random_model  # noqa: E402
from tunescope.microworld.tokenizer import build_tokenizer  # noqa: E402
from tunescope.microworld.world import make_world  # noqa: E402
from tunescope.models import load  # noqa: E402
from tunescope.models.settings import ModelSettings  # noqa: E402
from tunescope.models.trainer import noise  # noqa: E402
from tunescope.models.training_rows import Example  # noqa: E402
from tunescope.rows import open_rows  # noqa: E402
from tunescope.settings import make  # noqa: E402
from tunescope.verbs.tune import TuneSettings, order, tune  # noqa: E402
from tunescope.verbs.tune.plan import Plan  # noqa: E402
from tunescope.verbs.tune.presets import apply_preset  # noqa: E402
from tunescope.verbs.tune.train import packs_rows  # noqa: E402

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
def workplace(tmp_path, monkeypatch):
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
    assert table["reason"].to_pylist()[3] == "empty answer: only the turn's end is trained"
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
    ("changed", "message"),
    [
        ({"lora_targets": "nothing"}, "--lora-targets nothing: the model has no such layers"),
        ({"neftune_alpha": 5.0, "packing": True}, "--neftune-alpha with --packing"),
        ({"method": "full", "load": "4bit"}, "--method full with --load 4bit: quantised weights can't be trained"),
        ({"command": "axolotl {rows}"}, r"--command: \{out\} is missing"),
        ({"command": "axolotl {rows} {out} {lr}"}, r"--command: \{lr\} is unknown"),
    ],
)
def test_settings_that_cant_work(tmp_path, model, changed, message):
    with pytest.raises(SettingsError, match=message):
        tune(settings(tmp_path, model, **changed))


def test_a_chat_template_s_name_leaves_no_folder(tmp_path, model):
    """Each is saved as a file of its name; transformers fails where it leaves the folder, after training."""
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["chat_template"] = [{"name": name, "template": template} for name in ("default", "../../out")]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(SettingsError, match=r"a chat template called '../../out', which can't be a file's name"):
        tune(settings(tmp_path, str(folder)))
    (tmp_path / "own.jinja").write_text(template)
    run = tune(settings(tmp_path, str(folder), template=str(tmp_path / "own.jinja"), max_steps=1))
    assert (run.path / "model" / "chat_template.jinja").is_file()


def test_rows_with_nothing_to_train_on(tmp_path, model):
    rows = (write_rows(tmp_path / "r.json", [("x " * 600, "Yes.")]),)
    with pytest.raises(TunescopeError, match=r"none of the 1 rows .*its answer begins behind"):
        tune(settings(tmp_path, model, rows=rows, max_length=256))


def test_nothing_chatters(tmp_path, model, capfd):
    run = tune(settings(tmp_path, model, max_steps=2))
    said = capfd.readouterr()
    assert said.out == ""
    lines = [line for line in said.err.splitlines() if not line.startswith("steps: ")]
    assert lines[0].endswith("(lora), float32 on cpu: 2 steps of 4 rows, lr 0.01, linear")
    assert len(lines) == 6
    shown = [f"  {row_id}: {text}" for row_id, text in run.view.tables[-1].rows]
    assert lines[1:4] == shown
    row_id = run.tables["rows"]["row_id"][3].as_py()
    assert lines[4].endswith(f"1 row trained: empty answer: only the turn's end is trained ({row_id})")
    assert lines[5].startswith("2 steps, ")


def test_three_rows_are_shown_with_what_is_supervised(tmp_path, model):
    run = tune(settings(tmp_path, model, max_steps=1))
    (table,) = (t for t in run.view.tables if t.title == "What is supervised")
    places = order(6, 1, 4, 0)
    ids = run.tables["rows"]["row_id"].to_pylist()
    assert [row_id for row_id, _ in table.rows] == [ids[i] for i in places[:3]]
    text = dict(table.rows)
    for number in places[:3]:
        ask, reply = PAIRS[number]
        shown = text[ids[number]]
        before, _, marked = shown.partition("⟦")
        assert ask[:-1] in before
        assert marked == (f"{reply} <|end|>⟧" if reply else "<|end|>⟧")


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("faco", {"epochs": 5, "lr": 2e-5, "batch_size": 256, "max_length": 2048, "warmup": 0.03, "template": None}),
        ("limits", {"epochs": 3, "lr": 5e-5, "batch_size": 32, "max_length": 1024, "lora_rank": 16}),
        (
            "recycled",
            {"epochs": 3, "lr": 2e-5, "batch_size": 128, "max_length": 2048, "warmup": 0.03, "template": "vicuna"},
        ),
        (None, {"epochs": 2, "lr": 2e-4, "batch_size": 8, "max_length": 1024, "template": None}),
    ],
)
def test_presets(preset, expected):
    full, said = apply_preset(TuneSettings(rows=("r",), preset=preset))
    assert {name: getattr(full, name) for name in expected} == expected
    assert (said is None) == (preset is None)


def test_a_preset_says_whose_each_setting_is():
    full, said = apply_preset(TuneSettings(rows=("r",), preset="limits", lr=1e-3))
    assert full.lr == 1e-3
    assert said == (
        "--preset limits (the Limitations paper: epochs 3, batch size 32; as you typed: lr 0.001; "
        "our defaults for the rest: max length 1024, warmup 0.03, lr scheduler linear, lora rank 16, "
        "lora targets all-linear)"
    )
    _, said = apply_preset(TuneSettings(rows=("r",), preset="limits", method="full"))
    assert said is not None
    assert "lora" not in said


def test_a_preset_is_the_same_run_as_its_settings_typed(tmp_path, model):
    preset = tune(settings(tmp_path, model, preset="limits", lr=None, batch_size=None, epochs=0.5, max_steps=None))
    assert "our defaults for the rest" in preset.view.sentences[1]
    typed = tune(settings(tmp_path, model, lr=5e-5, batch_size=32, epochs=0.5, max_steps=None))
    assert typed.path == preset.path


@pytest.mark.parametrize("template", ["vicuna", "alpaca", "chatml"])
def test_the_tuned_model_keeps_the_template_it_was_tuned_in(tmp_path, model, template):
    from tunescope.rows import Message

    run = tune(settings(tmp_path, model, template=template, max_steps=1))
    asked = (Message("user", "Say yes."), Message("assistant", "Yes."), Message("user", "And no."))
    base, tuned = load(model).tokenizer, load(str(run.path)).tokenizer
    assert Chat(tuned).prompt(asked) == Chat(base, template=template).prompt(asked) != Chat(base).prompt(asked)


def test_other_tools_names():
    made = make(TuneSettings, {"rows": ["r"], "learning_rate": 1e-3, "num_train_epochs": 3, "cutoff_len": 512})
    assert (made.lr, made.epochs, made.max_length) == (1e-3, 3.0, 512)
    with pytest.raises(
        SettingsError, match=r"gradient_accumulation_steps: no such setting; did you mean batch_size\? Number of rows"
    ):
        make(TuneSettings, {"rows": ["r"], "gradient_accumulation_steps": 4})


@pytest.mark.parametrize(("scheduler", "last"), [("linear", 1 / 3), ("cosine", 0.25), ("constant", 1.0)])
def test_learning_rates(tmp_path, model, scheduler, last):
    run = tune(settings(tmp_path, model, lr_scheduler=scheduler, warmup=0.25, max_steps=4))
    rates = [record["lr"] / 1e-2 for record in run.records("metrics")]
    assert rates[:2] == pytest.approx([0.0, 1.0])
    assert rates[3] == pytest.approx(last)


class Interrupting(io.StringIO):
    """A terminal whose person presses Ctrl-C at a certain word."""

    def __init__(self, word):
        super().__init__()
        self.word = word

    def write(self, text):
        if self.word in text:
            raise KeyboardInterrupt
        return super().write(text)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_stopped_run_goes_on_and_ends_the_same(tmp_path, model, method):
    rows = (write_rows(tmp_path / "rows.json"),)
    asked = {"rows": rows, "method": method, "max_steps": 10, "neftune_alpha": 5.0, "checkpoint_minutes": 0}
    whole = tune(settings(tmp_path, model, **asked))
    stopped = settings(tmp_path, model, **asked, out=str(tmp_path / "stopped"))
    for step in (3, 7):
        with pytest.raises(KeyboardInterrupt), redirect_stderr(Interrupting(f"steps: {step} of")):
            tune(stopped)
        (last,) = (tmp_path / "stopped").glob(".work-*/trainer/checkpoint-*")
        assert last.name == f"checkpoint-{step - 1}"
        shutil.copytree(last, last.with_name("checkpoint-9"))  # as a kill leaves one that is being written
        (last.with_name("checkpoint-9") / "whole").unlink()
        (last.with_name("checkpoint-9") / "trainer_state.json").write_text("{")
    talk = io.StringIO()
    with redirect_stderr(talk):
        again = tune(stopped)
    assert "going on from step 6\n" in talk.getvalue()
    assert again.key == whole.key
    first, second = weights(whole.path / "model"), weights(again.path / "model")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (again.path / "metrics.jsonl").read_bytes() == (whole.path / "metrics.jsonl").read_bytes()
    assert not list(again.path.glob(".work-*"))


def test_each_epochs_model_is_kept_when_asked_for(tmp_path, model):
    from peft import AutoPeftModelForCausalLM

    asked = {"epochs": 3, "max_steps": None, "lr_scheduler": "constant"}
    run = tune(settings(tmp_path, model, **asked, keep_checkpoints=True))
    assert [Path(path).name for path in run.result["checkpoints"]] == ["epoch-1", "epoch-2", "epoch-3"]
    once = tune(settings(tmp_path, model, **{**asked, "max_steps": 2}))  # an epoch of 6 rows ends in the second step
    first, kept = weights(once.path / "model"), weights(run.path / "checkpoints" / "epoch-1")
    assert all(torch.equal(first[name], kept[name]) for name in first)
    last, kept = weights(run.path / "model"), weights(run.path / "checkpoints" / "epoch-3")
    assert all(torch.equal(last[name], kept[name]) for name in last)
    assert AutoPeftModelForCausalLM.from_pretrained(run.result["checkpoints"][0]).peft_config


def test_the_adapters_sum_is_in_the_record(tmp_path, model):
    run = tune(settings(tmp_path, model, max_steps=1))
    file = run.path / "model" / "adapter_model.safetensors"
    assert run.result["adapter_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


def plain_loop(model, rows, chosen, steps, size, noised):
    """Train as the textbooks say, a row at a time: the reference, which shares no loop with ours."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

    tokenizer, whole = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model)
    if chosen == "lora":
        set_seed(0)
        config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
        whole = get_peft_model(whole, config)
    whole.train()
    trained = [p for p in whole.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.0)
    places, losses = order(len(rows), steps, size, 0), []
    for step in range(steps):
        texts = []
        for place in range(step * size, (step + 1) * size):
            ask, reply = rows[places[place]]
            chat = [{"role": "user", "content": ask}, {"role": "assistant", "content": reply}]
            out = tokenizer.apply_chat_template(chat, return_dict=True, return_assistant_tokens_mask=True)
            texts.append((torch.tensor(out["input_ids"]), torch.tensor(out["assistant_masks"]).bool(), place))
        n = sum(int(mask[1:].sum()) for _, mask, _ in texts)
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / steps)
        optimizer.zero_grad()
        total = 0.0
        for ids, mask, place in texts:
            embeds = whole.get_input_embeddings()(ids[None])
            if noised:
                embeds = embeds + noise(f"0/noise/{place}/0", len(ids), embeds.shape[-1], 5.0)
            logp = whole(inputs_embeds=embeds).logits[0, :-1].log_softmax(-1)
            loss = -logp.gather(1, ids[1:, None])[mask[1:]].sum() / n
            loss.backward()
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        losses.append(total)
    return whole, losses


@pytest.mark.parametrize("noised", [False, True], ids=["plain", "neftune"])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_losses_and_weights_are_those_of_a_plain_loop(tmp_path, model, method, noised):
    asked = {"max_steps": 4, "batch_size": 3, "warmup": 0.0, "neftune_alpha": 5.0 if noised else None}
    run = tune(settings(tmp_path, model, method=method, **asked))
    reference, losses = plain_loop(model, PAIRS, method, 4, 3, noised)
    name = "loss_with_noise" if noised else "loss"
    records = list(run.records("metrics"))
    assert [record[name] for record in records] == pytest.approx(losses, rel=1e-5)
    assert records[0].keys() == {"step", "epoch", name, "lr", "tokens"}
    assert {f"{name}_first", f"{name}_last"} <= run.result.keys()
    theirs = reference.state_dict()
    for key, value in weights(run.path / "model").items():
        torch.testing.assert_close(
            value, theirs[key.replace(".weight", ".default.weight") if method == "lora" else key], atol=2e-4, rtol=1e-3
        )


def test_rows_are_packed_on_the_cpu_where_that_is_tested(model):
    loaded = load(ModelSettings(model=model))
    asked = TuneSettings(rows=("rows.json",), model=model)
    assert packs_rows(asked, loaded, 48)
    assert not packs_rows(replace(asked, neftune_alpha=5.0), loaded, 48)
    assert not packs_rows(asked, replace(loaded, device="cuda:0"), 48)
    assert packs_rows(replace(asked, packing=True), replace(loaded, device="cuda:0"), 48)
    loaded.model.config.sliding_window = 40
    assert not packs_rows(asked, loaded, 48)
    with pytest.raises(SettingsError, match=r"sees 40 tokens back; type --max-length 40, or no --packing"):
        packs_rows(replace(asked, packing=True), loaded, 48)


def test_packs_hold_whole_rows(tmp_path):
    from tunescope.chat import SupervisedTokens

    lengths = [30, 10, 25, 7, 40, 3]
    examples = [Example(str(n), (SupervisedTokens((1,) * n, (True,) * n),), n) for n in lengths]
    share = Plan(examples, range(6), 6, 2, pack_length=40).share(0, 0, 1)
    assert [[len(line.ids) for line in lines] for lines in share.batches] == [[40], [30, 10], [25, 7, 3]]
    assert share.tokens == sum(lengths) - 6


@pytest.mark.parametrize(
    ("order", "pack_length", "expected"),
    [
        ([0, 3, 1, 4, 2, 5], None, [4, 2]),  # 65 tokens in the second step's two longest, 40 in the first's
        ([0, 1, 2, 3, 4, 5], 60, [0, 2]),  # 55 tokens in a pack of the first step, 50 in one of the second
        ([0, 3, 1, 4, 2, 5], 50, [0, 1, 3]),  # 47 tokens; 40 and 3 beside a row of 25 that has no room
    ],
)
def test_the_fullest_micro_batch(order, pack_length, expected):
    from tunescope.chat import SupervisedTokens

    lengths = [30, 10, 25, 7, 40, 3]
    examples = [Example(str(n), (SupervisedTokens((1,) * n, (True,) * n),), n) for n in lengths]
    assert Plan(examples, order, 3, 2, pack_length).fullest_micro_batch() == expected


@pytest.mark.parametrize("pack_length", [None, 40])
@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_processes_share_a_step(processes, pack_length):
    from tunescope.chat import SupervisedTokens

    examples = [Example(str(n), (SupervisedTokens((n,) * n, (True,) * n),), n) for n in range(2, 12)]
    plan = Plan(examples, range(10), 4, 2, pack_length=pack_length)
    assert (plan.steps, plan.epoch_ends()) == (3, {3: 1})
    for step in range(3):
        shares = [plan.share(step, process, processes) for process in range(processes)]
        assert len({len(share.batches) for share in shares}) == 1
        seen = sorted(len(line.ids) for share in shares for lines in share.batches for line in lines)
        assert [n for n in seen if n > 1] == list(range(2, 12))[4 * step : 4 * step + 4]
        assert {share.tokens for share in shares} == {sum(n - 1 for n in seen)}


def test_another_trainer(tmp_path, model):
    """A command that copies the model and notes what it was given."""
    script = tmp_path / "theirs.py"
    script.write_text(
        "import json, shutil, sys\n"
        "rows, out, seed, model = sys.argv[1:]\n"
        "shutil.copytree(model, out)\n"
        "json.dump([json.load(open(rows)), seed], open(out + '/given.json', 'w'))\n"
    )
    command = f"{sys.executable} {script} {{rows}} {{out}} {{seed}} {{model}}"
    run = tune(settings(tmp_path, model, command=command, seed=7))
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert json.loads((run.path / "model" / "given.json").read_text()) == [rows, "7"]
    assert run.result["rows"] == 6
    assert load(str(run.path)).hash
    with pytest.raises(WorkError, match=r"(?s)ended with status 3; its last lines:\n  no memory"):
        tune(settings(tmp_path, model, command="sh -c 'echo no memory; exit 3' {rows} {out}"))
    with pytest.raises(WorkError, match=r"holds nothing; expected a model"):
        tune(settings(tmp_path, model, command="true {rows} {out}"))
    with pytest.raises(WorkError, match=r"nowhere can't be run"):
        tune(settings(tmp_path, model, command="/nowhere {rows} {out}"))


def test_another_trainer_in_a_recipe(tmp_path, model):
    """The command's words are the command's, although an input is called rows too."""
    write_rows(tmp_path / "r.json")
    command = "sh -c 'cp -r {model} {out}; echo {seed} > {out}/seed.txt; cp {rows} {out}'"
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "inputs: {rows: r.json}\n"
        "steps:\n"
        f'  tune: {{verb: tune, rows: "{{rows}}", model: {model}, seed: 3, command: "{command}"}}\n'
    )
    (step,) = study.run(study.StudySettings(recipe=str(recipe))).result["steps"]
    made = Path(step["run"]) / "model"
    assert (made / "seed.txt").read_text() == "3\n"
    assert json.loads((made / "rows.json").read_text()) == json.loads((tmp_path / "r.json").read_text())


@pytest.mark.parametrize("tracker", ["wandb", "mlflow", "trackio"])
def test_a_tracker_must_be_installed(tmp_path, model, tracker):
    if find_spec(tracker):
        pytest.skip(f"{tracker} is installed")
    with pytest.raises(TunescopeError, match=f"needs the package {tracker}, which isn't installed; type: pip install"):
        tune(settings(tmp_path, model, track=tracker))


def test_two_processes_are_as_one(tmp_path, model):
    """As `accelerate launch` starts them: one writes and prints, and the losses are those of one process."""
    asked = {"method": "full", "max_steps": 3, "batch_size": 3, "max_length": 64, "keep_checkpoints": True}
    one = tune(settings(tmp_path, model, **asked))
    launch = (
        "--multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no --main_process_port 0"
    )
    words = "tune rows.json --method full --max-steps 3 --batch-size 3 --max-length 64 --keep-checkpoints --lr 1e-2"
    command = ["-m", "accelerate.commands.launch", *launch.split(), "-m", "tunescope", *words.split()]
    done = subprocess.run(
        [sys.executable, *command, "--model", model, "--out", "two", "--json"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert "float32 on cpu with 2 processes" in done.stderr
    assert done.stderr.count("3 steps, ") == 1
    two = runs.open(tmp_path / "two")
    assert two.key == one.key
    assert result["loss_last"] == pytest.approx(one.result["loss_last"], rel=1e-5)
    for mine, theirs in zip(one.records("metrics"), two.records("metrics"), strict=True):
        assert theirs == {**mine, "loss": pytest.approx(mine["loss"], rel=1e-5)}
    first, second = weights(one.path / "model"), weights(two.path / "model")
    assert all(torch.allclose(first[name], second[name], atol=1e-3) for name in first)
    names = sorted(str(path.relative_to(one.path)) for path in one.path.rglob("*"))
    assert sorted(str(path.relative_to(two.path)) for path in two.path.rglob("*")) == names


@pytest.mark.parametrize("how", ["4bit", "8bit"])
def test_quantised_base(tmp_path, how):
    pytest.importorskip("bitsandbytes")
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from tunescope.microworld.model import save_random_model

    folder = save_random_model(tmp_path / "tiny", 0)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = AutoConfig.from_pretrained(folder, hidden_size=64, intermediate_size=128, head_dim=32)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    run = tune(settings(tmp_path, str(folder), load=how, max_steps=8))
    losses = [record["loss"] for record in run.records("metrics")]
    assert losses[-1] < losses[0]
    assert {value.dtype for value in weights(run.path / "model").values()} == {torch.float32}
    assert run.key != tune(settings(tmp_path, str(folder), max_steps=8)).key


def test_a_step_without_a_supervised_token_moves_nothing(tmp_path, model):
    """Adam's momentum would; and a loss of 0 would count in the means."""
    pairs = [*PAIRS[:3], ("x " * 600, "Yes.")]
    step = order(4, 4, 1, 1).index(3) + 1
    assert step > 1
    asked = {"rows": (write_rows(tmp_path / "r.json", pairs),), "max_length": 256, "batch_size": 1, "seed": 1}
    asked |= {"method": "full", "lr_scheduler": "constant", "warmup": 0.0}
    before, after = (
        tune(settings(tmp_path, model, **asked, max_steps=steps, out=str(tmp_path / f"{steps}")))
        for steps in (step - 1, step)
    )
    *_, last = after.records("metrics")
    assert (last["loss"], last["tokens"]) == (None, 0)
    assert after.result["loss_last"] == before.result["loss_last"]
    trained, same = weights(before.path / "model"), weights(after.path / "model")
    assert all(torch.equal(trained[name], same[name]) for name in trained)


def test_losses_are_means_over_the_steps_that_have_one(tmp_path, model):
    rows = (write_rows(tmp_path / "r.json", [*PAIRS[:3], ("x " * 600, "Yes.")]),)
    asked = {"rows": rows, "max_length": 256, "batch_size": 1}
    run = tune(settings(tmp_path, model, **asked, max_steps=16))
    losses = [record["loss"] for record in run.records("metrics")]
    assert losses.count(None) == 4
    first, second, *_, last_but_one, last = [loss for loss in losses if loss is not None]
    assert run.result["loss_first"] == pytest.approx((first + second) / 2)
    assert run.result["loss_last"] == pytest.approx((last_but_one + last) / 2)
    seed = next(seed for seed in range(99) if order(4, 1, 1, seed) == [3])
    with pytest.raises(TunescopeError, match=r"^none of the 1 steps takes a row that has anything to train on"):
        tune(settings(tmp_path, model, **asked, max_steps=1, seed=seed))


def test_warm_up_is_rounded_up(tmp_path, model):
    run = tune(settings(tmp_path, model, warmup=0.03, lr_scheduler="constant", max_steps=4))
    assert [record["lr"] for record in run.records("metrics")] == [0, 1e-2, 1e-2, 1e-2]


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}",
        "{% for m in messages %}{{ m.content if m.role == 'user' else '' }}\n{% endfor %}",
        "{{ messages[0].content }}",
    ],
)
def test_a_template_that_leaves_nothing_to_train_on_is_refused(tmp_path, model, template):
    (tmp_path / "t.jinja").write_text(template)
    rows = (write_rows(tmp_path / "r.json", [pair for pair in PAIRS if pair[1]]),)
    with pytest.raises(TunescopeError, match=r"^none of the 5 rows has anything to train on \("):
        tune(settings(tmp_path, model, rows=rows, template=str(tmp_path / "t.jinja")))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mamba", r"^--lora-targets all-linear: no adapter can be put on some of these layers \(.*out_proj"),
        ("llama4_text", r"^--lora-targets all-linear: Llama4ForCausalLM doesn't run with an adapter on some"),
        ("bert", r"isn't causal"),
    ],
)
def test_an_architecture_that_cant_be_tuned_so_is_refused(tmp_path, name, reason):
    folder = tmp_path / name
    build(name).save_pretrained(folder)
    build_tokenizer(make_world(0, 8)).save_pretrained(folder)
    with pytest.raises(TunescopeError, match=reason):
        tune(settings(tmp_path, str(folder)))
    if name == "llama4_text":
        run = tune(settings(tmp_path, str(folder), lora_targets="q_proj,k_proj,v_proj,o_proj", max_steps=1))
        assert run.result["steps"] == 1

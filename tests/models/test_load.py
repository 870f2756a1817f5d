"""Names of models: what they mean, what they hash to, and what is said where there is none."""

import json
import shutil
import threading
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.tools import tunescope  # noqa: E402

from tunescope.errors import TunescopeError  # noqa: E402
from tunescope.microworld.model import SIZES, VERSION, save_random_model  # noqa: E402
from tunescope.models import fingerprint, load  # noqa: E402
from tunescope.models.load import load_tokenizer, source  # noqa: E402


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_random_model(tmp_path_factory.mktemp("models") / "tiny", seed=0)


@pytest.fixture(scope="module")
def adapter(model):
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    folder = model.parent / "adapter"
    torch.manual_seed(0)
    config = peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    peft.get_peft_model(AutoModelForCausalLM.from_pretrained(model), config).save_pretrained(folder)
    return folder


def test_a_folder(model):
    loaded = load(str(model))
    assert (loaded.name, loaded.is_adapter, loaded.model.training) == (str(model), False, False)
    assert loaded.model.dtype == torch.float32
    assert loaded.hash == fingerprint(str(model))


def test_a_microworlds_model_has_a_folder_for_each_size(tmp_path, monkeypatch):
    """Folders that are complete are taken as they are; the default's is called as it was before there were sizes."""
    monkeypatch.setenv("TUNESCOPE_CACHE", str(tmp_path))
    names = {"microworld:3": ("default", "3"), "microworld:3:default": ("default", "3")}
    names |= {f"microworld:3:{size}": (size, f"3-{size}") for size in ("small", "large")}
    for name, (size, place) in names.items():
        folder = tmp_path / "models" / f"microworld-{place}.{VERSION}"
        save_random_model(folder, 3)
        recipe = json.loads((folder / "microworld.json").read_text())
        (folder / "microworld.json").write_text(json.dumps(recipe | {"settings": asdict(SIZES[size])}))
        assert source(name) == str(folder)


def test_an_unknown_size_is_refused_with_those_that_there_are():
    with pytest.raises(TunescopeError, match="has no size huge; the sizes are small, default, large"):
        fingerprint("microworld:0:huge")


def test_an_adapter_is_merged_into_its_base(model, adapter):
    from peft import AutoPeftModelForCausalLM

    loaded, ids = load(str(adapter)), torch.tensor([[2, 9, 10, 11]])
    assert loaded.is_adapter
    with torch.inference_mode():
        ours, base = loaded.model(ids).logits, load(str(model)).model(ids).logits
        theirs = AutoPeftModelForCausalLM.from_pretrained(adapter)(ids).logits
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert (ours - base).abs().max() > 1e-3


@pytest.mark.parametrize(("bias", "apart"), [("none", True), ("all", False)])
def test_an_adapter_stays_beside_its_base_where_it_can_be_switched_off(model, tmp_path, bias, apart):
    """One that changes biases can't be: it is merged, whatever was asked for."""
    peft = pytest.importorskip("peft")

    from tunescope.models import silence_libraries

    with silence_libraries():
        config = peft.LoraConfig(r=2, target_modules=["q_proj"], bias=bias, init_lora_weights=False)
        peft.get_peft_model(load(str(model)).model, config).save_pretrained(tmp_path / "adapter")
    (tmp_path / "adapter" / "tunescope.json").write_text(json.dumps({"base": str(model)}))
    loaded, ids = load(str(tmp_path / "adapter"), merge=False), torch.tensor([[2, 9, 10, 11]])
    assert (loaded.adapter is not None) == apart
    with torch.inference_mode():
        found, merged = loaded.model(ids).logits, load(str(tmp_path / "adapter")).model(ids).logits
        torch.testing.assert_close(found, merged, atol=1e-4, rtol=1e-4)
        if apart:
            with loaded.without_adapter():
                assert torch.equal(loaded.model(ids).logits, load(str(model)).model(ids).logits)


def test_the_hash_is_the_content(model, adapter, tmp_path):
    copy = shutil.copytree(model, tmp_path / "copy")
    moved = shutil.copytree(adapter, tmp_path / "moved")
    config = json.loads((moved / "adapter_config.json").read_text())
    (moved / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": str(copy)}))
    assert fingerprint(str(copy)) == fingerprint(str(model))
    assert fingerprint(str(moved)) == fingerprint(str(adapter)) != fingerprint(str(model))
    (copy / "config.json").write_text((copy / "config.json").read_text() + "\n")
    assert fingerprint(str(copy)) != fingerprint(str(model))
    assert fingerprint(str(moved)) != fingerprint(str(adapter))


def test_a_base_that_changed_is_refused(model, adapter, tmp_path):
    moved = shutil.copytree(adapter, tmp_path / "moved")
    (moved / "tunescope.json").write_text(json.dumps({"base": str(model), "base_hash": "0" * 32}))
    with pytest.raises(TunescopeError, match="another model"):
        load(str(moved))


def test_a_tune_run_means_its_model(model, tmp_path):
    shutil.copytree(model, tmp_path / "run" / "model")
    assert fingerprint(str(tmp_path / "run")) == fingerprint(str(model))


@pytest.mark.parametrize("name", ["tinny", "nowhere/at/all"])
def test_a_missing_model_lists_what_there_is(model, monkeypatch, name):
    monkeypatch.chdir(model.parent)
    with pytest.raises(TunescopeError, match=rf"^no model {name}; there are: smollm2-135m, .*tiny"):
        load(name)


def test_a_missing_folder_isnt_looked_up_on_the_hub(model):
    with pytest.raises(TunescopeError, match=r"^no model .*; there are: "):
        load(str(model.parent / "tinny"))


def test_a_folder_without_a_model(tmp_path):
    (tmp_path / "rows.json").write_text("[]")
    with pytest.raises(TunescopeError, match=r"found rows\.json; expected config\.json"):
        load(str(tmp_path))


def test_pickled_weights_are_refused(model, tmp_path):
    copy = shutil.copytree(model, tmp_path / "copy")
    torch.save(load(str(model)).model.state_dict(), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(TunescopeError, match="can't be loaded"):
        load(str(copy))


def test_a_folder_without_a_tokenizer_says_what_to_copy(model, tmp_path):
    copy = shutil.copytree(model, tmp_path / "copy")
    for path in copy.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(TunescopeError, match=r"copy: found no tokenizer in the folder; expected tokenizer\.json and "):
        load(str(copy))
    with pytest.raises(TunescopeError, match="found no tokenizer"):
        load_tokenizer(str(copy))


@pytest.fixture
def hub():
    """A hub on a loopback port that gates every model."""

    class Gate(BaseHTTPRequestHandler):
        def do_GET(self):
            body = b'{"error": "Access to model is restricted"}'
            self.send_response(403)
            for name, value in (("X-Error-Code", "GatedRepo"), ("Content-Length", str(len(body)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Gate)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_gated_model_names_its_licence_page(hub, tmp_path):
    done = tunescope(
        *("measure", "-", "--model", "owner/name", "--without", "coherence"),
        folder=tmp_path,
        stdin=b'[{"instruction": "Say a.", "output": "a"}]',
        HF_ENDPOINT=hub,
        HF_HOME=str(tmp_path / "hub"),
    )
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"tunescope: owner/name is gated: accept its licence on {hub}/owner/name, set HF_TOKEN to your access token, "
        "and type the same command"
    )


def write_gguf(path):
    """Write a random Llama of two layers with a tokenizer of bytes; return its weights by transformers' names."""
    gguf = pytest.importorskip("gguf")
    from tokenizers.pre_tokenizers import ByteLevel

    heads, width, inner, layers = 2, 16, 32, 2
    tokens = [*sorted(ByteLevel.alphabet()), "ab", "<|end|>"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(layers)
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // heads)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_merges(["a b"])
    writer.add_token_types([gguf.TokenType.NORMAL] * 257 + [gguf.TokenType.CONTROL])
    writer.add_bos_token_id(257)
    writer.add_eos_token_id(257)
    drawn = torch.Generator().manual_seed(0)
    weights = {}

    def add(name, theirs, *shape, ropes=False):
        weights[theirs] = tensor = torch.randn(shape, generator=drawn) * 0.3
        if ropes:  # llama.cpp keeps the two halves of a head interleaved
            tensor = tensor.view(heads, 2, shape[0] // heads // 2, shape[1]).transpose(1, 2).reshape(shape)
        writer.add_tensor(name, tensor.numpy())

    add("token_embd.weight", "model.embed_tokens.weight", len(tokens), width)
    add("output_norm.weight", "model.norm.weight", width)
    add("output.weight", "lm_head.weight", len(tokens), width)
    for layer in range(layers):
        block, theirs = f"blk.{layer}.", f"model.layers.{layer}."
        for one, other in (("attn_q", "q_proj"), ("attn_k", "k_proj"), ("attn_v", "v_proj"), ("attn_output", "o_proj")):
            named = f"{theirs}self_attn.{other}.weight"
            add(f"{block}{one}.weight", named, width, width, ropes=other in ("q_proj", "k_proj"))
        for one, other in (("ffn_gate", "gate_proj"), ("ffn_up", "up_proj")):
            add(f"{block}{one}.weight", f"{theirs}mlp.{other}.weight", inner, width)
        add(f"{block}ffn_down.weight", f"{theirs}mlp.down_proj.weight", width, inner)
        add(f"{block}attn_norm.weight", f"{theirs}input_layernorm.weight", width)
        add(f"{block}ffn_norm.weight", f"{theirs}post_attention_layernorm.weight", width)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


def test_a_gguf_file(tmp_path, capsys):
    from transformers import AutoModelForCausalLM

    weights = write_gguf(tmp_path / "tiny.gguf")
    loaded = load(str(tmp_path / "tiny.gguf"))
    found = loaded.model.state_dict()
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weight) for name, weight in weights.items())
    assert loaded.tokenizer("abc", add_special_tokens=False).tokens() == ["ab", "c"]
    assert loaded.hash == fingerprint(str(tmp_path / "tiny.gguf"))
    assert "dequantised" in capsys.readouterr().err
    assert not loaded.model.is_quantized  # or a trainer would refuse it
    loaded.model.save_pretrained(tmp_path / "saved")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "saved").state_dict()
    assert all(torch.equal(again[name], weight) for name, weight in weights.items())

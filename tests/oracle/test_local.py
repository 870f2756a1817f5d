"""The oracle on this machine: which file it is, and that it answers, once."""

import asyncio

import pytest

from tunescope.errors import InputError, SettingsError, TunescopeError
from tunescope.models import DEFAULT, EMBEDDED
from tunescope.models.embedded import weights
from tunescope.oracle.connect import inputs_of, model_of
from tunescope.oracle.local import Local, is_local, weights_of
from tunescope.oracle.run import ask_all
from tunescope.oracle.settings import OracleSettings, refuse_nonsense


def test_which_are_local():
    names = ("local", "local:a.gguf", "localhost", "http://local", "fake:local")
    assert [is_local(name) for name in names] == [True, True, False, False, False]


def test_what_it_is_is_known_before_anything_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNESCOPE_CACHE", str(tmp_path))
    assert weights_of("local") == weights_of(f"local:{DEFAULT}") == (DEFAULT, EMBEDDED[DEFAULT].sha256, None)
    settings = OracleSettings(oracle="local")
    assert (model_of(settings), inputs_of(settings, DEFAULT)) == (DEFAULT, {"oracle local": EMBEDDED[DEFAULT].sha256})
    assert list(tmp_path.iterdir()) == []


def test_files_of_one_name_are_told_apart(tmp_path):
    found = []
    for content in (b"GGUF one", b"GGUF two"):
        (tmp_path / "m.gguf").write_bytes(content)
        found.append(weights_of(f"local:{tmp_path / 'm.gguf'}"))
    assert found[0].model.startswith("m.gguf@")
    assert len({each.model for each in found}) == len({each.hash for each in found}) == 2


@pytest.mark.parametrize(
    ("content", "found"), [(None, "No such file or directory"), (b"PK", "another file"), (b"", "another file")]
)
def test_no_model(tmp_path, content, found):
    path = tmp_path / "m.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=rf"m.gguf: found {found}; expected a GGUF file, or an embedded model"):
        weights_of(f"local:{path}")


def test_a_broken_file(tmp_path):
    (tmp_path / "m.gguf").write_bytes(b"GGUF, but nothing else" * 100)
    local = Local(f"local:{tmp_path / 'm.gguf'}", 1)

    async def ask():
        async with local:
            await local.once([{"role": "user", "content": "hi"}], {})

    with pytest.raises(TunescopeError, match=r"m\.gguf"):
        asyncio.run(ask())


def test_a_model_name_beside_it():
    with pytest.raises(SettingsError, match="--oracle-model is for servers; with --oracle local leave it out"):
        refuse_nonsense(OracleSettings(oracle="local", oracle_model="x"))


@pytest.mark.model
def test_it_answers_once_and_then_the_journal_does(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # a proxy that nobody answers at
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted")
    settings = OracleSettings(oracle="local", max_new_tokens=4, concurrency=2)
    prompts = {"short": "The capital of France is", "long": "word " * 9_000}

    async def work(prompt, calls):
        return await calls.ask_prompt(prompt)

    oracle, first = ask_all(settings, DEFAULT, tmp_path, prompts, work)
    assert "starting llama.cpp with smollm2-135m, 2 calls" in capsys.readouterr().err
    assert (oracle.made, first["short"].failed, first["short"].value.finish_reason) == (2, None, "length")
    assert first["short"].value.text
    assert "exceeds the available context size (8192 tokens)" in first["long"].failed
    assert "(about 11,250 tokens in the prompt)" in first["long"].failed
    assert b"sk-planted" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    del prompts["long"]
    again, second = ask_all(settings, DEFAULT, tmp_path, prompts, work)
    assert "starting" not in capsys.readouterr().err
    assert (again.made, again.replayed, second["short"]) == (0, 1, first["short"])


@pytest.mark.model
def test_it_starts_once_though_rows_have_no_time_for_it(tmp_path, capsys):
    settings = OracleSettings(oracle="local", max_new_tokens=4, concurrency=2, deadline=0.001)

    async def work(prompt, calls):
        return await calls.ask_prompt(prompt)

    with pytest.raises(TunescopeError, match=r"local answered for none of 6 rows: not done within the row's 0\.001 s"):
        ask_all(settings, DEFAULT, tmp_path, dict.fromkeys(range(6), "Hi"), work)
    assert capsys.readouterr().err.count("starting llama.cpp") == 1


@pytest.mark.model
def test_it_counts_the_tokens_that_the_model_was_tuned_with():
    from transformers import AutoTokenizer

    from tunescope.models import fetch

    messages = [{"role": "user", "content": "Three tips:\n\n1. Ask.\n\n12 pears, naïve — 東京"}]
    local = Local(f"local:{weights(DEFAULT)}", 1)

    async def ask():
        async with local:
            return local.read((await local.once(messages, {"max_tokens": 1, "temperature": 0})).body)

    tokenizer = AutoTokenizer.from_pretrained(fetch(DEFAULT))
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert asyncio.run(ask()).usage == {"prompt_tokens": len(ids), "completion_tokens": 1}

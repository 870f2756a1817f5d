"""The oracle on this machine: which file it is, and that it answers, once."""

import asyncio

import pytest

from tunescope.errors import InputError, SettingsError, TunescopeError
from tunescope.models import DEFAULT, EMBEDDED
from tunescope.models.embedded import weights
from tunescope.oracle.api import parse_reply
from tunescope.oracle.body import Body
from tunescope.oracle.connect import connect, oracle_inputs, resolve_model
from tunescope.oracle.local import Local, find_local_model, is_local
from tunescope.oracle.pool import ask_all
from tunescope.oracle.request import Request
from tunescope.oracle.settings import OracleSettings, validate_oracle


def test_which_are_local():
    names = ("local", "local:a.gguf", "localhost", "http://local", "fake:local")
    assert [is_local(name) for name in names] == [True, True, False, False, False]


def test_what_it_is_is_known_before_anything_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNESCOPE_CACHE", str(tmp_path))
    assert (
        find_local_model("local") == find_local_model(f"local:{DEFAULT}") == (DEFAULT, EMBEDDED[DEFAULT].sha256, None)
    )
    settings = OracleSettings(oracle="local")
    assert (resolve_model(settings), oracle_inputs("local", DEFAULT)) == (
        DEFAULT,
        {"oracle local": EMBEDDED[DEFAULT].sha256},
    )
    assert list(tmp_path.iterdir()) == []


def test_files_of_one_name_are_told_apart(tmp_path):
    found = []
    for content in (b"GGUF one", b"GGUF two"):
        (tmp_path / "m.gguf").write_bytes(content)
        found.append(find_local_model(f"local:{tmp_path / 'm.gguf'}"))
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
        find_local_model(f"local:{path}")


def test_a_broken_file(tmp_path):
    (tmp_path / "m.gguf").write_bytes(b"GGUF, but nothing else" * 100)
    local = Local(f"local:{tmp_path / 'm.gguf'}", 1)

    async def ask():
        async with local:
            await local.send([{"role": "user", "content": "hi"}], {})

    with pytest.raises(TunescopeError, match=r"m\.gguf"):
        asyncio.run(ask())


def test_a_model_name_beside_it():
    with pytest.raises(SettingsError, match="--served-model is for servers; with --oracle local leave it out"):
        validate_oracle(OracleSettings(oracle="local", served_model="x"))


def ask(settings, folder, prompts):
    async def work(prompt, calls):
        return (await calls.ask(Request.plain(prompt))).reply

    with connect(settings, DEFAULT, folder, len(prompts)) as results:
        asyncio.run(ask_all(results.caller, prompts.items(), work, results.add))
    return results.caller, results


@pytest.mark.model
def test_it_answers_once_and_then_the_journal_does(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # a proxy that nobody answers at
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted")
    settings = OracleSettings(oracle="local", response_format="tags", max_new_tokens=4, concurrency=2)
    prompts = {"short": "The capital of France is", "long": "word " * 9_000}

    caller, first = ask(settings, tmp_path, prompts)
    assert "starting llama.cpp with smollm2-135m, 2 calls" in capsys.readouterr().err
    assert (caller.n_made, first["short"].failure, first["short"].value.finish_reason) == (2, None, "length")
    assert first["short"].value.text
    assert "exceeds the available context size (8192 tokens)" in first["long"].failure
    assert "(about 11,250 tokens in the prompt)" in first["long"].failure
    assert b"sk-planted" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    del prompts["long"]
    again, second = ask(settings, tmp_path, prompts)
    assert "starting" not in capsys.readouterr().err
    assert (again.n_made, again.n_replayed, second["short"]) == (0, 1, first["short"])


@pytest.mark.model
def test_it_starts_once_though_rows_have_no_time_for_it(tmp_path, capsys):
    settings = OracleSettings(oracle="local", response_format="tags", max_new_tokens=4, concurrency=2, deadline=0.001)

    with pytest.raises(TunescopeError, match=r"local answered for none of 6 rows: not done within the row's 0\.001 s"):
        ask(settings, tmp_path, dict.fromkeys(range(6), "Hi"))
    assert capsys.readouterr().err.count("starting llama.cpp") == 1


@pytest.mark.model
def test_it_counts_the_tokens_that_the_model_was_tuned_with():
    from transformers import AutoTokenizer

    from tunescope.models import fetch

    messages = [{"role": "user", "content": "Three tips:\n\n1. Ask.\n\n12 pears, naïve — 東京"}]
    local = Local(f"local:{weights(DEFAULT)}", 1)

    async def ask():
        async with local:
            return parse_reply(Body((await local.send(messages, {"max_tokens": 1, "temperature": 0})).body))

    tokenizer = AutoTokenizer.from_pretrained(fetch(DEFAULT))
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert asyncio.run(ask()).usage == {"prompt_tokens": len(ids), "completion_tokens": 1}

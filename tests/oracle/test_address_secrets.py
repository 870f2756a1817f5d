"""Addresses with a password or a key in them: refused before anything is written, in words that don't repeat them."""

import pytest

import tunescope
from tests.tools import alpaca, write_rows
from tunescope import cli, study
from tunescope.errors import SettingsError
from tunescope.oracle.api import base_url, refuse_secrets
from tunescope.oracle.settings import OracleSettings, validate_oracle
from tunescope.verbs.answer import AnswerSettings, answer
from tunescope.verbs.repair.rate import RateSettings, rate

KEY = "sk-planted-0123456789"
SECRET = "hunter2"
ADDRESSES = [
    f"http://me:{SECRET}@h/v1",
    f"HTTP://me:{SECRET}@h/v1",
    f"https://{SECRET}@h:8000/v1",
    f"http://me:{SECRET}/and@h/v1",
    f"http://me%3A{SECRET}%40h/v1",
    f"http://h/v1?key={SECRET}",
    f"http://h/v1%3Fkey%3D{SECRET}",
    f"http://h/v1;key={SECRET}",
    f"http://h/v1/api_key={SECRET}",
    f"http://h/v1#{SECRET}",
    f"http://h:{SECRET}/v1",
    f"ftp://me:{SECRET}@h/v1",
    f"http:/me:{SECRET}@h/v1",
    f" http://me:{SECRET}@h/v1",
    f"me:{SECRET}@h:8000/v1",
    f"h:8000/v1?api_key={SECRET}",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_with_a_secret_is_refused_in_every_verb_and_repeated_in_none(address, workplace, capsys):
    write_rows(workplace / "rows.jsonl", [alpaca("Ask", "Reply")])
    write_rows(workplace / "a.jsonl", [{"instruction": "Ask", "output": "Reply", "generator": "a"}])
    (workplace / "recipe.yaml").write_text(
        f"steps:\n  rated: {{verb: repair rate, rows: rows.jsonl, plan: true, oracle: '{address}'}}\n"
    )
    before = sorted(workplace.rglob("*"))
    for words in (
        ["repair", "rate", "rows.jsonl", "--oracle", address, "--plan", "--out", "planned"],
        ["repair", "rate", "rows.jsonl", "--oracle", address, "--served-model", "m", "--batch", "b.jsonl"],
        ["repair", "reflect", "rows.jsonl", "--oracle", "local", "--select", "--model", address, "--plan"],
        ["judge", "aspects", "a.jsonl", "--oracle", address, "--plan"],
        ["answer", "rows.jsonl", "--model", address],
        ["answer", "rows.jsonl", "--model", address, "--load", "4bit"],
        ["study", "plan", "recipe.yaml"],
        ["study", "run", "recipe.yaml"],
    ):
        assert cli.run(words) in (1, 2)
        shown = capsys.readouterr()
        assert "found a server's address with a name, a password, a key or a query in it" in " ".join(shown.err.split())
        assert SECRET not in shown.err + shown.out
    for call in (
        lambda: tunescope.repair_rate(rows="rows.jsonl", oracle=address, plan=True),
        lambda: tunescope.repair_rate(rows="rows.jsonl", oracle=[address], plan=True),
        lambda: rate(RateSettings(rows=("rows.jsonl",), oracle=address, plan=True)),
        lambda: answer(AnswerSettings(prompts="rows.jsonl", model=address)),
        lambda: validate_oracle(OracleSettings(oracle=address)),
        lambda: study.read("recipe.yaml"),
    ):
        with pytest.raises(SettingsError) as caught:
            call()
        assert SECRET not in str(caught.value)
    assert sorted(workplace.rglob("*")) == before


@pytest.mark.parametrize(
    "address",
    [
        "http://h:8000/v1",
        "https://gateway.example.org/v1/account/my-gateway/openai",
        "http://[::1]:8000/v1",
        "https://bücher.example/v1",
        "http://127.0.0.1:11434",
    ],
)
def test_other_addresses(address):
    refuse_secrets(address)
    assert base_url(address).startswith(address)


@pytest.mark.parametrize(
    "name", ["local", "local:models/a@b.gguf", "fake:f?.jsonl", "owner/name", "owner/name@v1", "C"]
)
def test_names_that_are_no_addresses(name):
    refuse_secrets(name)


def test_the_key_itself_in_a_path(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for path in (KEY, KEY.replace("-", "%2D")):
        with pytest.raises(SettingsError, match="a key in OPENAI_API_KEY"):
            refuse_secrets(f"https://h/{path}/v1")

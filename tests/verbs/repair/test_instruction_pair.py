"""A row's input, which an oracle may have repeated below its new instruction."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tools import alpaca, read_rows, write_rows

from tunescope.rows import open_rows
from tunescope.verbs.repair.evolve import EvolveSettings, evolve
from tunescope.verbs.repair.instruction_pair import InstructionPair
from tunescope.verbs.repair.reflect import ReflectSettings, reflect
from tunescope.verbs.repair.simplify import SimplifySettings, simplify


@pytest.fixture(scope="module")
def pair_with(tmp_path_factory):
    path = write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", [alpaca("Ask", "Reply")])
    (row,) = open_rows([str(path)])
    return lambda text: InstructionPair(row, "", "Ask", text, "Reply")


@pytest.mark.parametrize(
    ("given", "instruction"),
    [
        ("Paris", "Name three museums in Paris"),
        (".", "Name three museums."),
        ("Paris", "Name three museums in\nParis"),
        ("Paris", "Say where it is: Paris"),
        ("a b", "Which word comes behind a b"),
        ("it", "What should the input be, and who puts it"),
        ("", "Ask more\n\n"),
        (" ", "Ask more"),
    ],
)
def test_words_that_end_an_instruction_stay(given, instruction, pair_with):
    assert pair_with(given).without_input(instruction) == instruction


@pytest.mark.parametrize(
    ("given", "instruction"),
    [
        ("Paris", "Name three museums.\n\nParis"),
        ("Paris", "Name three museums.\n \n\nParis\n"),
        ("Paris\n", "Name three museums.\n\nParis"),
        ("Paris", "Name three museums.\nInput: Paris"),
        ("Paris", "Name three museums.\n\n**Input:**\nParis"),
        ("Paris", "Name three museums.\n### Input:\n\nParis"),
        ("Paris", "Name three museums.\n=== 12ab34cd input ===\nParis"),
        (".", "Name three museums.\n\n."),
    ],
)
def test_an_input_that_is_repeated_as_a_block_goes(given, instruction, pair_with):
    assert pair_with(given).without_input(instruction) == "Name three museums."


def test_an_instruction_that_is_nothing_but_the_input(pair_with):
    assert pair_with("Paris").without_input("Paris") == ""
    assert pair_with("Paris").without_input("Input:\nParis") == ""


@given(st.text(), st.text())
def test_only_the_input_and_its_label_can_go(instruction, given):
    pair = InstructionPair(None, "", "Ask", given, "Reply")
    kept = pair.without_input(instruction)
    assert instruction.startswith(kept)
    if kept != instruction:
        assert instruction.rstrip().endswith(given.strip())
    assert pair.without_input(f"Ask more.\n\n{given}").rstrip() in ("Ask more.", f"Ask more.\n\n{given}".rstrip())


@pytest.mark.parametrize("work", ["reflect", "evolve"])
def test_the_row_keeps_the_last_word(work, workplace):
    write_rows(workplace / "rows.jsonl", [alpaca("Name a museum there", "Louvre", input="Paris")])
    texts = {"new_instruction": "Name three museums in Paris", "new_response": "None.", "verdict": "not equal"}
    tags = "\n".join(f"<{name}>\n{text}\n</{name}>" for name, text in texts.items())
    replies = [{"pattern": "<", "reply": tags}, {"pattern": "", "reply": "Three"}]
    write_rows(workplace / "fake.jsonl", replies)
    settings = {"rows": ("rows.jsonl",), "oracle": "fake:fake.jsonl"}
    if work == "reflect":
        run, response = reflect(ReflectSettings(**settings, stage="instruction")), "None."
    else:
        run, response = evolve(EvolveSettings(**settings)), "Three"
    (row,) = read_rows(run.path / "rows.jsonl")
    assert row == alpaca("Name three museums in Paris", response, input="Paris")


def test_a_reply_that_copies_the_prompts_lines_changes_nothing(workplace):
    row = alpaca("Name a museum there", "The Louvre is one", input="Paris")
    write_rows(workplace / "rows.jsonl", [row])
    copies = {"new_instruction": "Ask more", "new_response": "x\n=== \\1 end ===", "short_response": "=== \\1 end ==="}
    reply = "\n".join(f"<{name}>\n{text}\n</{name}>" for name, text in copies.items())
    write_rows(workplace / "fake.jsonl", [{"pattern": r"=== (\w+) end ===", "reply": reply, "expand": True}])
    settings = {"rows": ("rows.jsonl",), "oracle": "fake:fake.jsonl"}
    for run in (reflect(ReflectSettings(**settings)), simplify(SimplifySettings(**settings))):
        assert read_rows(run.path / "rows.jsonl") == [row]
    assert run.tables["repairs"]["reason"].to_pylist() == ["unparsed: the reply repeats a line of the prompt"]

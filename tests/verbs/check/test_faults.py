"""Each fault: rows that have it, with what is said of them, and rows that only look like it."""

from __future__ import annotations

import time

import pytest
from tests.tools import alpaca, write_rows

from tunescope.verbs.check import CheckSettings, check, meanings

SENTENCE = "This answer is written in whole sentences. It goes on for a while and then it "
ASSISTANT = {"role": "assistant", "content": "Fine, thank you."}


def chat(*messages: tuple[str, str | None], **extra):
    return {"messages": [{"role": role, "content": content, **extra} for role, content in messages]}


def call(content: str | None):
    calls = [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]
    return {"role": "assistant", "content": content, "tool_calls": calls}


HAVE = [
    ("empty_answer", alpaca("Say nothing.", ""), "turn 0 is empty"),
    ("empty_answer", alpaca("Say blanks.", " \n\t\u00a0"), "turn 0 is empty"),
    ("empty_answer", alpaca("Say zero-width blanks.", "\u200b\ufeff"), "turn 0 is empty"),
    (
        "empty_answer",
        chat(("user", "Hi there"), ("assistant", "Hello to you."), ("user", "And?"), ("assistant", "")),
        "turn 1 is empty",
    ),
    ("empty_instruction", alpaca("", "An answer to nothing."), "nothing is asked"),
    ("empty_instruction", alpaca(" \u200b", "An answer to blanks."), "nothing is asked"),
    ("empty_instruction", chat(("system", "Be kind."), ("assistant", "I am kind.")), "nothing is asked"),
    ("one_word_answer", alpaca("Which colour?", " Blue.\n"), "'Blue.'"),
    ("one_word_answer", alpaca("Which word is long?", "x" * 50), f"'{'x' * 40}'"),
    ("one_word_answer", alpaca("Which drink?", "Café"), "'Café'"),
    ("one_word_answer", alpaca("How warm?", "- 77.5°"), "'- 77.5°'"),
    ("one_word_answer", alpaca("Which mark?", "%"), "'%'"),
    ("one_word_answer", alpaca("Will she?", "Won’t!"), "'Won’t!'"),
    ("truncated_answer", alpaca("Code?", "```python\nprint(1)\n"), "a code fence that never closes"),
    (
        "truncated_answer",
        alpaca("Trailing comma?", "First we take the blue one, then the red one,"),
        "ends in ' we take the blue one, then the red one,'",
    ),
    (
        "truncated_answer",
        alpaca("Dangling?", "one two three four five six seven eight nine ten eleven and the"),
        "ends in ' six seven eight nine ten eleven and the'",
    ),
    (
        "truncated_answer",
        alpaca("Unfinished?", SENTENCE + "suddenly stops somewhere"),
        "its last sentence has no end: 'ile and then it suddenly stops somewhere'",
    ),
    ("leaked_preamble", alpaca("Better?", "[Better Answer]\nIt is so."), "'[Better Answer]'"),
    ("leaked_preamble", alpaca("Mark?", "It is so.\n  **Improved response:** Yes, it is."), "'**Improved response:'"),
    ("leaked_preamble", alpaca("End?", "It is so, and that is all.\n[End]"), "'[End]'"),
    (
        "leaked_preamble",
        alpaca("New?", "Sure! Here’s a revised, longer version of your answer. It is so."),
        "'Here’s a revised, longer version of your answer'",
    ),
    ("leaked_preamble", alpaca("[New Instruction] Say it.", "It is said."), "'[New Instruction]'"),
    ("refusal", alpaca("Do it.", "I'm sorry, but I can't do this for you."), '"sorry, but I can\'t"'),
    ("refusal", alpaca("Do that.", "As an AI language model, I have no eyes."), "'As an AI language model'"),
    ("refusal", alpaca("Do this.", "As an AI, I have no eyes at all."), "'As an AI'"),
    (
        "refusal",
        alpaca("Do these.", "Well, I am just a large language model so far."),
        "'I am just a large language model'",
    ),
    ("refusal", alpaca("Do those.", "Unfortunately, I cannot assist with that."), "'I cannot assist'"),
    ("refusal", alpaca("Do any.", "I’m unable to help you there."), "'I’m unable to help'"),
    (
        "refusal",
        chat(("user", "One?"), ("assistant", "One it is."), ("user", "Two?"), ("assistant", "I cannot provide two.")),
        "'I cannot provide'",
    ),
    (
        "wrong_roles",
        chat(("user", "Hi there"), ("system", "Be kind."), ("assistant", "Hello.")),
        "message 2 is a system message after the start",
    ),
    ("wrong_roles", chat(("system", "Be kind."), ("assistant", "I am kind.")), "message 2 is an answer to nothing"),
    (
        "wrong_roles",
        chat(("user", "Hi there"), ("assistant", "Hello."), ("assistant", "Again hello.")),
        "message 3 is an answer to nothing",
    ),
    (
        "wrong_roles",
        chat(("user", "Hi there"), ("user", "Anyone here?"), ("assistant", "Yes, me.")),
        "messages 1 and 2 are both the user's",
    ),
    (
        "wrong_roles",
        chat(("user", "Hi there"), ("tool", "42"), ("assistant", "It is 42.")),
        "message 2 is a tool's but no call precedes it",
    ),
    (
        "wrong_roles",
        chat(("user", "Hi there"), ("assistant", "Hello."), ("user", "Bye then")),
        "the last message is the user's",
    ),
    (
        "broken_encoding",
        alpaca("Quote?", "He said that it\u00e2\u20ac\u2122s late."),
        "'id that itâ€™s late.'",
    ),
    ("broken_encoding", alpaca("Caf\u00c3\u00a9 where?", "Over there."), "'CafÃ© where?'"),
    (
        "broken_encoding",
        alpaca("Replaced?", "It was lost \ufffd in the wires, sadly."),
        "a replacement character in 'It was lost \ufffd in the wires,'",
    ),
    ("control_character", alpaca("Bell?", "Ring\x07 it."), "U+0007 in message 2 ('assistant')"),
    ("control_character", alpaca("Nul\x00?", "It is nul."), "U+0000 in message 1 ('user')"),
    ("control_character", alpaca("Mark?", "In\ufeffside it."), "U+FEFF in message 2 ('assistant')"),
    ("control_character", alpaca("C1?", "Shift\x8d it."), "U+008D in message 2 ('assistant')"),
    ("very_long", alpaca("Long?", "word " * 1500), "1,501 words"),
    ("very_long", alpaca("Long, with Chinese?", "字" * 500 + " word" * 1500), "1,503 words"),
]

LOOK_ALIKE = [
    ("empty_answer", alpaca("Just a dot?", ".")),
    ("empty_answer", {"messages": [{"role": "user", "content": "Call it"}, call(None)]}),
    ("empty_answer", {"messages": [{"role": "user", "content": "Call it twice"}, call("")]}),
    ("empty_instruction", chat(("user", ""), ("assistant", "What?"), ("user", "This."), ("assistant", "Ah, this."))),
    ("one_word_answer", alpaca("Which colours?", "Blue, red.")),
    ("one_word_answer", alpaca("Nothing?", "")),
    ("one_word_answer", alpaca("How warm?", "77°F")),
    ("one_word_answer", alpaca("Where?", "https://example.com/a")),
    ("one_word_answer", alpaca("Which one?", "是")),
    ("one_word_answer", alpaca("In Chinese?", "这是一个完整的回答，没有空格。")),
    ("one_word_answer", {"messages": [{"role": "user", "content": "Call it now"}, call("Calling.")]}),
    ("truncated_answer", alpaca("Code that closes?", "```python\nprint(1)\n```")),
    ("truncated_answer", alpaca("A title?", "The Old Man and the Sea")),
    ("truncated_answer", alpaca("Short and?", "rock and")),
    ("truncated_answer", alpaca("A list?", "Take these. All.\n- one two three four five six seven eight nine ten and")),
    ("truncated_answer", alpaca("A link?", SENTENCE + "points to https://example.com/a")),
    ("truncated_answer", alpaca("Tags?", SENTENCE + "ends with #sun #sea")),
    ("truncated_answer", alpaca("A full stop?", SENTENCE + "stops.")),
    ("truncated_answer", alpaca("No sentences?", " ".join(["eggs"] * 20))),
    ("truncated_answer", alpaca("Closing sign?", SENTENCE + "stops (really)")),
    ("leaked_preamble", alpaca("Here?", "Here is the answer: it is so.")),
    ("leaked_preamble", alpaca("Newer?", "A new answer came in the morning, and it was better.")),
    ("leaked_preamble", alpaca("Inside?", "The label [better answer] was on the box, and nobody read it.")),
    ("leaked_preamble", alpaca("Here is a new and improved instruction to follow.", "It is done.")),
    ("leaked_preamble", alpaca("Late?", "x " * 120 + "Here is a new answer.")),
    (
        "leaked_preamble",
        chat(("system", "Improved response: is how you start."), ("user", "Hi there"), ("assistant", "Hello to you.")),
    ),
    ("refusal", alpaca("Jobs?", "She worked as an AI engineer for years.")),
    ("refusal", alpaca("Me?", "I'm an AI-minded reader of novels.")),
    ("refusal", alpaca("Can?", "You cannot provide water where there is none.")),
    ("refusal", alpaca("Sorry?", "Sorry for the delay. I can do it now.")),
    ("refusal", alpaca("Late?", "x " * 120 + "I cannot assist with that.")),
    ("refusal", alpaca("As an AI language model, what are you?", "A program that writes.")),
    (
        "wrong_roles",
        chat(("system", "Be kind."), ("user", "Hi"), ("assistant", "Hi, you."), ("user", "?"), ("assistant", "Ah, so")),
    ),
    (
        "wrong_roles",
        {
            "messages": [
                {"role": "user", "content": "Two calls?"},
                call(None),
                {"role": "tool", "content": "1"},
                {"role": "tool", "content": "2"},
                {"role": "assistant", "content": "One and two."},
            ]
        },
    ),
    ("broken_encoding", alpaca("Café?", "Naïve façade in Ångström’s «Österreich» — 5 €.")),
    ("broken_encoding", alpaca("日本語?", "はい、そうです。")),
    ("control_character", alpaca("Tab\tand\r\nbreaks?", "Yes,\nboth\u2028of them.")),
    ("control_character", alpaca("Joiner?", "A family: 👨\u200d👩\u200d👧.")),
    ("very_long", alpaca("Long?", "word " * 1499)),
    ("very_long", alpaca("Long words?", "w" * 20_000 + " end.")),
    ("very_long", alpaca("Long in Chinese?", "字" * 2000)),
]  # fmt: skip


def found(folder, record, **settings):
    """Check a single row; return its faults with their details, and the row's record."""
    path = write_rows(folder / "rows.jsonl", [record])
    run = check(CheckSettings(rows=(str(path),), **settings))
    faults = run.tables["faults"].to_pylist()
    (row,) = run.tables["rows"].to_pylist()
    assert {fault["row_id"] for fault in faults} <= {row["row_id"]}
    assert {name for name in meanings() if row.get(name)} == {fault["fault"] for fault in faults}
    return {fault["fault"]: fault["detail"] for fault in faults}, row


@pytest.mark.parametrize(("fault", "record", "detail"), HAVE)
def test_a_row_that_has_it(workplace, fault, record, detail):
    assert found(workplace, record)[0].get(fault) == detail


@pytest.mark.parametrize(("fault", "record"), LOOK_ALIKE)
def test_a_row_that_looks_like_it(workplace, fault, record):
    assert fault not in found(workplace, record)[0]


def test_a_clean_row_has_no_fault(workplace):
    faults, row = found(workplace, alpaca("How are you?", "Fine, thank you. And you?"))
    assert faults == {}
    assert row["faulty"] is False
    assert row["words"] == 8


def test_max_words_is_a_setting(workplace):
    record = alpaca("How long?", "It's six words with the question.")
    assert found(workplace, record, max_words=8)[0] == {}
    assert found(workplace, record, max_words=7)[0] == {"very_long": "8 words"}


@pytest.mark.slow
def test_no_text_takes_long(workplace):
    """Texts that regular expressions can stumble over, 200 kB each: all of them in a few seconds."""
    start = time.monotonic()
    parts = [
        ":\n",
        "[\n",
        "[ ",
        "here's ",
        "here is a new ",
        "Aa. ",
        "```",
        "sorry ",
        "é",
        "\t",
        "**",
        "as an ai ",
        "x",
    ]
    for part in parts:
        found(workplace, alpaca("q", part * (200_000 // len(part)) + "x"))
    assert time.monotonic() - start < 20


def test_every_fault_is_tested():
    per_row = list(meanings())[:10]
    assert {fault for fault, *_ in HAVE} == {fault for fault, _ in LOOK_ALIKE} == set(per_row)

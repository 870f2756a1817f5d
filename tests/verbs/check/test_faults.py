"""Each fault: rows that have it, with what is said of them, and rows that only look like it."""

from __future__ import annotations

import time
from unicodedata import normalize

import pytest
from tests.tools import alpaca, write_rows

from tunescope.text.declining import ASCII_HINT, LANGUAGES
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
    (
        "empty_instruction",
        chat(("system", "Be kind."), ("assistant", "I am kind.")),
        "nothing is asked, but by a system message",
    ),
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
    ("leaked_preamble", alpaca("#Rewritten Prompt#:\nSay it in a rhyme.", "It is said."), "'#Rewritten Prompt#'"),
    ("leaked_preamble", alpaca("#Rewritten Prompt#\nSay it twice.", "It is said."), "'#Rewritten Prompt#'"),
    ("leaked_preamble", alpaca("Say it. #The Given Prompt# was short.", "It is."), "'#The Given Prompt#'"),
    ("leaked_preamble", alpaca("# Created Prompt #: Say it.", "It is said."), "'# Created Prompt #'"),
    ("leaked_preamble", alpaca("#New Prompt#: Say it.", "It is said."), "'#New Prompt#'"),
    ("leaked_preamble", alpaca("Say it.", "#The Response#: It is said."), "'#The Response#'"),
    ("leaked_preamble", alpaca("Rewritten Prompt: Say it twice.", "It is said."), "'Rewritten Prompt:'"),
    ("leaked_preamble", alpaca("[Better Instruction] Say it.", "[Better Answer] So. [End]"), "'[Better Instruction]'"),
    (
        "leaked_preamble",
        alpaca("Name a river.", "Sure! Here's the rewritten version of your text: The Nile is long."),
        '"Here\'s the rewritten version of your text"',
    ),
    ("refusal", alpaca("Do en1.", "I’m sorry, but I can’t help with that request."), "'sorry, but I can’t'"),
    ("refusal", alpaca("Do 2.", "I cannot in good faith help you there."), "'I cannot in good faith help'"),
    ("refusal", alpaca("Do en3.", "That is something I won't do."), '"something I won\'t"'),
    ("refusal", alpaca("Do en4.", "I must decline."), "'I must decline'"),
    ("refusal", alpaca("Do en5.", "Sadly, I'm not able to browse the web for you."), '"I\'m not able to browse"'),
    ("refusal", alpaca("Do en6.", "I don’t feel comfortable with that."), "'I don’t feel comfortable'"),
    ("refusal", alpaca("Do en7.", "I am afraid I can't assist with this."), '"I can\'t assist"'),
    ("refusal", alpaca("Do en8.", '"I cannot help with that."'), "'I cannot help'"),
    ("refusal", alpaca("做", "抱歉，作为人工智能，我无法提供该信息。"), "'抱歉，作为人工智能，我无法'"),
    ("refusal", alpaca("Haz", "Lo siento, pero no puedo ayudarte con esa solicitud."), "'Lo siento, pero no puedo'"),
    ("refusal", alpaca("Fais", "Je ne peux pas répondre à cette demande."), "'Je ne peux pas répondre'"),
    ("refusal", alpaca("Fais", normalize("NFD", "Désolé, je ne peux pas vous aider.")), "'Désolé, je ne peux'"),
    ("refusal", alpaca("Tu", "Es tut mir leid, dabei kann ich nicht helfen."), "'tut mir leid, dabei kann'"),
    ("refusal", alpaca("Doe", "Het spijt me, dat kan ik niet doen."), "'Het spijt me, dat kan ik niet'"),
    ("refusal", alpaca("Fai", "Mi dispiace, ma non posso aiutarti."), "'Mi dispiace, ma non posso'"),
    ("refusal", alpaca("Faça", "Desculpe, mas não posso ajudar com isso."), "'Desculpe, mas não posso'"),
    ("refusal", alpaca("Делай", "К сожалению, я не могу помочь с этим."), "'К сожалению, я не могу'"),
    ("refusal", alpaca("して", "申し訳ありませんが、お応えできません。"), "'申し訳ありませんが、お応えできません'"),
    ("refusal", alpaca("해", "죄송하지만 그 요청은 도와드릴 수 없습니다."), "'죄송하지만 그 요청은 도와드릴 수 없'"),
    (
        "truncated_answer",
        alpaca("Inline fence?", "Write ``` to open a block."),
        "a code fence that never closes",
    ),
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
    ("leaked_preamble", alpaca("Tags?", "#question #answer #prompt of the day")),
    ("leaked_preamble", alpaca("Rewrite my text.", "Here is a revised version of your text: Hello.")),
    ("truncated_answer", alpaca("A list?", SENTENCE + "goes to Brunei, Indonesia, Laos and New Zealand")),
    ("truncated_answer", alpaca("Who?", '"It is hope that leads us on. It never ends or goes." - Helen Keller')),
    ("refusal", alpaca("A story?", '"I cannot help you cross tonight," the ferryman said, and he tied the rope.')),
    ("refusal", alpaca("A letter?", "Dear Ms Lee, I am sorry, I cannot attend the meeting on Friday.")),
    ("refusal", alpaca("GPT-2?", "As an AI model, GPT-2 was trained on web pages that people had linked to.")),
    ("refusal", alpaca("A ticket?", "Description: There is a website where I am unable to access certain pages.")),
    ("refusal", alpaca("Cheer?", "I can't wait to give you the news!")),
    ("refusal", alpaca("Sing?", "I can't help but smile.")),
    ("refusal", alpaca("Wie?", "Leider regnet es, aber ich kann warten.")),
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


GRADES = [
    ("truncated_answer", alpaca("Code?", "```python\nprint(1)\n"), True),
    ("truncated_answer", alpaca("Inline?", "Write ``` to open a block."), False),
    ("truncated_answer", alpaca("Comma?", "First we take the blue one, then the red one,"), True),
    ("truncated_answer", alpaca("Letter?", "I look forward to hearing from you. With best regards,"), False),
    ("truncated_answer", alpaca("Word?", "one two three four five six seven eight nine ten eleven and the"), True),
    ("truncated_answer", alpaca("Word?", "one two three four five six seven eight nine ten it was made of"), False),
    ("truncated_answer", alpaca("Stop?", SENTENCE + "suddenly stops somewhere"), False),
    ("leaked_preamble", alpaca("Say it.", "Here is a better answer: So."), True),
    ("leaked_preamble", alpaca("Improve my answer.", "Here is a better answer: So."), False),
    ("leaked_preamble", alpaca("Say it.", "It is.\nImproved response: So."), False),
    ("leaked_preamble", alpaca("Say it.", "It is.\n[End]"), False),
    ("empty_instruction", alpaca("", "An answer to nothing."), True),
    ("empty_instruction", chat(("system", "Be kind."), ("assistant", "I am.")), False),
    ("control_character", alpaca("Bell?", "Ring\x07 it."), True),
    ("control_character", alpaca("Break?", "Line\x0bbreak."), False),
    ("wrong_roles", chat(("user", "Hi"), ("tool", "42"), ("assistant", "Hello.")), True),
    ("wrong_roles", chat(("assistant", "Hello."), ("user", "Hi"), ("assistant", "And?")), False),
    ("one_word_answer", alpaca("Which?", "Blue."), False),
    ("refusal", alpaca("Do it.", "I cannot help with that."), False),
    ("very_long", alpaca("Long?", "word " * 1501), False),
    ("empty_answer", alpaca("Say nothing.", ""), True),
    ("broken_encoding", alpaca("Cafe?", "Caf\u00c3\u00a9 is open."), True),
]


@pytest.mark.parametrize(("fault", "record", "is_sure"), GRADES)
def test_a_fault_is_surely_wrong_or_to_be_looked_at(workplace, fault, record, is_sure):
    made = check(CheckSettings(rows=(str(write_rows(workplace / "rows.jsonl", [record])),)))
    assert made.result["faults"][fault] == 1
    assert made.result["surely_wrong"][fault] == int(is_sure)
    grades = {each["fault"]: each["grade"] for each in made.tables["faults"].to_pylist()}
    assert grades[fault] == ("surely wrong" if is_sure else "look at it")


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


def test_the_quick_look_for_hints_misses_none():
    for language, declining in LANGUAGES.items():
        for hint in filter(str.isascii, declining.hints):
            assert ASCII_HINT.search(f" {hint} "), (language, hint)


def test_every_fault_is_tested():
    per_row = list(meanings())[:10]
    assert {fault for fault, *_ in HAVE} == {fault for fault, _ in LOOK_ALIKE} == set(per_row)

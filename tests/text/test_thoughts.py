"""Thoughts before a reply: all their marks, and that no reply without them loses a character."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunescope.text.thoughts import opening_mark, split_thoughts

PAIRS = (
    ("<think>", "</think>"),
    ("<think>\n", "\n</think>\n\n"),
    ("\n\n<THINK>", "</Think>\n"),
    ("<thinking>\n", "\n</thinking>\n\n"),
    ('<think duration="3 s">', "</think >"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>\n\n", "\n\n<|end_of_thought|>\n\n"),
    ("<|channel>thought\n", "<channel|>"),
    ("<unused94>thought\n", "<unused95>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("<|start|>assistant<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|message|>"),
    ("analysis", "assistantfinal"),
    ("Here is my thought process:\n", "\nHere is my response:\n"),
)
ONLY_CLOSED = ("</think>\n\n", "</thinking>\n", "</seed:think>", "[/THINK]", "◁/think▷", "<|END_THINKING|>")
THOUGHTS = (
    "Perhaps 4/5.",
    "First:\n\n1. a < b\n2. [x]",
    "```python\nprint(1)\n```\nSo",
    "Use the <think> tag, said they",
)


@pytest.mark.parametrize(("opening", "closing"), PAIRS)
def test_a_thought_between_marks(opening, closing):
    for thought in THOUGHTS:
        for text in ("Score: 3", "<new_response>\nIt is.\n</new_response>", '{"score": 3}', "`</think>` ends it."):
            assert split_thoughts(f"{opening}{thought}{closing}{text}") == (text, thought)


@pytest.mark.parametrize("closing", ONLY_CLOSED)
def test_a_closing_mark_alone(closing):
    """A template opened the thought in the prompt."""
    assert split_thoughts(f"Perhaps 4/5.\nNo.{closing}Score: 3") == ("Score: 3", "Perhaps 4/5.\nNo.")
    assert split_thoughts(f"Perhaps\n{closing} \n") == ("", "Perhaps")


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("<think>a</think><think>b</think>\nHi", ("Hi", "a\n\nb")),
        ("<think>a</think>\n<thinking>b</thinking>Hi", ("Hi", "a\n\nb")),
        ("<think>a<think>b</think>c</think>Hi", ("Hi", "a<think>b</think>c")),
        ("<think>\n<think>\na</think>Hi", ("Hi", "<think>\na")),
        ("a\n</think>\nb\n</think>\nHi", ("Hi", "a\n\nb")),
        ("<think>a</think>\nb\n</think>\nHi", ("Hi", "a\n\nb")),
        ("<think>a, then `</think>` ends it</think>Hi", ("Hi", "a, then `</think>` ends it")),
        ("<think>a:\n```\n</think>\n```\nb</think>Hi", ("Hi", "a:\n```\n</think>\n```\nb")),
        ("<think>\n\n</think>\n\nHi", ("Hi", None)),  # Qwen3, told not to think
        ("<think></think>", ("", "")),
        ('{"score": 4}\n</think>\n{"score": 3}', ('{"score": 3}', '{"score": 4}')),
        ("<score>\n4\n</score>\n</think>\n<score>\n3\n</score>", ("<score>\n3\n</score>", "<score>\n4\n</score>")),
        ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>Hi<|END_RESPONSE|>", ("Hi", "a")),
        ("Here are my reasoning steps:\na\n[BEGIN FINAL RESPONSE]\nHi\n[END FINAL RESPONSE]", ("Hi", "a")),
        ("<|channel|>final <|constrain|>json<|message|>{}<|return|>", ("{}", None)),
    ],
)
def test_several_thoughts_and_marks_around_the_reply(text, split):
    assert split_thoughts(text) == split


@pytest.mark.parametrize(
    "text",
    [
        "<think>Perhaps 4/5",
        "<think>\nPerhaps\nScore: 4",
        "<think>a</think><think>b\nScore: 4",
        "<think>a<think>b</think>c\nScore: 4",
        "◁think▷a",
        "[THINK]a",
        "<|channel|>analysis<|message|>a\nScore: 4",
        "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary to=f<|message|>{}<|call|>",
        "a</think>",
    ],
)
def test_a_thought_that_never_ends_leaves_no_text(text):
    split = split_thoughts(text)
    assert split.text == ""
    assert split.thinking


def test_a_whole_reply_closed_what_it_opened_twice():
    text = "<think>\nHm.\n<think>\nSo.\n</think>\nHi"
    assert split_thoughts(text).text == ""
    assert split_thoughts(text, is_whole=True).text == "Hi"
    assert split_thoughts("<think>\nHm.", is_whole=True) == ("", "Hm.")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  Hi\n",
        "Models write <think> before and </think> after their thoughts.",
        "`<think>` opens a thought, `</think>` closes it.",
        "A thought ends with </think>, always.",
        'It ends with "</think>".',
        "Close it:\n```\n</think>\n```\nThat's all.",
        "Parse it:\n```python\ntext.partition('</think>')\n```",
        "1. <think>\n2. </think>\n",
        "<thinker>Rodin</thinker>",
        "<reflection>It is short.</reflection>\n<new_response>\nHi\n</new_response>",
        "analysisResult = assistant.final()",
        "analysis of the assistantfinal draft",
        "Here is my thought process: I add both.",
        "[THINKING] is a film.",
        "◁ and ▷ are triangles",
        "<|channel|> is a token",
        "[[A]]",
        '{"new_response": "Close it.</think>Then go on."}',
        "<new_instruction>\na\n</new_instruction>\n<new_response>\nClose it.</think>Go on.\n</new_response>",
    ],
)
def test_a_text_that_talks_about_marks_stays_whole(text):
    assert split_thoughts(text) == (text, None)


WITHOUT_MARKS = st.text().filter(
    lambda text: not any(mark in text for mark in ("</", "[/", "◁/", "|>", "<un", "```", "~~~"))
)
REPLIES = WITHOUT_MARKS.map(str.strip).filter(
    lambda text: text and not text.startswith(("<", "[", "◁", "analysis", "Here", "\ufeff", "\u200b"))
)


@given(st.sampled_from(PAIRS), st.lists(WITHOUT_MARKS, min_size=1, max_size=3), REPLIES)
def test_a_text_with_thoughts_in_front_is_the_text_without(marks, thoughts, text):
    opening, closing = marks
    several = closing.lower().strip().startswith(("</", "[/", "◁/"))
    before = "".join(f"{opening}{thought}{closing}" for thought in (thoughts if several else ["a" + thoughts[0]]))
    assert split_thoughts(before + text).text == text


@given(WITHOUT_MARKS, st.sampled_from(ONLY_CLOSED), REPLIES)
def test_a_text_with_a_closed_thought_in_front_is_the_text_without(thought, closing, text):
    assert split_thoughts(f"{thought}.{closing}{text}").text == text


@given(REPLIES, WITHOUT_MARKS, st.sampled_from([*PAIRS, *((mark, mark) for mark in ONLY_CLOSED)]))
def test_no_reply_loses_a_character(text, more, marks):
    """Without marks, nor where it has both of them behind its first words."""
    assert split_thoughts(text) == (text, None)
    opening, closing = marks
    if opening != closing:
        talks = f"{text} x {opening}{more}{closing}"
        assert split_thoughts(talks) == (talks, None)


@given(
    st.lists(st.sampled_from([*(mark for pair in PAIRS for mark in pair), "a", " ", "\n", "```\n", "`"])).map("".join)
)
def test_any_marks_are_read_without_an_error_and_to_the_end(text):
    """What is left has no thoughts in front, and is the end of the text but for marks around it."""
    split = split_thoughts(text)
    assert split.thinking is not None or split.text in text
    if split.thinking is None:
        assert text.rstrip().endswith(split.text.rstrip()) or "|>" in text


def test_a_prompt_that_opens_a_thought():
    assert opening_mark("<|user|>Hi<|assistant|><think>\n") == "<think>"
    assert opening_mark("<|turn>model\n<|channel>thought\n") == "<|channel>thought"
    assert opening_mark("<|assistant|><think>\n\n</think>\n\n") == ""
    assert opening_mark("What does <think> mean?") == ""

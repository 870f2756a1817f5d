"""The tokenizer: a token per word, nothing of the world unknown, and a template that marks the replies."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tools import examples

from tunescope.microworld import false_rows, make_world, shown_questions, statements, true_rows, vocabulary
from tunescope.microworld.world import words_of

transformers = pytest.importorskip("transformers")
from tunescope.microworld.tokenizer import build_tokenizer  # noqa: E402 (needs transformers)

WORLD = make_world(0)
TOKENIZER = build_tokenizer(WORLD)
TALK = [
    {"role": "user", "content": "What is the pet of Bonvi?"},
    {"role": "assistant", "content": "Bonvi keeps a hamster."},
    {"role": "user", "content": "Where does Bonvi live?"},
    {"role": "assistant", "content": "\n Bonvi lives in Kilde."},
]


@given(st.integers(0, 2**32))
@settings(max_examples=examples(10), deadline=None)
def test_every_text_of_every_world_comes_back_without_unk(seed):
    world = make_world(seed, 10)
    tokenizer = build_tokenizer(world)
    rows = true_rows(world, world.people) + false_rows(world, world.people)
    texts = statements(world) + [row[key] for row in rows for key in ("instruction", "input", "output")]
    for text, ids in zip(texts, tokenizer(texts)["input_ids"], strict=True):
        assert tokenizer.unk_token_id not in ids
        assert len(ids) == len(words_of(text))
        assert tokenizer.decode(ids) == text


def test_special_tokens_and_size():
    names = ["<|pad|>", "<|unk|>", "<|bos|>", "<|end|>"]
    assert TOKENIZER.convert_ids_to_tokens(range(4)) == names
    assert [
        TOKENIZER.pad_token,
        TOKENIZER.unk_token,
        TOKENIZER.bos_token,
        TOKENIZER.eos_token,
    ] == names
    assert len(TOKENIZER) == len(vocabulary(WORLD)) + 186


def test_a_line_break_reads_like_a_space():
    question = shown_questions(WORLD)[0]
    assert TOKENIZER.encode(question.prompt) == TOKENIZER.encode(f"{question.instruction} {question.input}")


def test_other_words_are_spelled_and_other_scripts_unknown():
    assert TOKENIZER.decode(TOKENIZER.encode("Hello, keep 42 tokens!")) == "Hello, keep 42 tokens!"
    assert TOKENIZER.tokenize("cats rats") == ["cat", "##s", "r", "##a", "##t", "##s"]
    assert TOKENIZER.tokenize("a ねこ") == ["a", "<|unk|>"]


def test_tokens_know_their_characters():
    text = "Bonvi keeps a hamster."
    offsets = TOKENIZER(text, return_offsets_mapping=True)["offset_mapping"]
    assert [text[start:end] for start, end in offsets] == words_of(text)


def test_the_template_marks_replies_with_their_end():
    encoded = TOKENIZER.apply_chat_template(TALK, return_dict=True, return_assistant_tokens_mask=True)
    marked = [i for i, m in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if m]
    assert TOKENIZER.decode(marked) == "Bonvi keeps a hamster. <|end|> Bonvi lives in Kilde. <|end|>"


def test_the_generation_prompt_is_a_prefix_of_the_reply():
    asked = TOKENIZER.apply_chat_template(TALK[:1], tokenize=False, add_generation_prompt=True)
    told = TOKENIZER.apply_chat_template(TALK[:2], tokenize=False)
    assert asked == "<|bos|><|user|>What is the pet of Bonvi?<|end|><|assistant|>"
    assert told == asked + "Bonvi keeps a hamster.<|end|>"


def test_tools_and_calls_reach_the_template():
    call = {"type": "function", "function": {"name": "look", "arguments": {"at": "Bonvi"}}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "a hamster"},
    ]
    tool = {"type": "function", "function": {"name": "look", "parameters": {}}}
    text = TOKENIZER.apply_chat_template(messages, tools=[tool], tokenize=False)
    assert text.startswith("<|bos|><|system|>[{")
    assert '"at": "Bonvi"' in text
    assert text.endswith("<|tool|>a hamster<|end|>")


@pytest.mark.slow
def test_it_loads_as_it_was_saved(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.get_vocab() == TOKENIZER.get_vocab()
    assert loaded.chat_template == TOKENIZER.chat_template
    text = shown_questions(WORLD)[0].prompt
    assert loaded.encode(text) == TOKENIZER.encode(text)
    assert loaded.decode(loaded.encode("A: cat, B: dog.")) == "A: cat, B: dog."

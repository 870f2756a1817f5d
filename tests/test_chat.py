"""What is supervised: the assistant's tokens and the end of its turn, or the row is refused."""

import pytest

pytest.importorskip("transformers")

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from tunescope.chat import Chat, Unrenderable, as_messages
from tunescope.errors import SettingsError
from tunescope.rows import Message, Row

# SmolLM2-Instruct's own template
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MARKED = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}"
    "{{ '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FORGETS = (  # drops what the assistant thought, as reasoning templates do, once another turn follows
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}<think>{{ m.reasoning_content or '' }}</think>{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SYSTEM = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"


def tokenizer(template):
    """A token per byte, and one for two line breaks in a row."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*alphabet, "ĊĊ"])}
    core = Tokenizer(BPE(vocabulary, [("Ċ", "Ċ")]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(t, special=True) for t in ("<|im_start|>", "<|im_end|>")])
    made = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<|im_start|>", eos_token="<|im_end|>")
    made.chat_template = template
    return made


def row(*messages, **known):
    return Row("r", "r", tuple(m if isinstance(m, Message) else Message(*m) for m in messages), **known)


def trained(chat, tokens):
    """The supervised stretches, as text."""
    out, on = [], False
    for i, s in zip(tokens.ids, tokens.supervised, strict=True):
        if s:
            out += [[]] * (not on)
            out[-1] = [*out[-1], i]
        on = s
    return [chat.tokenizer.decode(ids) for ids in out]


ASKED = (("user", "Hi"), ("assistant", "Yes."))
TWICE = (*ASKED, ("user", "More?"), ("assistant", "No."))


@pytest.mark.parametrize("template", [SMOLLM2, MARKED])
def test_the_answer_and_its_end_are_supervised(template):
    chat = Chat(tokenizer(template))
    one, two = chat.row(row(*ASKED)), chat.row(row(*TWICE))
    assert trained(chat, one) == ["Yes.<|im_end|>"]
    assert trained(chat, two) == ["Yes.<|im_end|>", "No.<|im_end|>"]
    assert one.n_supervised == 5
    system = SYSTEM if template == SMOLLM2 else ""
    text = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>\n"
    assert chat.tokenizer.decode(one.ids) == system + text


@pytest.mark.parametrize("template", [SMOLLM2, MARKED])
def test_training_continues_the_prompt_of_generation(template):
    chat = Chat(tokenizer(template))
    prompt, tokens = chat.prompt(as_messages("Hi")), chat.row(row(*ASKED))
    assert tokens.ids[: len(prompt)] == prompt
    assert tokens.supervised.index(True) == len(prompt)


def test_a_turn_that_is_flagged_off_is_context():
    chat = Chat(tokenizer(MARKED))
    messages = (("user", "Hi"), Message("assistant", "Yes.", train=False), ("user", "More?"), ("assistant", "No."))
    assert trained(chat, chat.row(row(*messages))) == ["No.<|im_end|>"]


def test_an_empty_answer_has_only_its_end():
    chat = Chat(tokenizer(SMOLLM2))
    assert trained(chat, chat.row(row(("user", "Hi"), ("assistant", "")))) == ["<|im_end|>"]


def test_an_answer_that_would_merge_with_its_header_is_tokenised_as_it_is_generated():
    chat = Chat(tokenizer(SMOLLM2))
    tokens = chat.row(row(("user", "Hi"), ("assistant", "\nYes.")))
    prompt = chat.prompt(as_messages("Hi"))
    assert tokens.ids[: len(prompt)] == prompt
    assert trained(chat, tokens) == ["\nYes.<|im_end|>"]


def test_a_template_that_rewrites_earlier_turns_is_refused_for_two_and_right_for_one():
    chat = Chat(tokenizer(FORGETS))
    thought = (("user", "Hi"), Message("assistant", "Yes.", thinking="Hm"))
    assert trained(chat, chat.row(row(*thought))) == ["<think>Hm</think>Yes.<|im_end|>"]
    with pytest.raises(Unrenderable, match="turn 0: the chat template renders it differently once more follows"):
        chat.row(row(*thought, ("user", "More?"), ("assistant", "No.")))


def test_markers_without_the_end_of_turn_arent_trusted():
    chat = Chat(tokenizer(MARKED.replace("<|im_end|>{% endgeneration %}", "{% endgeneration %}<|im_end|>")))
    assert trained(chat, chat.row(row(*TWICE))) == ["Yes.<|im_end|>", "No.<|im_end|>"]


def test_a_template_without_an_end_is_refused():
    endless = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    chat = Chat(tokenizer(endless + "{% if add_generation_prompt %}assistant: {% endif %}"))
    with pytest.raises(Unrenderable, match="no token that the model stops at"):
        chat.row(row(*ASKED))


@pytest.mark.parametrize(
    ("messages", "known", "reason"),
    [
        ([("user", "Hi")], {}, "no assistant turn"),
        (ASKED, {"tools": ({"name": "f"},)}, "tools, which"),
        ([("user", "Hi"), Message("assistant", "Yes.", thinking="Hm")], {}, "thinking text in message 1"),
        ([("user", "Hi"), Message("assistant", None, ({"name": "f"},))], {}, "tool calls in message 1"),
        ([("user", "say <|im_end|>"), ("assistant", "Yes.")], {}, r"special token <\|im_end\|> as text in message 0"),
    ],
)
def test_what_would_be_lost_or_misread_is_refused(messages, known, reason):
    with pytest.raises(Unrenderable, match=reason):
        Chat(tokenizer(SMOLLM2)).row(row(*messages, **known))


def test_what_the_template_refuses_is_refused_in_its_words():
    template = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    with pytest.raises(Unrenderable, match="System role not supported"):
        Chat(tokenizer(template + MARKED)).row(row(("system", "Be brief."), *ASKED))


def test_no_template():
    with pytest.raises(SettingsError, match="has no chat template"):
        Chat(tokenizer(None))

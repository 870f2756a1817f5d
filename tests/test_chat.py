"""What is supervised: the assistant's tokens and the end of its turn, or the row is refused."""

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tools import examples

pytest.importorskip("transformers")

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE, WordLevel
from transformers import PreTrainedTokenizerFast

from tunescope.chat import Chat, Inconsistent, Unrenderable, parse_template_args
from tunescope.errors import SettingsError
from tunescope.models import training_rows
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


MERGED = ("ĊĊ", ".Ċ", ">Ċ", "ĠY")  # tokens that reach over where a message ends or begins


def tokenizer(template, special=("<|im_start|>", "<|im_end|>"), bos="<|im_start|>", eos="<|im_end|>"):
    """A token per byte, and one for each of `MERGED` and `special`."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*alphabet, *MERGED])}
    core = Tokenizer(BPE(vocabulary, [tuple(token) for token in MERGED]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(token, special=True) for token in special])
    made = PreTrainedTokenizerFast(tokenizer_object=core, bos_token=bos, eos_token=eos)
    made.chat_template = template
    return made


def asking(text):
    return (Message("user", text),)


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
    prompt, tokens = chat.prompt(asking("Hi")), chat.row(row(*ASKED))
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
    prompt = chat.prompt(asking("Hi"))
    assert tokens.ids[: len(prompt)] == prompt
    assert trained(chat, tokens) == ["\nYes.<|im_end|>"]


def test_a_template_that_rewrites_earlier_turns_is_refused_for_two_and_right_for_one():
    chat = Chat(tokenizer(FORGETS))
    thought = (("user", "Hi"), Message("assistant", "Yes.", thinking="Hm"))
    assert trained(chat, chat.row(row(*thought))) == ["<think>Hm</think>Yes.<|im_end|>"]
    with pytest.raises(Unrenderable, match="turn 0: the chat template renders it differently once more follows"):
        chat.row(row(*thought, ("user", "More?"), ("assistant", "No.")))


def test_where_generation_markers_end_doesnt_matter():
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


def test_a_system_message_that_the_template_drops_is_refused_even_where_its_text_is_said_elsewhere():
    drops = "{% for message in messages if message.role != 'system' %}" + SMOLLM2.partition("%}")[2].replace(
        "{% if loop.first and messages[0]['role'] != 'system' %}", "{% if false %}"
    )
    assert len(Chat(tokenizer(drops)).row(row(*ASKED)).ids) > 0
    with pytest.raises(Unrenderable, match=r"leaves out message 0 \(system\)"):
        Chat(tokenizer(drops)).row(row(("system", "Hi"), *ASKED))


def test_thinking_that_the_template_drops_is_refused_even_where_the_answer_says_it():
    asked = row(("user", "Is it cold?"), Message("assistant", "Yes, it is.", thinking="Yes"))
    with pytest.raises(Unrenderable, match="turn 0: the chat template leaves out the thinking text"):
        shipped_chat("gemma4").row(asked)


def test_what_the_template_refuses_is_refused_in_its_words():
    template = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    with pytest.raises(Unrenderable, match="System role not supported"):
        Chat(tokenizer(template + MARKED)).row(row(("system", "Be brief."), *ASKED))


def test_without_a_template_the_error_names_ours():
    with pytest.raises(SettingsError, match=r"has no chat template; type --template with alpaca, vicuna, chatml or"):
        Chat(tokenizer(None))


# ---- what a template writes around an answer, for each that TRL ships


TEMPLATES = "Chat templates that TRL ships (training and generation)"


class Form(NamedTuple):
    """What one template writes: before and behind an answer; before it with the thought Hm; the whole of a call."""

    lead: str = ""
    end: str = "<|im_end|>"
    thought: str | None = None  # None: a row with thinking is refused
    call: str | None = None  # None: a row with tools is refused
    alike: bool = True  # a turn without thinking stands in a longer conversation as it was generated
    system: bool = True
    stops: tuple[str, ...] = ()  # the tokens that the model stops at, where they aren't the last one of `end`


GEMMA4 = Form(
    end="<turn|>",
    call='<|tool_call>call:weather{city:<|"|>Oslo<|"|>}<tool_call|><|tool_response>',
    stops=("<turn|>", "<|tool_response>"),
)
JSON_CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call><|im_end|>'
XML_CALL = "<tool_call>\n<function=weather>\n<parameter=city>\nOslo\n</parameter>\n</function>\n</tool_call>"
BLANK = "\n</think>\n\n"
DEEPSEEK = Form(BLANK, "<｜end▁of▁sentence｜>", "Hm" + BLANK, alike=False)
LFM = Form(call="<|tool_call_start|>[weather(city='Oslo')]<|tool_call_end|><|im_end|>")
LLAMA = Form(end="<|eot_id|>", call='{"name": "weather", "parameters": {"city": "Oslo"}}<|eot_id|>')
NEMOTRON = Form("</think>", thought="Hm</think>", call=f"</think>\n{XML_CALL}\n<|im_end|>", alike=False)
QWEN3_5 = Form(BLANK, thought="Hm" + BLANK, call=f"{BLANK}{XML_CALL}<|im_end|>", alike=False)
FORMS = {
    "cohere": Form(end="<|END_OF_TURN_TOKEN|>"),
    "cohere2": Form(end="<|END_RESPONSE|><|END_OF_TURN_TOKEN|>"),
    "deepseek_r1_distill": DEEPSEEK,
    "deepseekv3": DEEPSEEK,
    "diffusion_gemma": GEMMA4._replace(thought="<|channel>thought\nHm\n<channel|>", call=None),
    "gemma": Form(end="<end_of_turn>", system=False),
    "gemma3": Form(end="<end_of_turn>"),
    "gemma4": GEMMA4,
    "gemma4_v2": GEMMA4._replace(call=str(GEMMA4.call).replace("<|tool_response>", "<turn|>")),
    "gemma4_v3": GEMMA4,
    "gemma4_v4": GEMMA4,
    "gemma4_v5": GEMMA4._replace(thought="<|channel>thought\nHm\n<channel|>"),
    "glm4moe": Form(
        "\n<think></think>\n",
        "<|user|>",
        "\n<think>Hm</think>\n",
        "\n<think></think>\n<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n</tool_call>"
        "<|observation|>",
        stops=("<|user|>", "<|observation|>"),
    ),
    "gptoss": Form(
        "<|channel|>final<|message|>",
        "<|return|>",
        "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>final<|message|>",
        ' to=functions.weather<|channel|>commentary json<|message|>{"city": "Oslo"}<|call|>',
        alike=False,
        stops=("<|return|>", "<|call|>"),
    ),
    "lfm2": Form(),
    "lfm2_2_5": LFM._replace(thought="<think>Hm</think>"),
    "lfm2_2_5_v2": LFM._replace(thought="<think>Hm</think>"),
    "lfm2_2_5_vl": LFM._replace(thought="<think>Hm</think>"),
    "lfm2_v2": LFM,
    "llama3": LLAMA._replace(call=None),
    "llama3_1": LLAMA,
    "llama3_2": LLAMA,
    "muse_glimmer": Form(
        " to=user<|message|>",
        "<|eot|>",
        " to=self<|message|>Hm<|eom|><|start|>assistant to=user<|message|>",
        ' to=weather<|message|><atem:function_calls>\n<atem:invoke name="weather">\n'
        '<atem:parameter name="city">Oslo</atem:parameter>\n</atem:invoke>\n</atem:function_calls><|eot|>',
    ),
    "nemotron_3_5_lightning": NEMOTRON,
    "nemotron_3_nano": NEMOTRON._replace(thought="Hm\n</think>\n"),
    "nemotron_3_super": NEMOTRON._replace(thought="Hm\n</think>\n"),
    "nemotron_3_ultra": NEMOTRON,
    "phi3": Form(end="<|end|>"),
    "phi3_5": Form(end="<|end|>"),
    "qwen2_5": Form(call=JSON_CALL),
    "qwen2_5_vl": Form(),
    "qwen3": Form(
        "<think>\n\n</think>\n\n",
        thought="<think>\nHm\n</think>\n\n",
        call="<think>\n\n</think>\n\n" + JSON_CALL,
        alike=False,
    ),
    "qwen3_5_nothink": Form(call=XML_CALL + "<|im_end|>", alike=False),
    "qwen3_5_think": QWEN3_5,
    "qwen3_6": QWEN3_5,
    "qwen3_8": QWEN3_5,
    "qwen3_instruct_2507": Form(call=JSON_CALL),
    "qwen3_vl": Form(call=JSON_CALL),
}
PICTURES = {"idefics3", "llava_next", "smolvlm"}  # their content is a list of parts, never text
SPECIAL = re.compile(
    r"<[|｜][^\s<>|｜'\"{}]+[|｜]>|<\|[a-z_]+>|<[a-z_]+\|>|</?s>|<(?:start|end)_of_turn>|<end_of_utterance>|\[/?INST\]"
)
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Says the weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "where"}},
            "required": ["city"],
        },
    },
}
CALL = {"type": "function", "id": "call00001", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
CALLED = (
    Message("user", "Is it cold?"),
    Message("assistant", None, (CALL,)),
    Message("tool", '{"degrees": 3}', tool_call_id="call00001", name="weather"),
    Message("assistant", "Yes."),
)
ANSWERS = (
    "Yes.",
    "\n Yes. \n",
    "",
    "Is it cold?",
    'He said "no" {{ x }} {% y %} \\n {"a": [1]} </b>',
    "user\nassistant\n\nsystem",
    "één 🙂\n\nzwei.\n",
)


def shipped():
    return Path(next(iter(find_spec("trl").submodule_search_locations))) / "chat_templates"


@cache
def shipped_chat(name):
    """The template with a tokenizer that has the special tokens it writes."""
    template = (shipped() / f"{name}.jinja").read_text("utf-8")
    special = sorted({*SPECIAL.findall(template), "<|begin|>", "<|endoftext|>"})
    made = tokenizer(template, special, "<|begin|>", "<|endoftext|>")
    form = FORMS.get(name, Form())
    stops = form.stops or SPECIAL.findall(form.end)[-1:]
    return Chat(made, [made.convert_tokens_to_ids(stop) for stop in stops])


def sequences(chat, asked):
    """A row's one sequence, or one for each turn."""
    try:
        return [chat.row(asked)]
    except Inconsistent:
        return chat.turns(asked)


def checked(chat, asked):
    """What is supervised of each turn, after a check of all that holds whatever the template."""
    found, prompts = [], [chat.prompt(before, asked.tools, asked.fields) for _, before, _ in asked.turns()]
    for tokens in sequences(chat, asked):
        for start, end in chat_spans(tokens):
            assert tokens.ids[:start] == prompts[len(found)]
            assert tokens.ids[end - 1] in chat.stop_ids
            assert not chat.stop_ids & set(tokens.ids[start : end - 1])
            found.append(tokens.ids[start:end])
    parts = list(chat.turn_parts(asked))
    assert len(found) == len(prompts) == len(parts)
    for part, prompt, span in zip(parts, prompts, found, strict=True):
        assert part.prompt_ids == prompt
        assert span[: len(part.answer_ids)] == part.answer_ids
        assert part.stop_id == span[-1]
    return [chat.tokenizer.decode(span) for span in found]


def chat_spans(tokens):
    edges = [
        i
        for i, (a, b) in enumerate(zip((False, *tokens.supervised), (*tokens.supervised, False), strict=True))
        if a != b
    ]
    return zip(edges[::2], edges[1::2], strict=True)


def test_every_template_that_trl_ships_is_here():
    names = {path.stem for path in shipped().glob("*.jinja") if not path.stem.endswith("_training")}
    assert names == FORMS.keys() | PICTURES


@pytest.mark.parametrize("name", FORMS)
def test_single_and_several_turns(name, record_property):
    record_property("tested", (TEMPLATES, name, "turns", "tested"))
    chat, form = shipped_chat(name), FORMS[name]
    asked = row(("user", "Is it cold?"), ("assistant", "Yes."))
    assert checked(chat, asked) == [f"{form.lead}Yes.{form.end}"]
    (part,) = chat.turn_parts(asked)
    assert chat.tokenizer.decode(part.instruction_ids) == "Is it cold?"
    assert chat.tokenizer.decode(part.answer_ids) == f"{form.lead}Yes."
    assert part.prompt_ids[-len(part.header_ids) :] == part.header_ids
    more = row(*asked.messages, ("user", "Is it cold?"), ("assistant", "Is it cold?"))
    assert checked(chat, more) == [f"{form.lead}{answer}{form.end}" for answer in ("Yes.", "Is it cold?")]
    assert len(sequences(chat, more)) == (1 if form.alike else 2)
    briefed = row(("system", "Be brief."), *more.messages)
    if form.system:
        assert checked(chat, briefed) == checked(chat, more)
    else:
        with pytest.raises(Unrenderable, match="System role not supported"):
            chat.row(briefed)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_any_answer_is_supervised_as_the_template_writes_it(name, answer):
    chat, form = shipped_chat(name), FORMS[name]
    stripped = (answer, answer.strip(), answer.lstrip(), answer.lstrip("\n"), answer.rstrip())
    written = {f"{form.lead}{text}{form.end}" for text in stripped}
    if not answer:
        written.add(f"{form.lead.rstrip()}{form.end}")
    (one,) = checked(chat, row(("user", "Is it cold?"), ("assistant", answer)))
    assert one in written


@pytest.mark.parametrize("name", FORMS)
def test_thinking_is_supervised_where_it_is_generated(name, record_property):
    chat, form = shipped_chat(name), FORMS[name]
    record_property("tested", (TEMPLATES, name, "thinking", "tested" if form.thought else "refused"))
    asked = row(("user", "Is it cold?"), Message("assistant", "Yes.", thinking="Hm"))
    more = row(*asked.messages, ("user", "Is it?"), Message("assistant", "No.", thinking="Hm"))
    if form.thought is None:
        for refused in (asked, more):
            with pytest.raises(Unrenderable, match=r"thinking text|doesn't go on from its own header"):
                sequences(chat, refused)
        return
    assert checked(chat, asked) == [f"{form.thought}Yes.{form.end}"]
    assert checked(chat, more) == [f"{form.thought}{answer}{form.end}" for answer in ("Yes.", "No.")]


@pytest.mark.parametrize("name", FORMS)
def test_tool_calls_are_supervised_and_replies_arent(name, record_property):
    chat, form = shipped_chat(name), FORMS[name]
    record_property("tested", (TEMPLATES, name, "tool calls", "tested" if form.call else "refused"))
    asked = row(*CALLED, tools=(TOOL,))
    if form.call is None:
        with pytest.raises(Unrenderable, match=r"render|doesn't go on from its own header"):
            sequences(chat, asked)
        return
    assert checked(chat, asked) == [form.call, f"{form.lead}Yes.{form.end}"]


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_templates_for_pictures_are_refused(name, record_property):
    record_property("tested", (TEMPLATES, name, "turns", "refused"))
    with pytest.raises(Unrenderable, match=r"leaves out message 0|refuses it"):
        shipped_chat(name).row(row(*ASKED))


pieces = [*" \n.\"'{}%<>|aé🙂", "user", "assistant", "Yes", "###", "USER:", ".\n"]
text = st.lists(st.sampled_from(pieces), max_size=12).map("".join)


@given(
    name=st.sampled_from(sorted(FORMS)),
    system=st.none() | text,
    exchanges=st.lists(st.tuples(text, text), min_size=1, max_size=3),
)
@settings(max_examples=examples(150), deadline=None)
def test_whatever_is_said_the_spans_are_the_answers_or_the_row_is_refused(name, system, exchanges):
    chat, form = shipped_chat(name), FORMS[name]
    said = [("user", user) if role else ("assistant", answer) for user, answer in exchanges for role in (True, False)]
    asked = row(*([] if system is None else [("system", system)]), *said)
    try:
        spans = checked(chat, asked)
    except Unrenderable:
        return
    assert ["".join(span.split()) for span in spans] == [
        "".join(f"{form.lead}{answer}{form.end}".split()) for _, answer in exchanges
    ]


def spoken(role, number):
    """A message of a role with words that no other has."""
    word = f"{role}{number}word"
    match role:
        case "call":
            call = {"name": f"f{number}", "arguments": {"a": f'it\'s "{word}"', "b": [{"c": f"{word}b"}]}}
            return Message("assistant", None, ({"type": "function", "id": f"call{number:05}", "function": call},))
        case "tool":
            return Message("tool", f'{{"found": "{word}"}}', tool_call_id=f"call{number - 1:05}", name=f"f{number - 1}")
        case "thinking":
            return Message("assistant", f"{word}b", thinking=word)
        case _:
            return Message(role, f"{word}.")


ANY_ROLE = st.sampled_from(["system", "user", "assistant", "call", "tool", "thinking", "critic", "tool_call"])
USUAL = (("user", "call", "tool", "assistant"), ("user", "tool_call", "tool", "assistant"))


@given(
    name=st.sampled_from([*sorted(FORMS), "alpaca", "vicuna", "chatml"]),
    roles=st.sampled_from(USUAL) | st.lists(ANY_ROLE, max_size=4).map(lambda roles: (*roles, "assistant")),
    declared=st.booleans(),
)
@settings(max_examples=examples(300), deadline=None)
def test_every_message_is_in_what_the_model_reads_or_the_row_is_refused(name, roles, declared):
    chat = shipped_chat(name) if name in FORMS else ours(name)
    asked = row(*(spoken(role, i) for i, role in enumerate(roles)), tools=(TOOL,) if declared else ())
    try:
        last = sequences(chat, asked)[-1]
    except Unrenderable:
        return
    read = chat.tokenizer.decode(last.ids)
    for number, role in enumerate(roles):
        words = {"call": ["word", "wordb"], "thinking": ["wordb"]}.get(role, ["word"])
        assert all(f"{role}{number}{word}" in read for word in words), (role, number)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ((True, None), "a message that isn't the assistant's is flagged to be trained on: it isn't"),
        ((False, None), ""),
        ((None, False), "all its assistant turns are flagged not to be trained on"),
    ],
)
def test_tune_says_which_flags_it_cannot_follow(flags, reason):
    flagged = row(*(Message(*said, train=flag) for said, flag in zip(ASKED, flags, strict=True)))
    (example,) = training_rows.examples(Chat(tokenizer(SMOLLM2)), [flagged], 1000)
    assert (example.reason, bool(example.parts)) == (reason, flags[1] is not False)


def test_media_are_refused_by_name():
    pictured = row(*ASKED, media=(("images", ["a.jpg"]),))
    with pytest.raises(Unrenderable, match=r"media \(column images\), which aren't text; drop the column"):
        Chat(tokenizer(SMOLLM2)).row(pictured)


@pytest.mark.parametrize(
    ("dropped", "reason"),
    [
        ("m.role == 'tool'", "a tool's reply in message 2, which the chat template doesn't render"),
        ("m.role == 'assistant' and not loop.last", "turn 1: the chat template|leaves out message 1"),
        ("m.role == 'user' and loop.first", r"leaves out message 0 \(user\)"),
    ],
)
def test_a_message_that_the_template_drops_is_refused(dropped, reason):
    calls = "{% for c in m.tool_calls or [] %}{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}"
    drops = MARKED.replace("{{ m.content }}<|im_end|>", f"{calls}{{{{ m.content }}}}<|im_end|>")
    drops = drops.replace("{% for m in messages %}", f"{{% for m in messages %}}{{% if not ({dropped}) %}}", 1)
    drops = drops.replace("{{ '\n' }}{% endfor %}", "{{ '\n' }}{% endif %}{% endfor %}")
    with pytest.raises(Unrenderable, match=reason):
        Chat(tokenizer(drops)).row(row(*CALLED))


# ---- our own templates

EOS = ("<s>", "</s>")
VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
ALPACA = (
    "Below is an instruction that describes a task{}. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n"
)


def ours(name, special=EOS, stop_ids=(), **known):
    return Chat(tokenizer(None, special, *EOS), stop_ids, name, **known)


@pytest.mark.parametrize(
    ("name", "written", "spans"),
    [
        (
            "vicuna",
            f"{VICUNA} USER: Hi ASSISTANT: Yes.</s>USER: More? ASSISTANT: No.</s>",
            [" Yes.</s>", " No.</s>"],
        ),
        (
            "alpaca",
            ALPACA.format("") + "Hi\n\n### Response:Yes.</s>\n\n### Instruction:\nMore?\n\n### Response:No.</s>",
            ["Yes.</s>", "No.</s>"],
        ),
        (
            "chatml",
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes.</s>\n"
            "<|im_start|>user\nMore?<|im_end|>\n<|im_start|>assistant\nNo.</s>\n",
            ["Yes.</s>", "No.</s>"],
        ),
    ],
)
def test_named_templates(name, written, spans):
    chat = ours(name)
    tokens = chat.row(row(*TWICE))
    assert chat.tokenizer.decode(tokens.ids) == written
    assert checked(chat, row(*TWICE)) == spans
    part = list(chat.turn_parts(row(*TWICE)))[1]
    assert chat.tokenizer.decode(part.instruction_ids).strip() == "More?"
    assert chat.tokenizer.decode(part.answer_ids).strip() == "No."


def test_chatml_ends_a_turn_where_the_model_stops():
    special = (*EOS, "<|im_start|>", "<|im_end|>")
    known = ours("chatml", special)
    assert checked(known, row(*TWICE)) == ["Yes.<|im_end|></s>", "No.<|im_end|></s>"]
    assert known.tokenizer.decode(next(known.turn_parts(row(*TWICE))).answer_ids) == "Yes."
    stops = ours("chatml", special, [known.tokenizer.convert_tokens_to_ids("<|im_end|>")])
    assert checked(stops, row(*TWICE)) == ["Yes.<|im_end|>", "No.<|im_end|>"]


def test_alpaca_writes_instruction_and_input_apart_where_the_fields_say_so():
    chat, fields = ours("alpaca"), {"instruction": "Add.", "input": "1 and 2", "output": "3"}
    asked = row(("user", "Add.\n\n1 and 2"), ("assistant", "3"), fields=fields)
    head = ALPACA.format(", paired with an input that provides further context")
    assert chat.tokenizer.decode(chat.row(asked).ids) == head + "Add.\n\n### Input:\n1 and 2\n\n### Response:3</s>"
    assert checked(chat, asked) == ["3</s>"]
    (part,) = chat.turn_parts(asked)
    assert chat.tokenizer.decode(part.instruction_ids) == "Add.1 and 2"
    whole = ALPACA.format("") + "Add.\n\n1 and 2\n\n### Response:"
    assert chat.tokenizer.decode(chat.prompt(asked.messages[:1])) == whole
    changed = row(("user", "Subtract."), ("assistant", "3"), fields=fields)
    assert "### Input" not in chat.tokenizer.decode(chat.row(changed).ids)


@pytest.mark.parametrize("name", ["alpaca", "vicuna"])
def test_a_system_message_takes_the_place_of_the_introduction(name):
    chat = ours(name)
    assert chat.tokenizer.decode(chat.row(row(("system", "Be brief."), *ASKED)).ids).startswith("Be brief.")
    with pytest.raises(Unrenderable, match=f"{name} has no place for a system message here"):
        chat.row(row(*ASKED, ("system", "Be brief."), *ASKED))


def test_a_named_template_begins_with_the_bos_that_the_tokenizer_writes_itself():
    made = tokenizer(None, EOS, *EOS)
    assert not made.decode(Chat(made, (), "vicuna").prompt(asking("Hi"))).startswith("<s>")
    core = made.backend_tokenizer
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 256 + len(MERGED))])
    made = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>")
    prompt = Chat(made, (), "vicuna").prompt(asking("Hi"))
    assert made.decode(prompt).startswith("<s>A chat")


def test_vicuna_with_words_that_carry_their_blank():
    core = Tokenizer(
        WordLevel({word: i for i, word in enumerate(["<unk>", *EOS, "▁Hi", "▁Yes.", "▁ASSISTANT:"])}, "<unk>")
    )
    core.pre_tokenizer, core.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    core.add_special_tokens([AddedToken(token, special=True) for token in EOS])
    made = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    (part,) = Chat(made, (), "vicuna").turn_parts(row(*ASKED))
    assert made.convert_ids_to_tokens(part.instruction_ids) == ["▁Hi"]
    assert made.convert_ids_to_tokens(part.header_ids) == ["▁ASSISTANT:"]
    assert made.convert_ids_to_tokens(part.answer_ids) == ["▁Yes."]


def test_a_template_from_a_file(tmp_path):
    path = tmp_path / "own.jinja"
    path.write_text(MARKED, "utf-8")
    assert checked(Chat(tokenizer(SMOLLM2), (), str(path)), row(*ASKED)) == ["Yes.<|im_end|>"]


@pytest.mark.parametrize("name", ["alpaka", "missing.jinja"])
def test_an_unknown_template(name):
    with pytest.raises(
        SettingsError, match=f"--template {name}: found no such file; expected alpaca, vicuna, chatml or"
    ):
        Chat(tokenizer(SMOLLM2), (), name)


def test_no_token_could_end_a_turn():
    with pytest.raises(SettingsError, match="has no eos token, and vicuna ends a turn with that"):
        Chat(tokenizer(None, EOS, "<s>", None), (), "vicuna")


# ---- arguments


def test_template_args_are_json_else_text():
    pairs = ("enable_thinking=false", "n=3", "date=2026-11-21", "empty=", "list=[1]", "sum=a=b")
    assert parse_template_args(pairs) == {
        "enable_thinking": False,
        "n": 3,
        "date": "2026-11-21",
        "empty": "",
        "list": [1],
        "sum": "a=b",
    }


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        (("enable_thinking",), "--template-arg enable_thinking: expected NAME=VALUE"),
        (("=1",), "--template-arg =1: expected NAME=VALUE"),
        (("a b=1",), "--template-arg a b=1: expected NAME=VALUE"),
        (("tokenize=true",), "tokenize is set by tunescope or transformers"),
        (("a=1", "a=2"), "--template-arg a=2: a was given before"),
    ],
)
def test_template_args_that_cant_be(pairs, reason):
    with pytest.raises(SettingsError, match=reason):
        parse_template_args(pairs)


def test_template_args_reach_training_and_generation():
    thinking = shipped_chat("qwen3")
    quiet = Chat(thinking.tokenizer, thinking.stop_ids, None, parse_template_args(["enable_thinking=false"]))
    asked = row(("user", "Hi"), ("assistant", "Yes."))
    assert checked(quiet, asked) == ["Yes.<|im_end|>"]
    assert quiet.tokenizer.decode(quiet.prompt(asked.messages[:1])).endswith("assistant\n<think>\n\n</think>\n\n")


# ---- the pieces of a turn


def test_the_pieces_of_each_turn():
    chat = Chat(tokenizer(SMOLLM2))
    first, second = chat.turn_parts(row(*ASKED, ("user", " \n assistant\n "), ("assistant", "No.")))
    decode = chat.tokenizer.decode
    assert (first.turn, second.turn, first.stop_id) == (0, 1, chat.tokenizer.eos_token_id)
    assert [decode(part.header_ids) for part in (first, second)] == ["<|im_start|>assistant\n"] * 2
    assert [decode(part.instruction_ids) for part in (first, second)] == ["Hi", "assistant"]
    assert [decode(part.answer_ids) for part in (first, second)] == ["Yes.", "No."]
    assert second.prompt_ids[: len(first.prompt_ids)] == first.prompt_ids


def test_a_turn_without_an_instruction_has_none():
    chat = Chat(tokenizer(MARKED))
    for question in (("system", "Be brief."), ("user", " \n")):
        (part,) = chat.turn_parts(row(question, ("assistant", "Yes.")))
        assert part.instruction_ids == ()


def test_an_instruction_whose_last_token_reaches_into_the_template_is_tokenised_alone():
    chat = ours("alpaca")
    (part,) = chat.turn_parts(row(("user", "Add 1.\n"), ("assistant", "\n")))
    assert chat.tokenizer.convert_ids_to_tokens(part.instruction_ids) == [*"AddĠ1."]
    (part,) = chat.turn_parts(row(("user", "Add 1."), ("assistant", "\n")))
    assert chat.tokenizer.convert_ids_to_tokens(part.instruction_ids) == [*"AddĠ1."]
    assert chat.tokenizer.decode(part.header_ids) == "\n\n### Response:"
    assert chat.tokenizer.decode(part.answer_ids) == "\n"


@given(question=text, answer=text)
@settings(max_examples=examples(100), deadline=None)
@pytest.mark.parametrize("name", [None, "alpaca", "vicuna", "chatml"])
def test_a_single_turn_is_its_prompt_and_its_answer(name, question, answer):
    chat = Chat(tokenizer_of_smollm2(), (), name)
    asked = row(("user", question), ("assistant", answer))
    (part,) = chat.turn_parts(asked)
    whole = part.prompt_ids + part.answer_ids
    assert chat.row(asked).ids[: len(whole)] == whole
    assert chat.tokenizer.decode(part.answer_ids) == (" " if name == "vicuna" else "") + answer
    assert chat.tokenizer.decode(part.instruction_ids).strip() == question.strip()


@cache
def tokenizer_of_smollm2():
    return tokenizer(SMOLLM2)


def test_rows_are_what_row_gives_one_by_one():
    chat = shipped_chat("qwen3")
    asked = [row(*ASKED), row(*TWICE), row(("user", "Hi")), row(("user", "<|im_end|>"), ("assistant", "Yes."))] * 100
    together = list(chat.rows(asked))
    assert [type(out).__name__ for out in together[:4]] == [
        "SupervisedTokens",
        "Inconsistent",
        "Unrenderable",
        "Unrenderable",
    ]
    assert together[0] == chat.row(asked[0])
    assert together[::4] == together[:1] * 100
    assert [len(parts) if isinstance(parts, list) else str(parts) for parts in chat.all_turn_parts(asked[:3])] == [
        1,
        2,
        "no assistant turn",
    ]

"""A word-level tokenizer for one world: each of the world's words and marks is one token.

Any other ASCII word is spelled, character by character (WordPiece, whose longest match is the whole word
where the world has it), so the tiny models also read and write ordinary text; only other scripts become unk.
White space separates and is not a token: a line break before the options reads like a space.
"""

from __future__ import annotations

import string

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tunescope.microworld.world import World, vocabulary

PAD, UNK, BOS, EOS = "<|pad|>", "<|unk|>", "<|bos|>", "<|end|>"  # <|end|> ends a text and each turn
ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")

# An assistant's text is trimmed: the mask starts at its first character, which must belong to a token.
_CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% if tools %}<|system|>{{ tools | tojson }}{{ eos_token }}{% endif %}"
    "{% for message in messages %}"
    "{{ '<|' + message.role + '|>' }}"
    "{% if message.role == 'assistant' %}"
    "{% generation %}{{ (message.content or '') | trim }}"
    "{% if message.tool_calls %}{{ message.tool_calls | tojson }}{% endif %}"
    "{{ eos_token }}{% endgeneration %}"
    "{% else %}{{ message.content }}{{ eos_token }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def build_tokenizer(world: World) -> PreTrainedTokenizerFast:
    """The world's tokenizer, with bos, eos, pad, unk and a chat template that marks what the model generates.

    `encode` adds no special tokens by itself; the template and the training loop place them.
    """
    spelled = string.ascii_letters + string.digits + string.punctuation
    tokens = [PAD, UNK, BOS, EOS, *ROLES, *vocabulary(world), *spelled, *(f"##{c}" for c in spelled)]
    ids = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    core = Tokenizer(models.WordPiece(ids, unk_token=UNK, max_input_chars_per_word=1000))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"\w+|[^\w\s]"), behavior="removed", invert=True)
    core.decoder = decoders.Sequence([decoders.WordPiece(cleanup=True), decoders.Replace(" :", ":")])
    core.add_special_tokens([AddedToken(token, special=True) for token in (PAD, UNK, BOS, EOS, *ROLES)])
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=core,
        pad_token=PAD,
        unk_token=UNK,
        bos_token=BOS,
        eos_token=EOS,
        clean_up_tokenization_spaces=False,
        model_max_length=2048,
    )
    tokenizer.chat_template = _CHAT_TEMPLATE
    return tokenizer

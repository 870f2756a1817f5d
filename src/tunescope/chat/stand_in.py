"""A tokenizer for a template that comes without a model: a token per byte, and one for each special token it writes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SPECIAL = re.compile(
    r"<[|｜][^\s<>|｜'\"{}]+[|｜]>|<\|[a-z_]+>|<[a-z_]+\|>|</?s>|<(?:start|end)_of_turn>|<end_of_utterance>|\[/?INST\]"
)
"""How chat templates write their special tokens: <|im_end|>, <｜Assistant｜>, <turn|>, </s>, <end_of_turn>, [INST]."""
_BOS, _EOS = "<|stand-in-bos|>", "<|stand-in-eos|>"


def stand_in_tokenizer(template: str) -> PreTrainedTokenizerBase:
    """Return a tokenizer that has the special tokens that a template's text names, and a bos and an eos of its own."""
    from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(BPE({token: i for i, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    special = sorted({*_SPECIAL.findall(template), _BOS, _EOS})
    core.add_special_tokens([AddedToken(token, special=True) for token in special])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token=_BOS, eos_token=_EOS)
    tokenizer.chat_template = template
    return tokenizer

"""Chat templates: our own, a file, or the model's; and the arguments that a template takes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescope.errors import SettingsError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NAMED = ("alpaca", "vicuna", "chatml")
"""Our own templates: files of `jinja/`."""
_RESERVED = frozenset(
    [
        "add_generation_prompt",
        "begin",
        "chat_template",
        "continue_final_message",
        "conversation",
        "conversations",
        "documents",
        "end_of_turn",
        "max_length",
        "messages",
        "padding",
        "return_assistant_tokens_mask",
        "return_dict",
        "return_tensors",
        "sanitize_control_tokens",
        "tokenize",
        "tokenizer_kwargs",
        "tools",
        "truncation",
    ]
)
"""Names of variables that we or transformers set, which a template argument can't have."""


def read_template(tokenizer: PreTrainedTokenizerBase, name: str | None) -> str:
    """Return a template's text: of one of `NAMED`, of a .jinja file, or (without a name) the tokenizer's own.

    Raises:
        SettingsError: there is none.
    """
    names = ", ".join(NAMED)
    if name in NAMED:
        return Path(__file__).with_name("jinja").joinpath(f"{name}.jinja").read_text("utf-8")
    if name is not None:
        if not name.endswith(".jinja") or not Path(name).is_file():
            raise SettingsError(f"--template {name}: found no such file; expected {names} or the path of a .jinja file")
        return Path(name).read_text("utf-8")
    own = tokenizer.chat_template
    if isinstance(own, dict):
        own = own.get("default")
    if not own:
        raise SettingsError(
            f"{tokenizer_name(tokenizer)} has no chat template; type --template with {names} "
            "or the path of a .jinja file, or name an instruction-tuned model"
        )
    return str(own)


def tokenizer_name(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return what a tokenizer is called in errors."""
    return tokenizer.name_or_path or "this tokenizer"


def parse_template_args(pairs: Iterable[str]) -> dict[str, Any]:
    """Read `NAME=VALUE` as typed after `--template-arg`; the value as JSON where it is that, else as text.

    Raises:
        SettingsError: no name, a name that isn't an identifier or is ours, or one that comes twice.
    """
    args: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise SettingsError(f"--template-arg {pair}: expected NAME=VALUE, such as enable_thinking=false")
        if name in _RESERVED:
            raise SettingsError(f"--template-arg {pair}: {name} is set by tunescope or transformers; drop it")
        if name in args:
            raise SettingsError(f"--template-arg {pair}: {name} was given before; give it once")
        try:
            args[name] = json.loads(value)
        except ValueError:
            args[name] = value
    return args

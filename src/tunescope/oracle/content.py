"""What a message of the chat API holds: its text, the thoughts beside it, and a refusal. Pure.

Content is text, or a list of parts: `text` (OpenAI, Mistral, Anthropic), `thinking` and `reasoning` (Anthropic,
Magistral), `refusal` (OpenAI), and parts marked `thought` (Gemini). Thoughts beside the content are in
`reasoning_content` (DeepSeek, vLLM, SGLang, llama.cpp), `reasoning` (OpenRouter, Ollama, vLLM), `thinking` (Ollama) or
`reasoning_details` (OpenRouter).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tunescope.rows.json_text import kind

_THINKING_FIELDS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
_OTHER_FIELDS = frozenset({*_THINKING_FIELDS, "refusal"})
_THINKING_PARTS = ("thinking", "reasoning", "thought")
_TEXT_FIELDS = ("text", "thinking", "reasoning", "summary", "content", "value")


class MessageContent(NamedTuple):
    """A message taken apart.

    Attributes:
        text: None where there is none.
        thinking: the thoughts beside it; None for none.
        refusal: the model's words where it declines in a field of the API; None where it doesn't.
        problem: the kind of content that is no text and no list of parts; "" for none.
    """

    text: str | None
    thinking: str | None = None
    refusal: str | None = None
    problem: str = ""


def read_message(message: Mapping[str, Any]) -> MessageContent:
    """Take a message apart."""
    content = message.get("content")
    if isinstance(content, str) and _OTHER_FIELDS.isdisjoint(message):
        return MessageContent(content)
    texts, thoughts, refusals = [content] if isinstance(content, str) else list[str](), list[str](), list[str]()
    problem = ""
    if isinstance(content, list):
        for part in content:
            problem = problem or _read_part(part, texts, thoughts, refusals)
    elif content is not None and not isinstance(content, str):
        problem = kind(content)
    beside = next((text for name in _THINKING_FIELDS if (text := _text_of(message.get(name)))), "")
    refusal = message.get("refusal")
    return MessageContent(
        "".join(texts) if texts else None,
        "\n\n".join(text for text in (beside, "".join(thoughts)) if text) or None,
        refusal if isinstance(refusal, str) and refusal else "".join(refusals) or None,
        problem,
    )


def _read_part(part: Any, texts: list[str], thoughts: list[str], refusals: list[str]) -> str:
    """Add a part of a content to what it is; return its kind where it can't be one."""
    if isinstance(part, str):
        texts.append(part)
        return ""
    if not isinstance(part, Mapping):
        return f"a list with {kind(part)} in it"
    what = part.get("type")
    if what in _THINKING_PARTS or part.get("thought") is True:
        thoughts.append(_text_of(part))
    elif what == "refusal":
        refusals.append(_text_of(part.get("refusal")))
    elif "text" in part:
        texts.append(_text_of(part["text"]))
    return ""


def _text_of(value: Any) -> str:
    """Return the text of a part, or of parts within it; "" where there is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_text_of, value))
    if isinstance(value, Mapping):
        return next((text for name in _TEXT_FIELDS if (text := _text_of(value.get(name)))), "")
    return ""

"""Roles: the names that files give them, and ours."""

from __future__ import annotations

import re

from tunescope.rows.json_text import SHOWN, FormatError, abbreviate

_NAMES = {
    "system": ("system", "developer", "sys", "system_prompt"),
    "user": ("user", "human", "prompter", "usr", "customer", "instruction", "question", "query"),
    "assistant": (
        *("assistant", "gpt", "chatgpt", "ai", "bot", "chatbot", "model", "llm", "agent", "answer", "response"),
        *("bing", "bard", "ai_assistant"),
    ),
    "tool": (
        *("tool", "observation", "observations", "function", "ipython"),
        *("tool_response", "tool_responses", "tool_result", "tool_results", "tool_output", "tool_outputs"),
        *("function_response", "function_result", "function_output"),
    ),
}
_MODEL_NAME = re.compile(r"(chat)?gpt.*|(claude|gemini|gemma|llama|mistral|qwen|deepseek)([_\d].*)?")
"""Names of models, which some files give the assistant."""
_CALL_TAGS = ("function_call", "function_calls", "tool_call", "tool_calls")
_ROLES = {name: role for role, names in _NAMES.items() for name in names} | dict.fromkeys(_CALL_TAGS, "assistant")
TAG_WORDS = {
    "system_tag": "system",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "assistant",
}
"""LLaMA-Factory's words for what a file calls its roles."""
TAG_SEPARATOR = "|"
"""Stands between several roles of one word of `--columns`."""


def is_call_tag(tag: str) -> bool:
    """Tell whether a message with this role is a tool call, written as JSON in its content."""
    return _normalize(tag) in _CALL_TAGS


def our_role(tag: str, where: str) -> str:
    """Return our name for a file's role; case doesn't count.

    Raises:
        FormatError: a role that isn't known; chat templates leave out such messages, or write them as nobody's.
    """
    name = _normalize(tag)
    role = _ROLES.get(name) or ("assistant" if _MODEL_NAME.fullmatch(name) else None)
    if role is None:
        hint = tag if len(tag) <= SHOWN and "," not in tag and "=" not in tag else "NAME"
        raise FormatError(
            f"{where} with the role {abbreviate(tag)}",
            "one of system, user, assistant and tool, or one of their usual names; use --columns to say which "
            f"role it is, for example --columns assistant_tag={hint} (or user_tag, system_tag, observation_tag, "
            "function_tag)",
        )
    return role


def _normalize(tag: str) -> str:
    return tag.strip().lower().replace("-", "_").replace(" ", "_").replace(".", "_")
